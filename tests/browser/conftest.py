"""A person at a real browser in front of the real platform: Chromium, Airflow's UI, three processes and PostgreSQL.

The platform is started once for the module, on state and landing folders of its own. Everything is waited
for by what a person would see; nothing sleeps, and no time is asserted.

With INTERLOCK_SCREENSHOTS=<folder> the pictures for the docs are taken on the way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock import orchestration, services
from interlock.airflow_rest import Airflow
from interlock.db import connection as connections
from interlock.settings import settings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

WIDTH, HEIGHT = 1280, 800
PATIENCE_SECONDS = 30
RUN_SECONDS = 150
ENDED = ("Success", "Failed")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root, and containers without user namespaces; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
)


@pytest.fixture(scope="module", autouse=True)
def _settings_of_this_test() -> None:
    """In place of the fixture for single tests: here the settings are the platform's, for the whole module."""


@dataclass(frozen=True)
class Platform:
    """The running platform, and its command line as anybody has it."""

    airflow: Airflow
    login: tuple[str, str]

    def interlock(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command, run as a person runs it."""
        return subprocess.run([sys.executable, "-m", "interlock", *words], check=False, capture_output=True, text=True)

    def done(self, *words: str) -> str:
        """A command that must succeed; what it said."""
        ended = self.interlock(*words)
        assert ended.returncode == 0, f"interlock {' '.join(words)}: {ended.stdout}{ended.stderr}"
        return ended.stdout


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Everything up, nothing delivered, nothing run; gone after the module."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-browser-"))
    folder.chmod(0o711)  # the unprivileged user that root runs the database as must pass through
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("INTERLOCK_") and name != "INTERLOCK_ROOT"]:
            environment.delenv(name)
        environment.setenv("INTERLOCK_STATE_DIR", str(folder / "state"))
        environment.setenv("INTERLOCK_LANDING_URL", str(folder / "landing"))
        environment.setenv("INTERLOCK_POSTGRES_DURABLE", "false")
        _forget()
        try:
            with services.running() as airflow:
                yield Platform(airflow, orchestration.login())
        finally:
            connections.embedded_server().erase()
            shutil.rmtree(folder)
    _forget()


def _forget() -> None:
    settings.cache_clear()
    connections.forget()


@pytest.fixture(scope="module")
def screenshots() -> Path | None:
    """Where the pictures for the docs go, if anybody wants them."""
    folder = os.environ.get("INTERLOCK_SCREENSHOTS")
    return Path(folder) if folder else None


@pytest.fixture(scope="module")
def chrome(screenshots: Path | None) -> Iterator[Chrome]:
    """Debian's Chromium without a window, with a profile of its own."""
    from selenium import webdriver

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed: see .ci/run")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    with tempfile.TemporaryDirectory(prefix="interlock-chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("no_proxy", "localhost,127.0.0.1")  # the driver is on this machine, behind no proxy
            chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
        try:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield chrome
        finally:
            chrome.quit()


class Operator:
    """A person at the browser: looks for what is visible, clicks it, and waits for what must come of it."""

    def __init__(self, chrome: Chrome, address: str, screenshots: Path | None) -> None:
        self._chrome = chrome
        self._address = address
        self._screenshots = screenshots

    def opens(self, path: str) -> None:
        """Go to a page by its address."""
        self._chrome.get(self._address + path)

    def reads(self) -> str:
        """All text on the page."""
        return str(self.finds("//body").text)

    def sees(self, *texts: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all of these are to be read on the page."""
        self.waits(lambda: all(text in self.reads() for text in texts), f"{texts} on the page", seconds)

    def finds(self, xpath: str) -> WebElement:
        """The first visible element of a kind, waited for."""
        return self.waits(lambda: next(iter(self.all(xpath)), None), xpath)

    def all(self, xpath: str) -> list[WebElement]:
        """The visible elements of a kind, as the page is now."""
        return [found for found in self._chrome.find_elements("xpath", xpath) if found.is_displayed()]

    def clicks(self, xpath: str) -> None:
        """Click it as soon as it takes clicks: dialogs move while they open."""
        self.waits(lambda: self.finds(xpath).click() or True, f"a click on {xpath}")

    def fills(self, xpath: str, text: str) -> None:
        """Type into a field, again if the page drew the field anew meanwhile."""

        def filled() -> bool:
            field = self.finds(xpath)
            if field.get_attribute("value") != text:
                field.clear()
                field.send_keys(text)
            return bool(field.get_attribute("value") == text)

        self.waits(filled, f"{text!r} in {xpath}")

    def waits(self, condition: Callable[[], Any], wanted: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until the condition holds; the page may be drawn anew at any moment."""
        from selenium.common.exceptions import TimeoutException, WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        waiting = WebDriverWait(self._chrome, seconds, 0.2, ignored_exceptions=[WebDriverException])
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            page = self._chrome.find_element("xpath", "//body").text
            raise AssertionError(f"not seen: {wanted}, at {self._chrome.current_url}, which says:\n{page}") from None

    def logs_in(self, user: str, password: str) -> None:
        """By Airflow's own form."""
        self.opens("/")
        self.fills("//input[@name='username']", user)
        self.fills("//input[@name='password']", password)
        self.clicks("//button[normalize-space()='Sign in']")
        self.sees("Home", "Dags", "Admin")

    def triggers(self, dag: str, partition: str, run: str) -> None:
        """A run for a partition, by the dialog, with the logical date that the dialog offers."""
        self.opens(f"/dags/{dag}")
        self.clicks("//button[@data-testid='trigger-dag-button']")
        self.sees(f"Trigger Dag - {dag}")
        self.fills("//input[@name='element_partition']", partition)
        self.clicks("//button[normalize-space()='Advanced Options']")
        self.fills("//input[@name='dagRunId']", run)
        self.clicks("//*[@role='dialog']//button[normalize-space()='Trigger']")
        self.waits(lambda: self._chrome.current_url.endswith(f"/runs/{run}"), f"the page of the run {run}")

    def waits_for_the_end(self, dag: str, run: str) -> str:
        """The run's state once it has ended, and the page has the states of all its tasks."""
        self.opens(f"/dags/{dag}/runs/{run}")
        self.waits(lambda: self.headline() in ENDED, f"the end of the run {run}", RUN_SECONDS)
        self.opens(f"/dags/{dag}/runs/{run}")
        self.sees("Task Instances")
        return str(self.waits(self.headline, f"the state of the run {run}"))

    @contextmanager
    def in_the_frame(self) -> Iterator[None]:
        """Look into the page that Airflow shows in a frame, for the length of the block."""
        self._chrome.switch_to.frame(self.finds("//iframe"))
        try:
            yield
        finally:
            self._chrome.switch_to.default_content()

    def is_at(self, end: str) -> None:
        """Wait until the address of the page ends like this."""
        self.waits(lambda: self._chrome.current_url.endswith(end), f"an address that ends in {end}")

    def headline(self) -> str:
        """The state beside the title of the run or task that the page is about."""
        return next((text for badge in self.all("//*[@data-testid='state-badge']") if (text := badge.text)), "")

    def tasks_that(self, state: str) -> list[str]:
        """The tasks of the run on the page that are in a state."""
        badge = f"//*[@data-testid='state-badge' and normalize-space()='{state}']"
        return [link.text for link in self.all(f"//tr[.{badge}]//a[contains(@href, '/tasks/')]")]

    def reads_the_log_of(self, task: str) -> str:
        """Open the task from the run's page, and its log."""
        self.clicks(f"//tr//a[normalize-space()='{task}']")
        self.sees("Log message source details")
        return self.reads()

    def marks_successful(self) -> None:
        """The task on the page, as somebody does who wants it green."""
        self.clicks("//*[@aria-label='Mark Task Instance as...']")
        self.clicks("//*[@role='menuitem'][normalize-space()='Success']")
        self.sees("Affected Tasks: 1")
        self.clicks("//*[@role='dialog']//button[normalize-space()='Confirm']")
        self.waits(lambda: self.headline() == "Success", "the task marked as successful")

    def photographs(self, name: str) -> None:
        """Keep the page of a log as a picture for the docs, if anybody wants pictures.

        Stack frames are folded away, for they show this machine's paths, and long lines are wrapped.
        """
        if self._screenshots is None:
            return
        self.finds("//body").send_keys("w")
        self._chrome.execute_script("document.querySelectorAll('details').forEach(it => { it.open = false })")
        self._screenshots.mkdir(parents=True, exist_ok=True)
        self._chrome.save_screenshot(str(self._screenshots / f"{name}.png"))


@pytest.fixture(scope="module")
def operator(chrome: Chrome, platform: Platform, screenshots: Path | None) -> Operator:
    """Somebody who has logged in with the generated login."""
    somebody = Operator(chrome, platform.airflow.address, screenshots)
    somebody.logs_in(*platform.login)
    return somebody
