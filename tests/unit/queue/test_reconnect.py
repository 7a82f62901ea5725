"""A worker that lost its queue looks for it every few seconds, however long it has been away."""

import pytest

from tests.servers import free_port
from worker.celery import create_app
from worker.settings import Settings

ATTEMPTS = 6


class EnoughSeenError(Exception):
    pass


def test_a_queue_that_is_long_away_is_looked_for_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _s: None)
    app = create_app(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    waits: list[float] = []

    def note(_error: Exception, wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == ATTEMPTS:
            raise EnoughSeenError

    with app.connection_for_read() as connection, pytest.raises(EnoughSeenError):
        connection.ensure_connection(note, None)
    app.close()

    assert max(waits) <= 3.0
