"""The operator's page in a real browser, at `interlock serve` by itself: no Airflow runs.

The days before the story are run once for the module, on a database of its own. What is proved: what happens is seen
without a reload, a person can act on it and a second one must, nothing that is green outlives the answers that made it
so, and none of it needs a mouse, a wide window or good eyes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.conftest import HEIGHT, PATIENCE_SECONDS, WIDTH, Operator

from interlock.api.page import BUILT
from interlock.db import connection as connections
from interlock.settings import settings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.system

DOMAIN, FACTS, RAW = "flight_operations", "fct_flights", "flights"
# Pictures are worth more days, and another domain, than a test needs.
DAYS, MORE = (12, ("airport_weather",)) if os.environ.get("INTERLOCK_SCREENSHOTS") else (2, ())
FIRST, GOOD, BAD = "2013-01-01", f"2013-01-{DAYS:02}", f"2013-01-{DAYS + 1:02}"
FAULT = "seconds_instead_of_minutes"
SCOPES = ("read", "propose", "approve", "execute")
VIEWS = (
    "/",
    f"/dataset/{FACTS}",
    f"/dataset/{FACTS}/{GOOD}",
    "/action",
    "/metric/on_time_arrival_rate",
)
NARROW = 360
# The first question of a kind waits until the server has read the contracts and the models.
COLD = 90
# Every text that is seen, against the ground that it stands on, as WCAG 2.2 AA has it (1.4.3).
TOO_FAINT = """
const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
const light = (colour) => {
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = colour.map((part) => linear(part / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
    if (alpha === 1 && r !== undefined) return [r, g, b];
  }
  return [255, 255, 255];
};
const found = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || element.closest(".hidden, .skip, :disabled, script, style, noscript")) continue;
  if (!element.checkVisibility({ visibilityProperty: true })) continue;
  const style = getComputedStyle(element);
  const ink = numbers(element.closest("svg") ? style.fill : style.color).slice(0, 3);
  const [one, other] = [light(ink), light(ground(element))].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < (isLarge ? 3 : 4.5)) found.push(`${contrast.toFixed(2)}: ${texts.currentNode.data.slice(0, 40)}`);
}
return found;
"""


@dataclass
class Platform:
    """A database in which some days have run, and the server before it."""

    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)
    address: str = ""
    _server: subprocess.Popen[str] | None = None

    def interlock(self, *words: str, expected: int = 0) -> str:
        """A command, as anybody has it; what it said."""
        command = [sys.executable, "-m", "interlock", *words]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == expected, f"interlock {' '.join(words)}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def starts(self) -> None:
        """Serve, on the port of the last time if there was one."""
        port = self.address.rpartition(":")[2] or "0"
        with (self.folder / "server.log").open("a") as log:
            command = [sys.executable, "-m", "interlock", "serve", "--port", port]
            self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._server.stdout is not None
        told = next((line for line in self._server.stdout if "answers at" in line), "")
        assert told, (self.folder / "server.log").read_text()
        self.address = told.rpartition(" ")[2].strip()

    def stops(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=PATIENCE_SECONDS)
            self._server = None


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """The days before the story are published, and two people have a token."""
    assert (BUILT / "index.html").is_file(), "the page was not built: sh .ci/page"
    folder = Path(tempfile.mkdtemp(prefix="interlock-page-"))
    folder.chmod(0o711)  # the unprivileged user that root runs the database as must pass through
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("INTERLOCK_") and name != "INTERLOCK_ROOT"]:
            environment.delenv(name)
        environment.setenv("INTERLOCK_STATE_DIR", str(folder / "state"))
        environment.setenv("INTERLOCK_LANDING_URL", str(folder / "landing"))
        environment.setenv("INTERLOCK_POSTGRES_DURABLE", "false")
        _forget()
        platform = Platform(folder)
        try:
            # It runs as long as somebody in this process holds it.
            connections.url(connections.Role.CONSUMER)
            platform.interlock("clock", "set", f"2013-01-{DAYS + 2:02}T06:00:00Z")
            platform.interlock("deliver", "--from", FIRST, "--to", GOOD)
            for domain in (DOMAIN, *MORE):
                platform.interlock("run", domain, "--from", FIRST, "--to", GOOD)
            scopes = [word for scope in SCOPES for word in ("--scope", scope)]
            for person in ("anna", "ben"):
                made = platform.interlock("token", "create", "--for", person, *scopes, "--domain", "*")
                platform.tokens[person] = made.split()[0]
            platform.starts()
            yield platform
        finally:
            platform.stops()
            connections.embedded_server().erase()
            shutil.rmtree(folder)
    _forget()


def _forget() -> None:
    settings.cache_clear()
    connections.forget()


class Reader(Operator):
    """A person at the page."""

    def __init__(self, chrome: Chrome, platform: Platform, screenshots: Path | None) -> None:
        super().__init__(chrome, platform.address, screenshots)
        self.chrome = chrome
        self._tokens = platform.tokens

    def enters(self, person: str) -> None:
        """Log in with a token."""
        self.opens("/")
        self.fills("//input[@name='token']", self._tokens[person])
        self.clicks("//button[normalize-space()='Log in']")
        self.sees("Is it safe?", person)

    def leaves(self) -> None:
        """Log out by the menu."""
        self.clicks("//details[contains(@class, 'menu')]/summary")
        self.clicks("//button[normalize-space()='Log out']")
        self.sees("Log in to Interlock")

    def sees_cell(self, dataset: str, day: str, state: str) -> None:
        """Wait until the matrix says this of a partition."""
        self.waits(lambda: self.cell(dataset, day) == state, f"{dataset} {day} {state}")

    def cell(self, dataset: str, day: str) -> str:
        """What the matrix says of a partition, to who cannot see it."""
        for cell in self.all(f"//*[@role='gridcell']/a[starts-with(@aria-label, '{dataset} {day}: ')]"):
            return str(cell.get_attribute("aria-label")).rpartition(": ")[2]
        return ""

    def writes(self, name: str, text: str) -> None:
        """Fill a field with words."""
        self.fills(f"//textarea[starts-with(@name, '{name}')]", text)

    def presses(self, *keys: str) -> None:
        """Keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.chrome).send_keys(*keys).perform()

    def focus(self, what: str) -> str:
        """An attribute of what has the focus."""
        return str(self.chrome.switch_to.active_element.get_attribute(what) or "")

    def runs(self, script: str) -> Any:
        """What a script on the page says."""
        return self.chrome.execute_script(script)

    def looks_through(self, width: int = WIDTH, height: int = HEIGHT, scheme: str = "light") -> None:
        """A window of this size, on a system that is light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.chrome.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )

    def keeps(self, name: str) -> None:
        """A picture for the docs, if anybody wants pictures."""
        if self._screenshots is not None:
            self.runs("document.activeElement?.blur()")
            self._screenshots.mkdir(parents=True, exist_ok=True)
            self.chrome.save_screenshot(str(self._screenshots / f"page-{name}.png"))


@pytest.fixture(scope="module")
def reader(chrome: Chrome, platform: Platform, screenshots: Path | None) -> Reader:
    """Anna, logged in."""
    person = Reader(chrome, platform, screenshots)
    person.enters("anna")
    return person


@pytest.fixture(scope="module")
def bad_day(reader: Reader, platform: Platform) -> Reader:
    """Anna, who had the matrix open all the time while a day came whose delays are in seconds."""
    reader.opens("/")
    reader.sees_cell(FACTS, GOOD, "safe")
    reader.runs("window.isTheSamePage = true")
    platform.interlock("deliver", "--from", BAD, "--fault", FAULT, "--on", BAD)
    platform.interlock("run", DOMAIN, "--partition", BAD, expected=3)
    reader.sees_cell(FACTS, BAD, "unsafe")
    return reader


def test_a_bad_day_turns_red_on_the_open_page_and_a_click_leads_to_where_it_began(bad_day):
    assert bad_day.runs("return window.isTheSamePage") is True
    assert bad_day.cell(FACTS, GOOD) == "safe"
    bad_day.sees("What is wrong, and where it began")
    bad_day.keeps("matrix")
    bad_day.clicks(f"//a[starts-with(@aria-label, '{FACTS} {BAD}: ')]")
    bad_day.sees("Why it is not safe", "What clears it", "Rows against it", "dep_delay")
    bad_day.keeps("partition")
    bad_day.clicks(f"//*[name()='a'][starts-with(@aria-label, '{RAW} {BAD}: unsafe, where it began')]")
    bad_day.waits(lambda: bad_day.chrome.current_url.endswith(f"/dataset/{RAW}/{BAD}"), "the address of the cause")
    bad_day.sees("held back", "gate_raw")


def test_what_one_person_hid_is_seen_again_once_a_second_one_approves(reader, platform):
    reader.opens(f"/dataset/{FACTS}/{GOOD}")
    reader.writes("rationale", "The desk says that every tenth flight is missing.")
    reader.clicks("//button[normalize-space()='See what it would do']")
    reader.sees("Criticality", "on_time_performance_board")
    reader.clicks("//button[normalize-space()='Propose it']")
    reader.sees("Who did what", "executed")
    reader.writes("rollback", "The producer confirmed that the day is whole.")
    reader.clicks("//button[normalize-space()='Roll back']")
    reader.sees("Release partition", "0 of 1 approval so far")
    reader.clicks("//nav//a[contains(., 'Matrix')]")
    reader.sees_cell(FACTS, GOOD, "quarantined")
    reader.leaves()
    reader.enters("ben")
    reader.sees_cell(FACTS, GOOD, "quarantined")
    reader.clicks("//nav//a[contains(., 'Actions')]")
    reader.sees("What it touches", "On what evidence", "anna: The producer confirmed that the day is whole.")
    reader.writes("reason", "I compared the counts with the producer's.")
    reader.keeps("approval")
    reader.clicks("//button[normalize-space()='Approve']")
    reader.sees("Nothing waits for an answer", "ben approved")
    reader.clicks("//nav//a[contains(., 'Matrix')]")
    reader.sees_cell(FACTS, GOOD, "safe")


def test_the_keyboard_alone_leads_from_the_matrix_to_a_partition_and_back(reader):
    from selenium.webdriver.common.keys import Keys

    reader.opens("/?order=domain")
    reader.sees_cell(FACTS, GOOD, "safe")
    reader.presses(Keys.TAB)
    assert reader.focus("class") == "skip"
    reader.presses(Keys.ENTER)
    assert reader.focus("id") == "main"
    for _ in range(20):
        reader.presses(Keys.TAB)
        if reader.focus("data-at"):
            break
    assert reader.focus("data-at") == "0:1"
    reader.presses(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    reader.waits(lambda: reader.focus("data-at") == "1:2", "the next cell of the next row")
    reader.presses(Keys.END)
    reader.waits(lambda: int(reader.focus("data-at").partition(":")[2] or 0) > 2, "the last column")
    reader.presses(Keys.HOME, Keys.ENTER)
    reader.waits(lambda: "/dataset/" in reader.chrome.current_url, "the dataset's address")
    reader.waits(lambda: reader.focus("tagName") == "H1", "the focus on the title")
    reader.chrome.back()
    reader.waits(lambda: reader.chrome.current_url.endswith("/?order=domain"), "the matrix as it was")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground_and_fits_a_narrow_window(reader, scheme):
    try:
        for view in VIEWS:
            reader.looks_through(scheme=scheme)
            reader.opens(view)
            reader.waits(
                lambda: reader.all("//h1") and not reader.all("//*[@aria-busy='true']"), f"all of {view}", COLD
            )
            assert reader.runs(TOO_FAINT) == [], f"{view} in {scheme}"
            reader.looks_through(NARROW, HEIGHT, scheme)
            reader.waits(lambda: reader.runs("return innerWidth") == NARROW, "a narrow window")
            assert reader.runs("return document.documentElement.scrollWidth") <= NARROW, f"{view} is too wide"
        if scheme == "dark":
            reader.looks_through(scheme="dark")
            reader.opens("/")
            reader.sees_cell(FACTS, GOOD, "safe")
            reader.keeps("dark")
            reader.looks_through(NARROW, 760, "dark")
            reader.sees_cell(FACTS, GOOD, "safe")
            reader.keeps("narrow")
    finally:
        reader.looks_through()


def test_nothing_stays_green_when_the_api_stops_and_all_comes_back_with_it(reader, platform):
    reader.opens("/")
    reader.sees_cell(FACTS, GOOD, "safe")
    platform.stops()
    reader.sees("Unknown.", "has not answered since")
    assert reader.cell(FACTS, GOOD) == "unknown, was safe"
    assert not reader.all("//*[@role='gridcell']//*[@data-is='safe']")
    platform.starts()
    reader.sees_cell(FACTS, GOOD, "safe")
    reader.waits(lambda: "Unknown." not in reader.reads(), "no doubt any more")
