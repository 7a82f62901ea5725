"""Reports on their way out: owed with the report, sent at least once, and never silently given up."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.builders import drain, incident, queue_of, submits_report
from tests.fakes import ScriptedModel
from tests.receiver import Receiver, Say
from worker import delivering, pipeline
from worker.domain.states import DeliveryStatus
from worker.errors import LeaseLostError, NotFoundError, ProviderAuthError, UserError
from worker.reporting.destinations.port import Parcel
from worker.services import Services
from worker.storage import deliveries, reports
from worker.storage.deliveries import DeliveryClaim
from worker.storage.tables import DeliveryRow, ReportRow

Open = Callable[..., Services]
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def reported(open_services: Open, url: str, **settings: object) -> Services:
    """Investigate one incident to its report; return the services, with a delivery owed."""
    services = open_services(
        ScriptedModel([submits_report(summary="The kernel is old.")]),
        **{"rca_delivery_webhook_url": url, "rca_delivery_webhook_secret": "k3y", "rca_delivery_timeout_s": 0.5}
        | settings,
    )
    pipeline.accept(services, incident(), via="test")
    drain(services)
    return services


def row(services: Services) -> DeliveryRow:
    with services.database.transaction() as session:
        return session.scalars(select(DeliveryRow)).one()


def set_row(services: Services, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(DeliveryRow).values(**values))


def one_round(services: Services) -> list[str]:
    """Do what the sweeper and then the workers do; return what was told."""
    delivering.send_due(services)
    told, queue_of(services).deliveries = queue_of(services).deliveries, []
    for delivery_id in told:
        delivering.deliver(services, delivery_id)
    return told


def let_time_pass(services: Services) -> None:
    set_row(services, next_attempt_at=LONG_AGO)


def claimed(services: Services) -> DeliveryClaim:
    delivering.send_due(services)
    with services.database.transaction() as session:
        claim = deliveries.claim(session, queue_of(services).deliveries.pop(), lease=LEASE)
    assert claim is not None
    return claim


def test_a_report_is_delivered_once(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)

    told = one_round(services)
    let_time_pass(services)
    again = one_round(services)

    assert (len(told), again) == (1, [])
    assert [p.headers["idempotency-key"] for p in receiver.posts] == [row(services).id]
    assert b"The kernel is old." in receiver.posts[0].body
    assert (row(services).status, row(services).attempts, row(services).failure) == ("delivered", 1, None)
    assert row(services).finished_at is not None


def test_it_is_owed_in_the_transaction_that_stores_the_report(open_services: Open, receiver: Receiver) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_delivery_webhook_url=receiver.url)
    pipeline.accept(services, incident(), via="test")
    agent_id = queue_of(services).take()[0].agent_id
    pipeline.take_turn(services, agent_id, 1)
    set_by_another = {"webhook": services.destinations["webhook"], "x" * 70: services.destinations["webhook"]}
    if services.database.engine.dialect.name == "postgresql":  # a name too long for its column: the commit fails
        broken = Services(**{**services.__dict__, "destinations": set_by_another})
        pipeline.publish(broken, agent_id)
        with services.database.transaction() as session:
            assert session.scalars(select(ReportRow)).all() == []
            assert session.scalars(select(DeliveryRow)).all() == []
            session.execute(update(pipeline.agents.AgentRow).values(not_before=LONG_AGO))

    pipeline.publish(services, agent_id)

    with services.database.transaction() as session:
        assert len(session.scalars(select(ReportRow)).all()) == 1
        assert len(session.scalars(select(DeliveryRow)).all()) == 1


def test_nothing_is_owed_without_a_destination_or_without_a_report(open_services: Open, receiver: Receiver) -> None:
    for model, settings in (
        (ScriptedModel([submits_report()]), {}),
        (ScriptedModel([ProviderAuthError("the key was rejected")]), {"rca_delivery_webhook_url": receiver.url}),
    ):
        services = open_services(model, **settings)
        pipeline.accept(services, incident(f"for {len(settings)}"), via="test")
        drain(services)

    assert one_round(services) == []


def test_what_failed_for_now_is_sent_again_later_under_the_same_key(open_services: Open, receiver: Receiver) -> None:
    receiver.says = [Say(500), Say(200)]
    services = reported(open_services, receiver.url)

    one_round(services)
    waiting = row(services)
    too_soon = one_round(services)
    let_time_pass(services)
    one_round(services)

    assert (waiting.status, waiting.failure) == ("waiting", "the destination answered 500")
    assert 8 < (waiting.next_attempt_at - datetime.now(UTC)).total_seconds() <= 10
    assert too_soon == []
    assert len({p.headers["idempotency-key"] for p in receiver.posts}) == 1
    assert (row(services).status, row(services).attempts, row(services).failure) == ("delivered", 2, None)


def test_a_destination_that_names_a_time_is_asked_no_sooner(open_services: Open, receiver: Receiver) -> None:
    receiver.says = [Say(429, {"Retry-After": "120"})]
    services = reported(open_services, receiver.url)

    one_round(services)

    assert 110 < (row(services).next_attempt_at - datetime.now(UTC)).total_seconds() <= 120


def test_what_is_refused_fails_at_once_with_its_reason(open_services: Open, receiver: Receiver) -> None:
    receiver.says = [Say(410)]
    services = reported(open_services, receiver.url)

    one_round(services)
    let_time_pass(services)
    one_round(services)

    assert len(receiver.posts) == 1
    assert (row(services).status, row(services).failure) == ("failed", "the destination answered 410")


def test_it_is_given_up_after_so_many_attempts(open_services: Open, receiver: Receiver) -> None:
    receiver.says = [Say(silent_s=5)]
    services = reported(open_services, receiver.url, rca_delivery_attempts=3, rca_delivery_timeout_s=0.1)

    for _ in range(5):
        one_round(services)
        let_time_pass(services)

    assert len(receiver.posts) == 3
    assert row(services).status == "failed"
    assert row(services).failure == "the destination did not answer, or the connection failed, 3 times"


def test_the_waits_grow_and_end_at_an_hour() -> None:
    waits = [deliveries.retry_wait(n).total_seconds() for n in range(1, 9)]

    assert waits == [10, 30, 90, 270, 810, 2430, 3600, 3600]
    assert deliveries.retry_wait(1, 1e9).total_seconds() == 3600


def test_a_worker_killed_while_it_sent_costs_a_repetition_under_the_same_key(
    open_services: Open, receiver: Receiver
) -> None:
    services = reported(open_services, receiver.url)
    killed = claimed(services)
    with services.database.transaction() as session:
        sent = Parcel(killed.id, datetime.now(UTC), reports.get(session, killed.investigation_id), None)
    services.destinations["webhook"].send(sent, timeout_s=2)  # and then it dies

    early = one_round(services)
    set_row(services, lease_until=LONG_AGO)
    one_round(services)

    assert early == []
    assert [p.headers["idempotency-key"] for p in receiver.posts] == [killed.id, killed.id]
    assert (row(services).status, row(services).attempts) == ("delivered", 2)


def test_one_that_kills_its_worker_each_time_fails_after_so_many_attempts(
    open_services: Open, receiver: Receiver
) -> None:
    services = reported(open_services, receiver.url, rca_delivery_attempts=2)

    for _ in range(2):
        claimed(services)
        set_row(services, lease_until=LONG_AGO)
    delivering.send_due(services)

    assert (row(services).status, row(services).failure) == ("failed", "its worker was lost while it was sent")


def test_a_frozen_worker_that_wakes_up_cannot_write(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)
    frozen = claimed(services)
    set_row(services, lease_until=LONG_AGO)
    claimed(services)

    for write in (
        lambda session: deliveries.complete(session, frozen),
        lambda session: deliveries.fail(session, frozen, "late"),
        lambda session: deliveries.postpone(session, frozen, "late"),
    ):
        with pytest.raises(LeaseLostError), services.database.transaction() as session:
            write(session)

    assert row(services).status == "sending"


def test_of_many_that_claim_one_delivery_one_wins(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)
    delivering.send_due(services)
    found, together = row(services).id, threading.Barrier(8)

    def take(_: int) -> object:
        together.wait()
        with services.database.transaction() as session:
            return deliveries.claim(session, found, lease=LEASE)

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(take, range(8)))

    assert sum(c is not None for c in claims) == 1


def test_what_nobody_claims_is_told_again_ever_more_seldom(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)

    delivering.send_due(services)
    soon = row(services).next_attempt_at - datetime.now(UTC)
    set_row(services, next_attempt_at=LONG_AGO, created_at=datetime.now(UTC) - timedelta(days=1))
    delivering.send_due(services)
    late = row(services).next_attempt_at - datetime.now(UTC)

    assert len(queue_of(services).deliveries) == 2
    assert soon <= timedelta(seconds=5)
    assert timedelta(minutes=4) < late <= timedelta(minutes=5)


def test_when_the_queue_lost_its_memory_it_is_told_at_once(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)
    delivering.send_due(services)

    delivering.send_due(services)
    before = len(queue_of(services).deliveries)
    delivering.send_due(services, is_memory_lost=True)

    assert (before, len(queue_of(services).deliveries)) == (1, 2)


def test_a_destination_that_is_gone_from_the_settings_is_said(open_services: Open, receiver: Receiver) -> None:
    reported(open_services, receiver.url)
    services = open_services(ScriptedModel([]))

    one_round(services)

    assert (row(services).status, row(services).failure) == (
        "failed",
        "the destination 'webhook' is not configured here",
    )


def test_a_failed_one_is_sent_again_by_hand_under_the_same_key(open_services: Open, receiver: Receiver) -> None:
    receiver.says = [Say(403), Say(200)]
    services = reported(open_services, receiver.url)
    one_round(services)

    with services.database.transaction() as session:
        deliveries.resend(session, row(services).id)
    one_round(services)

    assert len({p.headers["idempotency-key"] for p in receiver.posts}) == 1
    assert (row(services).status, row(services).attempts) == ("delivered", 1)


def test_one_on_its_way_and_one_of_others_are_not_sent_again(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)
    claimed(services)

    with pytest.raises(UserError, match="on its way"), services.database.transaction() as session:
        deliveries.resend(session, row(services).id)
    set_row(services, status=DeliveryStatus.FAILED)
    for named, path in ((row(services).id, "/team"), ("dlv_none", "/")):
        with pytest.raises(NotFoundError), services.database.transaction() as session:
            deliveries.resend(session, named, user_path=path)


def test_a_worker_that_leaves_takes_nothing_new(open_services: Open, receiver: Receiver) -> None:
    services = reported(open_services, receiver.url)
    services.stopping.set()

    one_round(services)

    assert receiver.posts == []
    assert row(services).status == "due"


def test_secrets_stay_out_of_the_rows(open_services: Open) -> None:
    with Receiver() as gone:
        url = gone.url + "/canary-path"
    services = reported(open_services, url, rca_delivery_webhook_secret="canary-secret")

    one_round(services)

    assert "canary" not in str(row(services).failure)
    assert "127.0.0.1" not in str(row(services).failure)
