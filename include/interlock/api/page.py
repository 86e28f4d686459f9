"""The operator's page, served as the set-up built it (`.ci/page`, from include/page).

Where it is served from is not known when it is built: alone at `/`, or below a prefix in Airflow. So the address is
written into its `<base href>` with each answer, and everything in the page is relative to that. The page itself is for
everybody and says nothing: what it shows it asks the API for, as whoever is logged in.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse

BUILT = Path(__file__).parent / "static"
# A new build has new names, so what has one may be kept for ever; what has not is asked for each time.
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
EACH_TIME = {"cache-control": "no-cache"}
# The page's own routes; an address that is none of them stays a 404 of the API.
ROUTES = ("/", "/dataset/{rest:path}", "/action", "/action/{rest:path}", "/metric", "/metric/{rest:path}")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
NOT_BUILT = (
    "The page was not built.\n\n"
    "`make environment` in the checkout builds it, or `sh .ci/page` where the environment is there already.\n"
    "The API answers all the same: /openapi.json describes it, and `interlock status` shows the matrix.\n"
)


def install(app: FastAPI) -> None:
    """Serve the page on its routes, and its files."""
    for route in ROUTES:
        app.add_api_route(route, index, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/theme.js", theme, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/assets/{name}", asset, methods=["GET", "HEAD"], include_in_schema=False)


def index(request: Request) -> Response:
    """The page, for all of its routes: which one it is, it sees itself."""
    try:
        page = (BUILT / "index.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        return PlainTextResponse(NOT_BUILT, status_code=503, headers=EACH_TIME)
    base = html.escape(f"{request.scope.get('root_path', '')}/", quote=True)
    return HTMLResponse(page.replace('<base href="/"', f'<base href="{base}"', 1), headers=EACH_TIME)


def theme() -> Response:
    """The script that runs before the first paint."""
    return _file(BUILT / "theme.js", EACH_TIME, is_zipped=False)


def asset(name: str, request: Request) -> Response:
    """A script or a style sheet, compressed where the browser takes that."""
    if not PLAIN_NAME.fullmatch(name):
        return PlainTextResponse("There is no such file.\n", status_code=404)
    path = BUILT / "assets" / name
    takes_zipped = "gzip" in request.headers.get("accept-encoding", "")
    return _file(path, FOR_EVER, is_zipped=takes_zipped and path.with_name(f"{name}.gz").is_file())


def _file(path: Path, headers: dict[str, str], *, is_zipped: bool) -> Response:
    if not path.is_file():
        return PlainTextResponse("There is no such file.\n", status_code=404, headers=EACH_TIME)
    kind = "text/css" if path.suffix == ".css" else "text/javascript"
    headers = {**headers, "vary": "accept-encoding"}
    if is_zipped:
        return FileResponse(path.with_name(f"{path.name}.gz"), 200, {**headers, "content-encoding": "gzip"}, kind)
    return FileResponse(path, 200, headers, kind)
