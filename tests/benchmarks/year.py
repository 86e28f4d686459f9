"""The whole year at the command line, gates and a verdict for each partition included, beside bare SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from tests.benchmarks.bare import Bare
from tests.benchmarks.figures import Figure, seconds
from tests.benchmarks.platform import deliver, interlock, scratch

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 30)  # no weather was recorded on the 31st


def landed(folder: Path) -> list[tuple[str, Path]]:
    """Every delivered file with its feed."""
    return [(feed.name, file) for feed in sorted((folder / "landing").iterdir()) for file in sorted(feed.glob("*.csv"))]


def figures() -> Iterator[Figure]:
    """One figure for each domain's work together: 364 days through both domains."""
    with scratch() as folder:
        deliver(FIRST, LAST)
        bare = Bare()
        bare.prepare()
        files = landed(folder)

        def by_hand() -> None:
            bare.copy(files)
            bare.build()
            bare.check()

        def ours() -> None:
            for domain in ("flight_operations", "airport_weather"):
                interlock("run", domain, "--from", str(FIRST), "--to", str(LAST))

        reference = seconds(by_hand)
        yield Figure(
            what="364 days through both domains, from the command line",
            ours=seconds(ours),
            reference=reference,
            target="at most 6 x (aim 2)",
        )
