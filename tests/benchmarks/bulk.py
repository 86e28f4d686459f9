"""Five million rows in one partition: the whole chain beside bare SQL, in a small project of the benchmark's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bare import Bare
from tests.benchmarks.figures import Figure, seconds
from tests.benchmarks.platform import ROOT, interlock, scratch

DAY = "2013-06-01"
ROWS = 5_000_000


def figures() -> Iterator[Figure]:
    """One figure: raw to curated, gates and all."""
    root = Path(tempfile.mkdtemp(prefix="interlock-bulk-"))
    try:
        _project(root)
        with scratch(root) as folder:
            file = folder / "landing" / "events" / f"events_{DAY}.csv"
            _write(file)
            bare = Bare()
            bare.prepare()

            def by_hand() -> None:
                bare.copy([("events", file)])
                bare.build()
                bare.check()

            reference = seconds(by_hand)
            bare.empty()
            ours = seconds(lambda: interlock("run", "bulk", "--partition", DAY))
            yield Figure(
                what=f"{ROWS:,} rows in one partition, the whole chain",
                ours=ours,
                reference=reference,
                target="at most 2.5 x",
            )
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _project(root: Path) -> None:
    """The benchmark's contracts and models with the project's own macros and profiles."""
    shutil.copytree(Path(__file__).parent / "bulk_project", root, dirs_exist_ok=True)
    root.chmod(0o711)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / "dbt_project" / name, root / "dbt_project" / name)
    shutil.copytree(ROOT / "dbt_project" / "macros", root / "dbt_project" / "macros")


def _write(file: Path) -> None:
    file.parent.mkdir(parents=True)
    with file.open("w") as stream:
        stream.write("event_id,day,kind,amount\n")
        for first in range(1, ROWS, 100_000):
            stream.write(
                "".join(
                    f"{n},{DAY},{'abcd'[n % 4]},{n % 1000}.5\n" for n in range(first, first + 100_000) if n % 1000 < 999
                )
            )
            stream.write("".join(f"{n},{DAY},a,1.5\n" for n in range(first, first + 100_000) if n % 1000 == 999))
