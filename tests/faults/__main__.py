"""`python -m tests.faults [FAULT ...]`: apply the named faults, or all, and print the scorecard.

All of them, and the page docs/faults.md is written anew. Ends with 1 where a target was not met.
"""

from __future__ import annotations

import logging
import sys
import time

from tests.faults import scorecard
from tests.faults.days import SAMPLE, every_day
from tests.faults.platform import scratch
from tests.faults.trials import Trial, publish_history, tried, without_fault

from interlock.example.faults import FAULTS, fault_named


def main(names: list[str]) -> int:
    """Run and print."""
    faults = [fault_named(name) for name in names] or list(FAULTS.values())
    logging.getLogger("interlock").setLevel(logging.CRITICAL)  # that deliveries are blocked is what is wanted here
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    sampled = list(SAMPLE)
    trials: list[Trial] = []
    with scratch() as platform:
        say("publishing the year")
        publish_history(platform, [day for day in every_day() if day not in SAMPLE], sampled)
        truth, clean = without_fault(platform, sampled)
        say(f"{sum(clean.judged.values())} clean partitions judged, {len(clean.blocked)} blocked")
        for number, fault in enumerate(faults, 1):
            held = tried(platform, fault, sampled, truth)
            trials += held
            caught = sum(trial.is_caught for trial in held)
            say(f"{number:3} of {len(faults)}  {fault.name}: {caught} of {len(held)} stopped ({fault.expected})")
    page = scorecard.written(trials, clean)
    print(page)
    if not names:
        scorecard.FILE.write_text(page)
    missed = scorecard.shortcomings(trials, clean)
    for line in missed:
        say(f"not met: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
