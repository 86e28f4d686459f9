"""The log: one record a line, with the ids of what is worked on, and no secret in it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock import logs
from interlock.errors import Exit
from interlock.settings import settings

logger = logging.getLogger("interlock.tests.log")
progress = logging.getLogger(logs.PROGRESS)


class Terminal(io.StringIO):
    """Standard error where a person looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def logging_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., io.StringIO]]:
    """Configures the package's log anew, with settings; returns what is written to standard error."""
    package = logging.getLogger(logs.PACKAGE)
    before = package.handlers[:], package.level, package.propagate

    def configure(stream: io.StringIO | None = None, **set_to: str) -> io.StringIO:
        for name, value in set_to.items():
            monkeypatch.setenv(f"INTERLOCK_{name.upper()}", value)
        settings.cache_clear()
        stream = stream or io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        package.handlers[:] = []
        logs.configure()
        return stream

    yield configure
    package.handlers[:], package.level, package.propagate = before


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_a_line(logging_to: Callable[..., io.StringIO]):
    stream = logging_to()
    logger.warning("two\nlines about %s", "orders", extra={"rows": 3})
    logger.info("second")
    first, second = records(stream)
    assert list(first)[:4] == ["timestamp", "level", "logger", "message"]
    assert (first["level"], first["logger"], first["message"]) == (
        "warning", "interlock.tests.log", "two\nlines about orders",
    )  # fmt: skip
    assert first["rows"] == 3
    assert second["message"] == "second"
    assert datetime.fromisoformat(first["timestamp"]).utcoffset() == timedelta(0)


def test_the_text_of_an_exception_is_in_its_record(logging_to: Callable[..., io.StringIO]):
    stream = logging_to()
    try:
        raise ValueError("nobody foresaw this")
    except ValueError:
        logger.exception("it broke")
    [record] = records(stream)
    assert record["exception"].startswith("Traceback")
    assert record["exception"].endswith("ValueError: nobody foresaw this")


def test_every_record_carries_the_ids_that_are_bound_and_none_after(logging_to: Callable[..., io.StringIO]):
    stream = logging_to()
    with logs.bound(run=7, domain="shop", partition=None):
        with logs.bound(phase="load", dataset="orders", partition="2013-01-05", load=12):
            logger.info("inside")
        logger.info("between")
    logger.info("after")
    inside, between, after = [{name: r[name] for name in logs.IDS if name in r} for r in records(stream)]
    assert inside == {
        "run": 7, "domain": "shop", "phase": "load", "dataset": "orders", "partition": "2013-01-05", "load": 12,
    }  # fmt: skip
    assert between == {"run": 7, "domain": "shop"}
    assert after == {}


def test_ids_are_gone_after_a_failure_as_well(logging_to: Callable[..., io.StringIO]):
    stream = logging_to()
    with pytest.raises(KeyboardInterrupt), logs.bound(run=7):
        raise KeyboardInterrupt
    logger.info("after")
    assert "run" not in records(stream)[0]


def test_a_person_at_a_terminal_reads_words_and_only_what_a_command_does_not_say(
    logging_to: Callable[..., io.StringIO],
):
    stream = logging_to(Terminal())
    with logs.bound(run=7, phase="load"):
        logger.info("not worth a line")
        progress.error("the command itself says so")
        logger.warning("owners were not told")
    [line] = stream.getvalue().splitlines()
    assert line.endswith("warning  owners were not told (run 7, phase load)")


@pytest.mark.parametrize(
    ("level", "said"), [("debug", "diwe"), ("INFO", "iwe"), ("Warning", "we"), ("ERROR", "e"), ("CRITICAL", "")]
)
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_the_level_that_is_set_holds_wherever_it_is_logged_to(
    logging_to: Callable[..., io.StringIO], stream: type[io.StringIO], level: str, said: str
):
    written = logging_to(stream(), log_level=level, log_format="json")
    for call in (progress.debug, progress.info, progress.warning, progress.error):
        call("%s", call.__name__[0])
    assert "".join(record["message"] for record in records(written)) == said


@pytest.mark.parametrize(("asked", "stream"), [("text", io.StringIO), ("json", Terminal)])
def test_the_format_that_is_set_holds_at_a_terminal_and_elsewhere(
    logging_to: Callable[..., io.StringIO], asked: str, stream: type[io.StringIO]
):
    written = logging_to(stream(), log_format=asked)
    logger.warning("said")
    assert written.getvalue().startswith("{") is (asked == "json")


def test_no_secret_is_in_any_line(logging_to: Callable[..., io.StringIO]):
    secrets = ("key-of-all-keys", "pass/word", "hunter2", "tokenA")
    stream = logging_to(
        secret_key="key-of-all-keys",
        database_url="postgresql://admin:pass%2Fword@db.example.com/warehouse",
        notify_urls='{"team": ["slack://tokenA/tokenB"]}',
        log_format="json",
    )
    with logs.bound(dataset="postgresql://who:hunter2@host/db"):
        try:
            raise ValueError("could not log in at postgresql://admin:pass%2Fword@db.example.com/warehouse")
        except ValueError:
            logger.exception(
                "host=x password=hunter2 dbname=y; %s", "slack://tokenA/tokenB", extra={"more": secrets[0]}
            )
        logger.error("PGPASSWORD='hunter2' and mailto://me:hunter2@example.com/x and %r", {"k": "key-of-all-keys"})
    written = stream.getvalue()
    assert [secret for secret in (*secrets, "pass%2Fword") if secret in written] == []
    assert "dbname=y" in written
    assert "db.example.com" not in written.replace("\\", "")  # the whole of a setting that is a secret is one
    assert "host/db" in written


def test_nothing_is_imported_before_there_is_something_to_log():
    code = (
        "import sys\nfrom interlock import logs\nlogs.configure()\n"
        "print(sorted({'structlog', 'pydantic', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_where_json_was_asked_for_even_the_end_of_a_command_is_a_record():
    environment = {
        "PATH": os.defpath, "INTERLOCK_DATABASE_URL": "postgresql://a:hunter2@127.0.0.1:1/c",
        "INTERLOCK_SECRET_KEY": "k", "INTERLOCK_LOG_FORMAT": "json",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "interlock", "runs"], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == Exit.COULD_NOT_ASK
    [record] = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (record["level"], "127.0.0.1:1/c" in record["message"]) == ("error", True)
    assert "hunter2" not in ended.stderr


def test_in_airflow_the_ids_are_in_the_tasks_log_and_its_own_handlers_stay(tmp_path: Path):
    code = (
        "import io, logging\n"
        "from airflow.sdk.log import configure_logging\n"
        "written = io.BytesIO()\n"
        "configure_logging(json_output=True, output=written, sending_to_supervisor=True)\n"
        "before = logging.getLogger().handlers[:]\n"
        "from interlock import logs\n"
        "with logs.bound(run=7, phase='load', dataset='orders', partition='2013-01-05', load=12):\n"
        "    logging.getLogger(logs.PROGRESS).info('load began')\n"
        "assert logging.getLogger().handlers == before\n"
        "assert logging.getLogger('interlock').handlers == []\n"
        "print(written.getvalue().decode().splitlines()[-1])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout.splitlines()[-1])
    assert record["event"] == "load began"
    assert {name: record[name] for name in ("run", "phase", "dataset", "partition", "load")} == {
        "run": 7, "phase": "load", "dataset": "orders", "partition": "2013-01-05", "load": 12,
    }  # fmt: skip
