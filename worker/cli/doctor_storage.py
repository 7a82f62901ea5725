"""What `rca doctor` says about the database, and about the workers, whose life shows in it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

from worker.cli.stored import POOL_SIZE, read_schema, require_file
from worker.errors import StorageUnavailableError, UserError
from worker.ops.health import Check
from worker.reporting.words import several
from worker.settings import Settings
from worker.storage.database import Database, database_now
from worker.storage.standing import Standing, read_standing

SKEW_OK = timedelta(seconds=2)
WORKER_FIX = "start one: `rca up`, or celery as in the Procfile"


def look_at_storage(settings: Settings) -> Iterator[Check]:
    """Yield what is known of database, schema, clock and workers; the first failure ends it."""
    try:
        require_file(settings)
    except UserError as error:
        yield Check.warn("database", str(error))
        return
    with closing(Database(settings.database, pool_size=POOL_SIZE)) as database:
        yield from _look(database)


def _look(database: Database) -> Iterator[Check]:
    try:
        have, wanted = read_schema(database)
    except StorageUnavailableError as error:
        yield Check.fail("database", str(error), fix="start it, or correct DATABASE_URL")
        return
    yield Check.ok("database", f"{database.engine.dialect.name} answers")
    if have != wanted:
        yield Check.fail("schema", f"is at {have or 'nothing'}, wanted {wanted}", fix="run `rca migrate`")
        return
    yield Check.ok("schema", f"is at {have}")
    with database.transaction() as session:
        now = database_now(session)
        here = datetime.now(UTC)
        standing = read_standing(session)
    yield check_clock(now - here)
    yield check_workers(standing)
    yield check_deliveries(standing)
    yield check_sub_agents(standing)


def check_clock(skew: timedelta) -> Check:
    """Judge how far the database's clock is from ours: leases use the one, deadlines of calls the other."""
    detail = f"{skew.total_seconds():+.1f} s from this machine's"
    if abs(skew) > SKEW_OK:
        return Check.warn("database clock", detail, fix="let both machines keep their time with NTP")
    return Check.ok("database clock", detail)


def check_workers(standing: Standing) -> Check:
    """Judge by the sweeper's lease, which every worker process tries to hold: no holder, no worker."""
    waiting = f"{standing.queued} investigations queued, {standing.running} running"
    if standing.is_swept:
        return Check.ok("workers", f"alive; {waiting}")
    seen = f"last seen {standing.swept_at:%Y-%m-%d %H:%M:%S} UTC" if standing.swept_at else "never seen"
    if standing.queued + standing.running:
        return Check.fail("workers", f"none alive, {seen}, and {waiting}", fix=WORKER_FIX)
    return Check.warn("workers", f"none alive, {seen}", fix=WORKER_FIX)


def check_deliveries(standing: Standing) -> Check:
    if not standing.failed_deliveries:
        return Check.ok("deliveries", "none has failed")
    fix = "`rca deliveries list --status failed` says why, `rca deliveries resend ID` sends again"
    return Check.warn("deliveries", f"{several(standing.failed_deliveries, 'report')} did not arrive", fix=fix)


def check_sub_agents(standing: Standing) -> Check:
    """Judge by those that wait past their deadline: the sweeper would have ended them."""
    if not standing.late_sub_agents:
        return Check.ok("sub-agents", "none waits past its deadline")
    late = several(standing.late_sub_agents, "sub-agent")
    fix = "workers end them within seconds: see whether one is alive, and what its log says"
    return Check.warn("sub-agents", f"{late} still waiting past the deadline", fix=fix)
