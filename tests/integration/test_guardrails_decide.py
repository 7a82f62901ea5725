"""Commands of a model on their way through the guardrail: what runs, what does not, and what the report says of it."""

from collections.abc import Callable
from pathlib import Path

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.domain.conversation import ModelAnswer, ModelRequest
from worker.domain.report import Report
from worker.errors import ProviderUnavailableError
from worker.ops import metrics
from worker.services import Services
from worker.storage import reports

Open = Callable[..., Services]


def asks(*commands: str) -> ModelAnswer:
    return calls_tools(*(("run_command", {"command": command, "purpose": "look"}) for command in commands))


def report_on(services: Services, **event: str) -> Report:
    accepted = pipeline.accept(services, incident(**event), via="test")
    drain(services)
    with services.database.transaction() as session:
        return reports.get(session, accepted.investigation_id)


def counted(layer: str, verdict: str) -> float:
    return metrics.GUARDRAIL_DECISIONS.labels(layer=layer, verdict=verdict)._value.get()


def test_with_the_judge_down_what_rules_allow_runs_and_the_report_names_the_rest(open_services: Open) -> None:
    def judge(_: ModelRequest) -> ModelAnswer:
        raise ProviderUnavailableError("down")

    model = ScriptedModel([asks("echo up | cat", "frobnicate now", "rm -rf /srv"), submits_report()], judge=judge)
    services = open_services(model, openai_api_key="k", rca_model="openai/gpt-4.1-mini")
    before = {layer: counted(layer, v) for layer, v in (("rules", "allow"), ("judge", "deny"), ("signatures", "deny"))}

    report = report_on(services)

    assert [(e.status, '"stdout": "up\\n"' in e.excerpt) for e in report.evidence if e.status == "succeeded"] == [
        ("succeeded", True)
    ]
    assert {(d.command, d.layer) for d in report.denied} == {("frobnicate now", "judge"), ("rm -rf /srv", "signatures")}
    assert any(d.reason == "the judge did not answer (provider_unavailable)" for d in report.denied)
    assert any("frobnicate now" in gap.wanted for gap in report.gaps)
    assert counted("rules", "allow") == before["rules"] + 1
    assert counted("judge", "deny") == before["judge"] + 1
    assert counted("signatures", "deny") == before["signatures"] + 1


def test_the_policy_of_the_incidents_path_decides(open_services: Open, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("paths:\n  /team/pay:\n    deny: ['date*']\n")
    script = [asks("date"), submits_report()]
    services = open_services(ScriptedModel(script * 2), rca_policy_file=policy)

    theirs = report_on(services, user_path="/team/pay/api")
    others = report_on(services, user_path="/team/shop", title="another one")

    assert [(d.layer, d.reason) for d in theirs.denied] == [("operator_deny", "the operator denies 'date*'")]
    assert others.denied == ()


def test_a_policy_that_cannot_be_read_denies_every_command(open_services: Open, tmp_path: Path) -> None:
    services = open_services(ScriptedModel([asks("date"), submits_report()]), rca_rules_dir=tmp_path / "none")

    report = report_on(services)

    assert [d.layer for d in report.denied] == ["operator_deny"]
