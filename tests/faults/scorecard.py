"""The scorecard: what the gates caught of each class of fault, and what they missed, as one page of Markdown.

Nothing in it is written by hand but the sentences around the tables. A test compares the outcomes with a fresh run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

from tests.faults.days import SAMPLE, is_scored
from tests.faults.trials import Clean, Trial

from interlock.example.faults import FAULTS, Ending, Fault, FaultClass, Severity

FILE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
SIGNS = {
    Ending.REFUSED: "load",
    Ending.RAW: "raw",
    Ending.LATER: "later",
    Ending.ASIDE: "aside",
    Ending.ABSORBED: "absorbed",
    Ending.WARNED: "warned",
    Ending.ACCEPTED: "passed",
}
NOT_APPLICABLE = " "
OUTCOMES = "## Outcome by fault and day"
LEGEND = """\
Refused at `load`, blocked at the `raw` gate or `later`, the bad rows set `aside` or the copies `absorbed` and the rest
served, `warned` about, or `passed`; blank where the fault makes no difference to the day. Faults in *italics* cannot
always be told from the delivered data.
"""
TARGETS = {
    FaultClass.SCHEMA: 1.0,
    FaultClass.DUPLICATION: 1.0,
    FaultClass.UNITS: 1.0,
}

INTRODUCTION = """\
# What the gates catch

Written by `make faults`, which applies each fault of `interlock.example.faults` to real days, runs the chain, looks at
what readers see after every phase that publishes, and for the first fault of each class and feed delivers the
correction. Do not edit it: a test compares it with a fresh run.

