"""`python -m tests.benchmarks [NAME ...]`: run the benchmarks that are named, or all, and print one table.

Nothing is asserted and nothing fails for being slow: these machines are shared. Each line gives the
median of ours, of the reference beside it in the same run, their ratio, and what it should be at most.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from tests.benchmarks import acting, asking, bulk, day, deciding, drawing, landing, orchestrated, serving, year
from tests.benchmarks.figures import Figure

BENCHMARKS = {
    "landing": landing.figures,
    "deciding": deciding.figures,
    "acting": acting.figures,
    "serving": serving.figures,
    "asking": asking.figures,
    "drawing": drawing.figures,
    "day": day.figures,
    "year": year.figures,
    "bulk": bulk.figures,
    "orchestrated": orchestrated.figures,
}


def main(names: list[str]) -> int:
    """Run and print; 2 where a name is unknown."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. Use: {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    console = Console()
    table = Table(title="Interlock beside the same work as bare SQL, in this run")
    for column in ("what", "ours", "reference", "ratio", "should be"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name in names or BENCHMARKS:
        console.print(f"[dim]{name} ...[/]")
        found: list[Figure] = list(BENCHMARKS[name]())
        for figure in found:
            console.print(f"  {figure.what}: {figure.told_ratio}")
            table.add_row(figure.what, figure.told_ours, figure.told_reference, figure.told_ratio, figure.target)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
