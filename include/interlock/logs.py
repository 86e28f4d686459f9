"""The log: what was done, to which run, dataset, partition and load, one record a line on standard error.

The ids are bound where the work on a thing begins (`bound`) and go into every record below, so that no call has to
hand them on and none can forget to. They live in structlog's context variables, which Airflow's own handlers read
as well: in a task's log the same ids are there, and nothing of Airflow's logging is replaced.

A command logs words at a terminal and JSON elsewhere, unless `INTERLOCK_LOG_FORMAT` says which. No secret that the
settings know leaves this module, nor anything that looks like the password in a URL. Nothing is read or imported
before the first record: `interlock check` logs nothing and must start fast.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

Event = MutableMapping[str, Any]

PACKAGE = "interlock"
# The phases of a run, as they begin and end. Who sits at a terminal is shown them by the command itself.
PROGRESS = f"{PACKAGE}.progress"

FIRST_KEYS = ("timestamp", "level", "logger", "message")
IDS = ("run", "domain", "phase", "dataset", "partition", "load", "version")
EXCEPTION = "exception"
HIDDEN = "***"
_IN_URL = re.compile(r"(?<=://)([^\s:/@]*):[^\s@]+@")
_TOKEN = re.compile(r"ilk_\d+_[0-9a-fA-F]+")
_NAMED = re.compile(r"(?i)\b(\w*(?:password|passwd|secret|secret_key|api_?key)\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s,;]+)")


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Name what is worked on (`run`, `domain`, `phase`, `dataset`, `partition`, `load`, `version`) in every record.

    What is None is left as it was. A thread that is started inside begins without ids.
    """
    from structlog import contextvars

    with contextvars.bound_contextvars(**{name: value for name, value in ids.items() if value is not None}):
        yield


def configure() -> None:
    """Send the package's records to standard error, for a process of our own; inside Airflow this is not called."""
    package = logging.getLogger(PACKAGE)
    if not any(isinstance(handler, _StandardError) for handler in package.handlers):
        package.addHandler(_StandardError())
        package.setLevel(logging.DEBUG)  # the handler asks the settings, once there is something to log
        package.propagate = False


def is_json() -> bool:
    """Whether records are JSON: as the settings say, else wherever standard error is no terminal."""
    from interlock.settings import LogFormat, settings

    asked = settings().log_format
    return not sys.stderr.isatty() if asked is None else asked is LogFormat.JSON


class _StandardError(logging.StreamHandler[Any]):
    """Standard error, in the form and from the level on that the settings ask for."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._hides_progress = False

    def filter(self, record: logging.LogRecord) -> Any:
        """Whether the record is wanted. The first one that comes by has the settings read."""
        if self.formatter is None:
            self._settle()
        is_hidden = self._hides_progress and record.name == PROGRESS
        return record.levelno >= self.level and not is_hidden and super().filter(record)

    def _settle(self) -> None:
        from interlock.settings import settings

        configured = settings()
        as_json = is_json()
        # At a terminal a command says itself what it does, unless more was asked for.
        self._hides_progress = not as_json and "log_level" not in configured.model_fields_set
        self.setLevel(logging.WARNING if self._hides_progress else configured.log_level)
        self.setFormatter(_formatter(as_json))


def _formatter(as_json: bool) -> logging.Formatter:
    from structlog import contextvars, processors, stdlib

    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            contextvars.merge_contextvars,
            stdlib.add_log_level,
            stdlib.add_logger_name,
            stdlib.ExtraAdder(),
            _stamped,
            processors.format_exc_info,
            processors.EventRenamer("message"),
        ],
        processors=[
            stdlib.ProcessorFormatter.remove_processors_meta,
            _ordered_without_secrets(),
            processors.JSONRenderer() if as_json else _words,
        ],
    )


def _stamped(_: Any, __: str, event: Event) -> Event:
    """With the time at which it was logged, in UTC."""
    created = datetime.fromtimestamp(event["_record"].created, UTC)
    event["timestamp"] = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _ordered_without_secrets() -> Callable[[Any, str, Event], Event]:
    hidden = hiding()

    def ordered(_: Any, __: str, event: Event) -> Event:
        known = (*FIRST_KEYS, *IDS)
        others = [name for name in event if name not in known and name != EXCEPTION]
        return {
            name: event[name] if isinstance(event[name], int | float | None) else hidden(str(event[name]))
            for name in (*known, *others, EXCEPTION)
            if name in event
        }

    return ordered


def _words(_: Any, __: str, event: Event) -> str:
    """One line for a person: what happened, then what it was about."""
    about = ", ".join(f"{name} {value}" for name, value in event.items() if name not in (*FIRST_KEYS, EXCEPTION))
    line = f"{event['timestamp']} {event['level']:<8} {event['message']}{f' ({about})' if about else ''}"
    return f"{line}\n{event[EXCEPTION]}" if EXCEPTION in event else line


def hiding() -> Callable[[str], str]:
    """A function that hides what the settings hold as secret in a text, and what looks like a password."""
    from interlock.settings import settings

    configured = settings()
    urls = [url for of_owner in configured.notify_urls.values() for url in of_owner]
    held = (configured.secret_key, configured.database_url, configured.token, configured.airflow_password)
    kept = [secret.get_secret_value() for secret in held if secret]
    known = sorted((text for text in (*kept, *urls) if text), key=len, reverse=True)

    def hidden(text: str) -> str:
        for secret in known:
            text = text.replace(secret, HIDDEN)
        text = _TOKEN.sub(HIDDEN, text)
        return _NAMED.sub(rf"\1{HIDDEN}", _IN_URL.sub(rf"\1:{HIDDEN}@", text))

    return hidden