**Thresholds are chosen on the odd months and scored on the even ones.** The bounds of baselines lie outside everything
that the clean days of the odd months show. Clauses that were added because a first run had missed something, in either
half, take their numbers from the odd months alone. Bounds that are older than this page had been set looking at the
whole year, so for them the even months are no blind test. Faults are applied to {days} days of both halves; what counts
is the column of the even months. A *trial* is one fault on one day on which it makes a difference.
"""
REVEALABLE = """\
A fault counts as caught when its delivery was stopped, wherever that was: a warning does not count. It counts as caught
too where identical copies of rows were absorbed and readers see exactly what they see of the clean day, row by row, and
where a few bad rows were set aside and readers see exactly the others. Of {unrevealable} faults the delivered data
cannot always tell, and {harmless} deliveries are odd and right; both are left out here, and listed below.
"""
READERS = """\
Where a fault is caught, no reader may see a row that is not as it should be, in staged tables as in curated ones. Of a
fault that is missed every reader sees the rows: that is what missing it means. Where rows were set aside, a row of an
aggregate is made of the others, and its own gate holds it against them; it is not counted here.
"""


def written(trials: Sequence[Trial], clean: Clean) -> str:
    """The page."""
    counted = list(FAULTS.values())
    parts = [
        INTRODUCTION.format(days=len(SAMPLE)),
        "## Recall\n",
        REVEALABLE.format(
            unrevealable=sum(bool(fault.unrevealable) for fault in counted),
            harmless=sum(fault.is_harmless for fault in counted),
        ),
        *_recall(trials),
        "## Truncation by size of cut\n",
        "The last rows of the file are missing; with a mark, the producer says how many there should be.\n",
        _cuts(trials),
        "## Clean days\n",
        *_clean(clean),
        "## What readers saw\n",
        READERS,
        _readers(trials),
        "## Missed\n",
        _missed(trials),
        "## Odd and right\n",
        _harmless(trials),
        OUTCOMES + "\n",
        LEGEND,
        "\n".join(f"- {day}: {told}" for day, told in SAMPLE.items()) + "\n",
        _outcomes(trials),
    ]
    return "\n".join(parts).rstrip() + "\n"


def outcomes(page: str) -> dict[tuple[str, str], str]:
    """The outcomes that a page tells, by fault and day."""
    lines = [line for line in page.partition(OUTCOMES)[2].splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {
        (row[0].strip("*`"), f"2013-{day}"): sign
        for row in rows
        for day, sign in zip(header[3:], row[3:], strict=True)
        if sign
    }


def sign(trial: Trial) -> str:
    """How the page tells the outcome of one trial."""
    return SIGNS[trial.ending]


def shortcomings(trials: Sequence[Trial], clean: Clean) -> list[str]:
    """The targets that were not met."""
    found = []
    scored = [trial for trial in trials if is_scored(trial.day) and trial.fault.is_revealable]
    if _share(scored) < 0.95:
        found.append(f"recall is {_share(scored):.3f}, and should be at least 0.95")
    for kind in TARGETS:
        share = _share([trial for trial in scored if trial.fault.of_class is kind])
        if share < 1:
            found.append(f"recall of {kind} is {share:.3f}, and should be 1")
    if any(not trial.is_caught for trial in scored if _has_telling_mark(trial.fault)):
        found.append("a truncation that the completion mark tells was missed")
    if 1000 * len(clean.blocked) > sum(clean.judged.values()):
        found.append(f"{len(clean.blocked)} of {sum(clean.judged.values())} clean partitions were blocked")
    if wrong := sum(trial.wrong_staged + trial.wrong_curated for trial in trials if trial.is_caught):
        found.append(f"{wrong} wrong rows could be read although the fault was caught")
    found += [
        f"{trial.fault.name} {trial.day}: a delivery that is right was stopped"
        for trial in trials
        if trial.fault.is_harmless and trial.is_caught
    ]
    return found + [
        f"{trial.fault.name} {trial.day}: the correction is not what readers see"
        for trial in trials
        if trial.is_corrected is False
    ]


def _has_telling_mark(fault: Fault) -> bool:
    export = fault.export
    is_cut = export.share_that_arrives < 1 or export.share_of_rows_that_arrive < 1
    return fault.of_class is FaultClass.TRUNCATION and is_cut and export.is_marked


def _share(trials: Sequence[Trial]) -> float:
    return sum(trial.is_caught for trial in trials) / len(trials) if trials else 1.0


def _caught(trials: Sequence[Trial]) -> str:
    if not trials:
        return ""
    return f"{sum(trial.is_caught for trial in trials)} of {len(trials)} ({_share(trials):.3f})"


def _halves(trials: Iterable[Trial]) -> tuple[str, str]:
    held = list(trials)
    return tuple(_caught([t for t in held if is_scored(t.day) is half]) for half in (True, False))  # type: ignore[return-value]


def _recall(trials: Sequence[Trial]) -> list[str]:
    asked = [trial for trial in trials if trial.fault.is_revealable]

    def rows(kinds: Iterable[object], of: Callable[[Trial], object]) -> list[tuple[str, ...]]:
        told = []
        for kind in kinds:
            group = [trial for trial in asked if of(trial) == kind]
            if group:
                told.append((str(kind), str(len({trial.fault.name for trial in group})), *_halves(group)))
        return told

    marked = [trial for trial in asked if _has_telling_mark(trial.fault)]
    header = ("class", "faults", "even months (scored)", "odd months (chosen on)")
    total = ("**all**", str(len({trial.fault.name for trial in asked})), *_halves(asked))
    mark = (
        "truncation with a mark of the whole",
        str(len({trial.fault.name for trial in marked})),
        *_halves(marked),
    )
    wrong = [trial for trial in trials if not trial.fault.is_harmless]
    whole = (
        "those that cannot always be told as well",
        str(len({trial.fault.name for trial in wrong})),
        *_halves(wrong),
    )
    return [
        _table(header, [*rows(FaultClass, lambda trial: trial.fault.of_class), mark, total, whole]),
        _table(("severity", *header[1:]), rows(Severity, lambda trial: trial.fault.severity)),
    ]


def _cuts(trials: Sequence[Trial]) -> str:
    by_cut: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.fault.cut is not None:
            by_cut.setdefault(trial.fault.cut, []).append(trial)
    marked = [trial for trial in trials if _has_telling_mark(trial.fault)]
    rows = [(f"last {cut} % of the rows, no mark", *_halves(group)) for cut, group in sorted(by_cut.items())]
    return _table(("what is missing", "even months", "odd months"), [*rows, ("any, with a mark", *_halves(marked))])


def _clean(clean: Clean) -> list[str]:
    rows = [
        (
            "even" if half else "odd", str(clean.judged[half]),
            str(len([1 for _, day, _ in clean.blocked if day != "all" and is_scored(day) is half])),
        )
        for half in (True, False)
    ]  # fmt: skip
    said = [_table(("months", "partitions judged", "blocked"), rows)]
    if clean.blocked:
        said.append("\n".join(f"- {dataset} {day}: {clause}" for dataset, day, clause in clean.blocked) + "\n")
    return said


def _readers(trials: Sequence[Trial]) -> str:
    caught = [trial for trial in trials if trial.is_caught]
    missed = [trial for trial in trials if not trial.is_caught and not trial.fault.is_harmless]
    corrected = [trial for trial in trials if trial.is_corrected is not None]
    seconds = [trial.seconds for trial in caught if trial.seconds is not None]
    rows = [
        ("wrong rows in curated datasets, of faults that were caught", f"{sum(t.wrong_curated for t in caught)}"),
        ("wrong rows in staged tables, of faults that were caught", f"{sum(t.wrong_staged for t in caught)}"),
        (
            "trials in which a fault was missed and readers saw its rows",
            f"{sum(t.wrong_curated > 0 for t in missed)}",
        ),
        (
            "corrections that readers saw as they should be",
            f"{sum(bool(t.is_corrected) for t in corrected)} of {len(corrected)}",
        ),
        (
            "from the start of the run to *unsafe*, median; up to 13 days in one run (informational)",
            f"about {median(seconds):.0f} s" if seconds else "",
        ),
    ]
    staged = sorted({t.fault.name for t in caught if t.wrong_staged})
    note = f"\nStaged rows were readable of: {', '.join(f'`{name}`' for name in staged)}.\n" if staged else ""
    return _table(("what", "how many"), rows) + note


def _missed(trials: Sequence[Trial]) -> str:
    rows = []
    for fault in FAULTS.values():
        held = [trial for trial in trials if trial.fault == fault]
        missed = [trial for trial in held if not trial.is_caught]
        if fault.is_harmless or not missed:
            continue
        warned = sum(trial.ending is Ending.WARNED for trial in missed)
        told = f"{len(missed)} of {len(held)}" + (f" ({warned} with a warning)" if warned else "")
        days = "" if len(missed) == len(held) else " Missed on " + ", ".join(t.day[5:] for t in missed) + "."
        why = fault.unrevealable or "**Missed though a gate should tell.**"
        rows.append((f"`{fault.name}`", str(fault.severity), fault.description, told, why + days))
    return _table(("fault", "severity", "what is wrong", "days missed", "why"), rows) if rows else "None.\n"


def _harmless(trials: Sequence[Trial]) -> str:
    rows = []
    for fault in FAULTS.values():
        held = [trial for trial in trials if trial.fault == fault]
        if fault.is_harmless and held:
            right = sum(not trial.is_caught and not trial.wrong_curated for trial in held)
            rows.append((f"`{fault.name}`", fault.description, f"{right} of {len(held)}"))
    return _table(("delivery", "what is odd", "accepted, and read as it should be"), rows)


def _outcomes(trials: Sequence[Trial]) -> str:
    found = {(trial.fault.name, trial.day): trial for trial in trials}
    days = [day for day in SAMPLE if any(trial.day == day for trial in trials)]
    rows = []
    for fault in FAULTS.values():
        held = [found.get((fault.name, day)) for day in days]
        if any(held):
            name = f"*`{fault.name}`*" if fault.unrevealable else f"`{fault.name}`"
            signs = [sign(trial) if trial else NOT_APPLICABLE for trial in held]
            rows.append((name, str(fault.of_class), _first_clause([t for t in held if t]), *signs))
    return _table(("fault", "class", "first told by", *(day[5:] for day in days)), rows)


def _first_clause(trials: Sequence[Trial]) -> str:
    """The clause that spoke on most of the days."""
    spoken = [clause for trial in trials if trial.is_caught for clause in trial.clauses]
    return f"`{max(sorted(set(spoken)), key=spoken.count)}`" if spoken else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
