"""The Celery tasks: ids in, nothing out. The work is in `worker.pipeline`."""

from worker import delivering, pipeline
from worker.bootstrap import get_services
from worker.celery import app


@app.task(name="rca.turn")
def turn(agent_id: str, turn_no: int) -> None:
    """Take one turn of one agent. Safe to deliver more than once, like all of these."""
    pipeline.take_turn(get_services(), agent_id, turn_no)


@app.task(name="rca.judge")
def judge(agent_id: str, turn_no: int) -> None:
    """Judge the turn's open commands."""
    pipeline.judge_commands(get_services(), agent_id, turn_no)


@app.task(name="rca.act")
def act(agent_id: str, turn_no: int) -> None:
    """Run the turn's allowed tool calls."""
    pipeline.act(get_services(), agent_id, turn_no)


@app.task(name="rca.verify")
def verify(agent_id: str, turn_no: int) -> None:
    """Try to refute what the agent's report claims."""
    pipeline.verify(get_services(), agent_id, turn_no)


@app.task(name="rca.publish")
def publish(agent_id: str) -> None:
    """Write the agent's report."""
    pipeline.publish(get_services(), agent_id)


@app.task(name="rca.deliver")
def deliver(delivery_id: str) -> None:
    """Send one report to one destination."""
    delivering.deliver(get_services(), delivery_id)
