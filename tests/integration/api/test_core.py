"""What holds at every door: who asks is known, and where nobody can be asked, nothing passes for an answer."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlock.api import identity
from interlock.api.resources import changes
from interlock.control import credentials
from interlock.control.questions import Right
from interlock.db import embedded
from interlock.settings import settings

DAY = "2013-01-05"
ASKING = ("/v1/safety/fct_orders", f"/v1/safety/fct_orders/{DAY}", "/v1/session", "/v1/changes")


def _becomes(ask: Any, status: int) -> Any:
    """Ask until that is the answer; fails where it is not within the patience."""
    deadline = time.monotonic() + 30
    while (told := ask()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told.status_code == status, told.text
    return told


def test_nobody_is_answered_who_does_not_say_who_they_are(filled: Any, asked: Any):
    for path in ASKING:
        told = asked().get(path)
        assert told.status_code == 401
        assert told.headers["www-authenticate"] == "Bearer"
        assert told.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("shown", ["ilk_1_" + "0" * 64, "nonsense"])
def test_what_is_no_token_is_refused_and_after_some_tries_made_to_wait(
    database: Any, asked: Any, shown: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("INTERLOCK_API_FAILED_LOGINS_PER_MINUTE", "3")
    settings.cache_clear()
    client = asked()
    statuses = [client.get("/v1/session", headers={"authorization": f"Bearer {shown}"}).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_a_revoked_token_is_refused_once_what_was_kept_of_it_has_run_out(
    database: Any, asked: Any, token: Any, monkeypatch: pytest.MonkeyPatch
):
    assert identity.KEPT_SECONDS == changes.KEPT_SECONDS == 5
    monkeypatch.setattr(identity, "KEPT_SECONDS", 0.3)
    shown = token()
    client = asked(shown)
    assert client.get("/v1/session").status_code == 200
    credentials.revoke(int(shown.split("_")[1]), "It was lost.", "tests")
    told = _becomes(lambda: client.get("/v1/session"), 401)
    assert "revoked" in told.json()["detail"]


def test_the_page_logs_in_with_a_cookie_that_no_script_reads_and_no_other_site_uses(
    filled: Any, asked: Any, token: Any
):
    client = asked()
    made = client.post("/v1/session", json={"token": token("ada", [Right.READ])})
    cookie = made.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert client.get(f"/v1/safety/fct_orders/{DAY}").json()["safe"]
    question = {"questions": [{"dataset": "fct_orders"}]}
    assert client.post("/v1/safety", json=question).status_code == 200
    foreign = client.post("/v1/safety", json=question, headers={"origin": "https://elsewhere.example"})
    assert foreign.status_code == 403
    form = client.post("/v1/safety", content=b"{}", headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert client.request("DELETE", "/v1/session").status_code == 204
    assert client.get("/v1/session").status_code == 401


def test_who_asks_too_often_is_made_to_wait_and_nobody_else(
    database: Any, asked: Any, token: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("INTERLOCK_API_READS_PER_SECOND", "2")
    settings.cache_clear()
    hasty = asked(token("ada"))
    told = [hasty.get("/v1/session") for _ in range(4)]
    assert [one.status_code for one in told][:2] == [200, 200]
    assert told[-1].status_code == 429
    assert int(told[-1].headers["retry-after"]) >= 1
    assert asked(token("ben")).get("/v1/session").status_code == 200


def test_no_answer_may_be_framed_or_guessed_at_by_another_site(asked: Any):
    for path in ("/livez", "/v1/session", "/v1/nowhere"):
        headers = asked().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


def test_an_answer_that_is_known_already_is_not_sent_again(filled: Any, asked: Any, token: Any):
    client = asked(token())
    first = client.get(f"/v1/safety/fct_orders/{DAY}")
    again = client.get(f"/v1/safety/fct_orders/{DAY}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["interlock-valid-until"] == first.headers["interlock-valid-until"]
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", DAY), DAY)
    changed = client.get(f"/v1/safety/fct_orders/{DAY}", headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.json()["safe"]) == (200, False)


def test_every_answer_names_its_request_and_no_log_names_a_token(
    filled: Any, asked: Any, token: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    shown = token()
    client = asked(shown)
    assert client.get("/v1/session", headers={"x-request-id": "ticket-7"}).headers["x-request-id"] == "ticket-7"
    made = client.get("/v1/session", headers={"x-request-id": "not sane; at all"}).headers["x-request-id"]
    assert made not in ("", "not sane; at all")
    client.post("/v1/session", json={"token": shown})
    client.get(f"/v1/safety/nowhere?token={shown}")
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("interlock"))
    assert "GET /v1/safety/nowhere: 404" in logged
    assert shown.rsplit("_", 1)[1] not in logged


def test_with_the_database_stopped_nobody_could_be_asked_and_it_answers_again_by_itself(
    own_server: embedded.EmbeddedServer, application: Any, served: Any, token: Any
):
    client, nobody = served(token()), served()
    assert client.get("/v1/safety/nowhere").status_code == 404
    with client.stream("GET", "/v1/changes") as stream:
        own_server.stop(force=True)
        assert list(stream.iter_lines())[-1] == ""  # it ends, and says nothing more
    for path in ("/readyz", *ASKING):
        told = client.get(path)
        assert (told.status_code, told.json()["title"]) == (503, "Could not ask"), told.text
        assert told.headers["retry-after"]
        assert "127.0.0.1" not in told.text
    assert nobody.get("/livez").status_code == 200
    assert nobody.get("/v1/session").status_code == 401
    own_server.acquire()
    _becomes(lambda: client.get("/v1/safety/nowhere"), 404)
    assert client.get("/readyz").status_code == 200
    with client.stream("GET", "/v1/changes") as stream:
        assert stream.status_code == 200


def test_serve_begins_without_a_database_or_airflow_and_stops_politely_amidst_a_stream(
    own_server: embedded.EmbeddedServer, token: Any
):
    shown = token()
    own_server.stop(force=True)
    without_airflow = "import sys; sys.modules['airflow'] = None; from interlock.cli import main; main()"
    command = [sys.executable, "-c", without_airflow, "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=url, headers={"authorization": f"Bearer {shown}"}, trust_env=False) as client:
                assert client.get("/v1/session").status_code == 503
                own_server.acquire()
                assert _becomes(lambda: client.get("/v1/session"), 200).json()["person"] == "ada"
                with client.stream("GET", "/v1/changes") as stream:
                    lines = stream.iter_lines()
                    next(lines)
                    process.terminate()
                    list(lines)  # to its end, which is one
            said = process.communicate(timeout=15)[1]
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "cannot be asked" in said
    assert "Traceback" not in said
    assert shown not in said


@pytest.fixture
def own_server(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[embedded.EmbeddedServer]:
    """A server of the test's own, which it may stop; the settings point to it."""
    own = embedded.EmbeddedServer(tmp_path / "own", lambda: "secret", durable=False)
    try:
        port = own.acquire()
        monkeypatch.setenv("INTERLOCK_DATABASE_URL", f"postgresql://postgres:secret@127.0.0.1:{port}/postgres")
        settings.cache_clear()
        yield own
    finally:
        own.erase()


@pytest.mark.parametrize(
    ("public", "shown"),
    [(None, "http://inside:8080"), ("https://airflow.example.com/", "https://airflow.example.com")],
    ids=["where it is called", "where a browser reaches it"],
)
def test_people_are_sent_to_airflow_where_their_browser_reaches_it(asked, token, monkeypatch, public, shown):
    monkeypatch.setenv("INTERLOCK_AIRFLOW_URL", "http://inside:8080/")
    monkeypatch.setenv("INTERLOCK_AIRFLOW_PUBLIC_URL", public or "")
    settings.cache_clear()
    assert asked(token()).get("/v1/session").json()["airflow_url"] == shown
