"""How every process speaks: one chain for our own and all libraries' log lines, redacted at its end."""

import json
import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.ops.redaction import LEARNED, Redactor


class LoggingSettings(Protocol):
    """The settings that shape a log."""

    @property
    def rca_log_level(self) -> str: ...
    @property
    def rca_log_format(self) -> str: ...
    @property
    def secrets(self) -> tuple[str, ...]: ...


class QuietHandler(logging.StreamHandler[TextIO]):
    """A stream handler whose own failure prints no record: the record is not redacted yet."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        error = sys.exc_info()[0]
        name = error.__name__ if error else "unknown error"
        sys.stderr.write(f"a log line of {record.name} ({record.pathname}:{record.lineno}) was lost: {name}\n")


TALKATIVE = ("httpx", "alembic.runtime.migration")
"""Libraries that say at INFO what our own lines say better; at DEBUG they may."""


def configure_logging(settings: LoggingSettings, *, process: str, stream: TextIO | None = None) -> None:
    """Send our lines and the standard library's through one chain to `stream` (default: standard error).

    Meant to run once, first thing in a process; running it again replaces what was before.
    """
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_described(process), _keep_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = QuietHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(settings, process=process))
    logging.root.handlers = [handler]
    logging.root.setLevel(settings.rca_log_level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING if logging.root.level == logging.INFO else logging.NOTSET)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


_keep_for_formatter = structlog.stdlib.ProcessorFormatter.wrap_for_formatter


def _described(process: str) -> list[Processor]:
    """Say what every line carries, whoever wrote it."""

    def add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {"process": process, **event}

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]


def _formatter(settings: LoggingSettings, *, process: str) -> logging.Formatter:
    is_console = settings.rca_log_format == "console"
    render = structlog.dev.ConsoleRenderer(colors=False) if is_console else structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_described(process),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _redact(Redactor(_as_written(settings.secrets), learned=LEARNED)),
            render,
        ],
    )


def _as_written(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Add how a secret with quotes or backslashes looks inside the repr or the JSON of something larger."""
    shapes = (shape for secret in secrets for shape in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]))
    return tuple(dict.fromkeys(shapes))


def _redact(redactor: Redactor) -> Processor:
    """Redact the fields, not the finished line: there a quote in a key would be escaped and not found."""

    def scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        plain = json.loads(json.dumps(dict(event), default=repr, skipkeys=True))
        scrubbed: EventDict = redactor.scrub_json(plain)
        return scrubbed

    return scrub


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _crash_logger(kind)("process_crashed", exc_info=(kind, error, trace))


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_type is SystemExit:
        return
    name = crash.thread.name if crash.thread else "unknown"
    trace = (crash.exc_type, crash.exc_value, crash.exc_traceback)
    _crash_logger(crash.exc_type)("thread_crashed", thread=name, exc_info=trace)


def _crash_logger(kind: type[BaseException]) -> Callable[..., object]:
    logger = get_logger("worker.ops.logging")
    return logger.info if issubclass(kind, KeyboardInterrupt) else logger.critical
