"""What drawing the matrix costs: 100 datasets by 1,000 partitions, in a real Chromium, from the click to the picture.

Logging in and the page's scripts are paid before: what is measured is the matrix as somebody opens it a second time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.benchmarks.asking import DATASETS, DAYS, _fill_matrix, _served
from tests.benchmarks.figures import Figure, middle
from tests.benchmarks.platform import interlock, scratch
from tests.benchmarks.serving import FIRST, Publisher

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

TIMES = 5
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server")
# From the start of the navigation, in milliseconds: when the answer was there, and when the matrix was.
SEEN = """
const [drawn] = performance.getEntriesByName("matrix-drawn");
const answer = performance.getEntriesByType("resource").find((entry) => entry.name.includes("/v1/matrix"));
return drawn && answer ? [answer.responseEnd - answer.requestStart, drawn.startTime] : null;
"""
SCROLLED = """
const done = arguments[0], matrix = document.querySelector(".matrix"), gaps = [];
let last = performance.now(), step = 0;
requestAnimationFrame(function frame(now) {
  gaps.push(now - last);
  last = now;
  matrix.scrollTo(step * 120, step * 40);
  if (++step < 120) requestAnimationFrame(frame);
  else done(gaps.slice(1).sort((a, b) => a - b)[Math.floor(gaps.length * 0.95)]);
});
"""


def figures() -> Iterator[Figure]:
    """The matrix answered and drawn, and how long a frame takes while it is scrolled both ways."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return
    what = f"matrix of {DATASETS} x {DAYS:,}"
    with scratch(), Publisher() as publisher, _served() as port, _chrome() as chrome:
        publisher.publish(FIRST, 100)
        _fill_matrix()
        token = interlock("token", "create", "--for", "bench", "--scope", "read", "--domain", "*").split()[0]
        chrome.get(f"http://127.0.0.1:{port}/")
        _waited(chrome, "return document.querySelector('input[name=token]') !== null")
        chrome.find_element("name", "token").send_keys(token + "\n")
        _waited(chrome, "return document.querySelector('.matrix') !== null")
        seen: list[tuple[float, float]] = []
        for _ in range(TIMES):
            chrome.get(f"http://127.0.0.1:{port}/?days={DAYS}")
            seen.append(_waited(chrome, SEEN))
        frame = chrome.execute_async_script(SCROLLED)
    yield Figure(
        what=f"{what}: answered, as the browser sees it",
        ours=middle([it[0] for it in seen]),
        unit="ms",
        target="under 300 ms",
    )
    yield Figure(
        what=f"{what}: drawn, from opening the page",
        ours=middle([it[1] for it in seen]),
        unit="ms",
        target="under 1,000 ms",
    )
    yield Figure(what=f"{what}: a frame while scrolling (p95)", ours=frame, unit="ms", target="(for comparison)")


def _waited(chrome: Chrome, script: str) -> Any:
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(chrome, 60, 0.1).until(lambda it: it.execute_script(script))


@contextmanager
def _chrome() -> Iterator[Chrome]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory(prefix="interlock-chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, "--window-size=1280,800", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        chrome = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield chrome
        finally:
            chrome.quit()
