"""How the built page is served, without a database: it asks nothing, and shows nothing of itself."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from interlock.api import page
from interlock.api.app import create_app

INDEX = '<html><head><base href="/" /></head></html>'
SCRIPT = "index-B5cF2.js"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a build leaves."""
    monkeypatch.setattr(page, "BUILT", tmp_path)
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / SCRIPT).write_text("plain")
    (tmp_path / "assets" / f"{SCRIPT}.gz").write_bytes(gzip.compress(b"plain"))
    return tmp_path


def _got(path: str, app: FastAPI | None = None, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app or create_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://interlock") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/", "/dataset/fct_flights/2013-01-10", "/action/12", "/metric/on_time_arrival_rate"])
def test_every_address_of_the_page_is_the_page_and_is_asked_for_each_time(built, path):
    answer = _got(path)
    assert answer.status_code == 200
    assert answer.text == INDEX
    assert answer.headers["cache-control"] == "no-cache"


def test_below_a_prefix_the_page_is_told_where_it_is(built):
    airflow = FastAPI()
    airflow.mount("/interlock", create_app(mounted_in_airflow=True))
    assert '<base href="/interlock/"' in _got("/interlock/dataset/fct_flights", airflow).text


def test_what_has_a_name_of_its_own_build_is_kept_for_ever_and_comes_compressed(built):
    answer = _got(f"/assets/{SCRIPT}", **{"accept-encoding": "gzip"})
    assert (answer.text, answer.headers["content-encoding"]) == ("plain", "gzip")
    assert "immutable" in answer.headers["cache-control"]
    assert "content-encoding" not in _got(f"/assets/{SCRIPT}", **{"accept-encoding": "identity"}).headers


@pytest.mark.parametrize(
    "path", ["/assets/none.js", "/assets/..%2Findex.html", "/assets/.gz", "/elsewhere", "/v1/none"]
)
def test_an_address_that_is_nothing_is_not_answered_with_the_page(built, path):
    answer = _got(path)
    assert answer.status_code == 404
    assert "<html" not in answer.text


def test_where_the_page_was_not_built_it_says_how_to_build_it(built):
    (built / "index.html").unlink()
    answer = _got("/")
    assert answer.status_code == 503
    assert "make environment" in answer.text
