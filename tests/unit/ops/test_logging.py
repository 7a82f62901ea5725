"""Every line, ours or a library's, is one record of one shape, and holds no secret."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import structlog

from worker.ops.logging import configure_logging, get_logger

KEY = "sk-live-0123456789\"abc'def\\ghi"


@dataclass(frozen=True)
class LogSettings:
    rca_log_level: str = "INFO"
    rca_log_format: str = "json"
    secrets: tuple[str, ...] = (KEY,)


@dataclass(frozen=True)
class Log:
    """Where a test's lines went."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Iterator[Callable[..., Log]]:
    """Configure logging as asked; all is as before when the test ends."""
    before = (logging.root.handlers, logging.root.level, sys.excepthook, threading.excepthook)

    def start(**changes: Any) -> Log:
        stream = io.StringIO()
        configure_logging(LogSettings(**changes), process="worker", stream=stream)
        return Log(stream)

    yield start
    logging.root.handlers, logging.root.level, sys.excepthook, threading.excepthook = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_our_lines_carry_event_level_time_process_and_fields(log: Callable[..., Log]) -> None:
    started = log()

    get_logger("worker.pipeline").info("turn_stored", turn_no=3)

    [line] = started.lines
    assert (line["event"], line["level"], line["process"], line["turn_no"]) == ("turn_stored", "info", "worker", 3)
    assert line["logger"] == "worker.pipeline"
    assert line["timestamp"].endswith("Z")


def test_a_librarys_line_has_the_same_shape(log: Callable[..., Log]) -> None:
    started = log()

    logging.getLogger("celery.worker").warning("lost %s of %d", "connection", 2)

    [line] = started.lines
    assert (line["event"], line["level"], line["logger"]) == ("lost connection of 2", "warning", "celery.worker")
    assert line["process"] == "worker"


def test_what_was_bound_to_the_context_is_on_every_line(log: Callable[..., Log]) -> None:
    started = log()

    with structlog.contextvars.bound_contextvars(task_id="t-1"):
        get_logger("a").info("one_done")
        logging.getLogger("b").info("two")

    assert [line["task_id"] for line in started.lines] == ["t-1", "t-1"]


def test_lines_below_the_level_are_not_written(log: Callable[..., Log]) -> None:
    started = log(rca_log_level="WARNING")

    get_logger("a").info("one_done")
    logging.getLogger("b").info("two")

    assert started.text == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_key_never_appears_wherever_it_was_put(log_format: str, log: Callable[..., Log]) -> None:
    started = log(rca_log_level="DEBUG", rca_log_format=log_format)

    class Client:
        def __repr__(self) -> str:
            return f"Client(key={KEY})"

    ours, theirs = get_logger("ours"), logging.getLogger("theirs")
    ours.info("call_failed", url=f"https://host?key={KEY}", nested={"headers": [KEY, {"k": KEY}]}, client=Client())
    theirs.debug("send headers %r", {"authorization": f"Bearer {KEY}"})
    theirs.info(f"event {KEY}")
    try:
        raise ValueError(KEY)  # noqa: TRY301 - an error with a key in its text
    except ValueError:
        ours.exception("step_failed")
        theirs.exception("failed")

    assert len(started.text.splitlines()) >= 5
    for shape in (KEY, repr(KEY)[1:-1], json.dumps(KEY)[1:-1]):
        assert shape not in started.text


def test_a_http_librarys_debug_lines_hold_no_key(log: Callable[..., Log]) -> None:
    key = "sk-live-0123456789abcdefghij"
    started = log(rca_log_level="DEBUG", secrets=(key,))
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.headers)))

    with httpx.Client(transport=transport) as client:
        client.get(f"http://host/?key={key}", headers={"authorization": f"Bearer {key}"})

    assert "host" in started.text
    assert key not in started.text


def test_a_crash_is_one_redacted_line(log: Callable[..., Log]) -> None:
    started = log()
    error = RuntimeError(KEY)

    sys.excepthook(RuntimeError, error, None)

    [line] = started.lines
    assert (line["event"], line["level"]) == ("process_crashed", "critical")
    assert "RuntimeError" in line["exception"]
    assert "0123456789" not in started.text


def test_a_threads_crash_is_one_redacted_line(log: Callable[..., Log]) -> None:
    started = log()

    def crash() -> None:
        raise RuntimeError(KEY)

    thread = threading.Thread(target=crash, name="sweeper")
    thread.start()
    thread.join()

    [line] = started.lines
    assert (line["event"], line["thread"]) == ("thread_crashed", "sweeper")
    assert "0123456789" not in started.text


def test_a_warning_goes_the_same_way(log: Callable[..., Log]) -> None:
    started = log()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)

    assert any("old way" in line["event"] for line in started.lines)


def test_a_line_that_cannot_be_written_shows_nothing_of_itself(
    log: Callable[..., Log], capsys: pytest.CaptureFixture[str]
) -> None:
    log()

    logging.getLogger("careless").info("two %s %s", KEY)  # noqa: PLE1206 - the mistake under test

    said = capsys.readouterr().err
    assert "a log line of careless" in said
    assert "0123456789" not in said


def test_configuring_again_replaces_what_was(log: Callable[..., Log]) -> None:
    first = log()
    second = log()

    get_logger("a").info("one_done")

    assert first.text == ""
    assert len(second.lines) == 1


def test_the_console_shape_is_for_people(log: Callable[..., Log]) -> None:
    started = log(rca_log_format="console")

    get_logger("a").info("turn_stored", turn_no=3)

    assert "turn_stored" in started.text
    assert "turn_no=3" in started.text
    assert not started.text.startswith("{")
