"""`python -m tests.chaos [--kills 200] [--seed S]`: kill, recover, check; exits 1 on any violation.

A round is drawn from the seed, so `--seed` with `--only ROUND` does it again; the microsecond is never the same.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

from tests.chaos import plans, readers
from tests.chaos.account import Account
from tests.chaos.disturbances import HELD, STALE
from tests.chaos.plans import Kind, Round
from tests.chaos.rounds import Harness
from tests.chaos.workers import warm_parent
from tests.chaos.world import environment_of, own_folder, world

from interlock.db.connection import Role

DAYS = 6


@contextmanager
def harness(days: int = DAYS) -> Iterator[Harness]:
    """A platform on which the undisturbed runs are known and readers look."""
    with (
        own_folder() as folder,
        warm_parent(environment_of(folder), folder / "workers.log") as workers,
        world(folder, days) as platform,
    ):
        made = Harness(platform, workers)
        made.learn()
        with readers.pool(folder, made.known, platform.url(Role.CONSUMER)) as made.pool:
            yield made


def main(arguments: Sequence[str]) -> int:
    """Do the rounds; 1 where anything did not hold."""
    options = _options(arguments)
    began = time.monotonic()
    print(f"seed {options.seed}: an undisturbed platform first.", flush=True)
    with harness(options.days) as made:
        print(f"{time.monotonic() - began:.0f} s: it is known; the rounds begin.", flush=True)
        with suppress(KeyboardInterrupt):  # Ctrl-C ends it early, with the account of what was done
            _perform_all(made, options, began)
        made.count_leftovers()
        print(_told(made.account, options.seed, time.monotonic() - began))
        return 1 if made.account.violations else 0


def _perform_all(made: Harness, options: argparse.Namespace, began: float) -> None:
    rounds = plans.drawn(options.seed)
    if options.only:
        for round_ in islice(rounds, max(options.only)):
            if round_.number in options.only:
                _perform(made, round_, began)
        return
    number = 0
    while made.account.kills < options.kills:
        number += 1
        _perform(made, next(rounds), began)
    if options.schedulers:
        with made.orchestrated():
            print(f"{time.monotonic() - began:5.0f} s  Airflow is up.", flush=True)
            for round_ in plans.of_scheduler(number + 1, options.schedulers, options.seed):
                _perform(made, round_, began)


def _perform(made: Harness, round_: Round, began: float) -> None:
    found = made.perform(round_)
    told = f"{time.monotonic() - began:5.0f} s  {made.account.kills:3} kills  round {round_.number}: {round_.told}"
    print(told + "".join(f"\n    VIOLATION {said}" for said in found), flush=True)
    if found:
        print(_last_words(made), flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="go on until so many are done")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="which rounds")
    parser.add_argument(
        "--days", type=int, default=DAYS, help="how many days there are, delivered and corrected in turn"
    )
    parser.add_argument("--schedulers", type=int, default=4, help="how many rounds of a real scheduler follow")
    parser.add_argument("--only", type=int, nargs="*", help="do these rounds of the plan alone")
    return parser.parse_args(arguments)


def _last_words(made: Harness) -> str:
    lines = (made.world.folder / "workers.log").read_text(errors="replace").splitlines()
    return "".join(f"    | {line}\n" for line in lines[-40:])


def _told(account: Account, seed: int, seconds: float) -> str:
    lines = [f"\nseed {seed}, {seconds / 60:.0f} min"]
    lines += [f"{account.disturbances[kind]:6}  {kind}" for kind in Kind]
    lines += [f"{count:6}      {outcome}" for outcome, count in sorted(account.outcomes.items())]
    lines += [
        f"{account.kills:6}  kills; {account.at_boundaries} disturbances at {account.boundaries} boundaries",
        f"{account.stale_refused:6}  stale writers refused ({STALE})",
        f"{account.writes_ended:6}  open transactions of stale writers ended",
        f"{account.held_refused:6}  runs refused a partition that another one held ({HELD})",
        f"{account.recoveries:6}  recoveries, {account.reruns} of them with another rerun",
        f"{account.checks:6}  invariant checks",
        f"{account.readings:6}  looks by readers",
        f"{account.kept_candidates:6}  sealed candidates of dead runs, kept as evidence",
        f"{account.never_ended:6}  runs shown as never ended, their claims free",
        f"{len(account.violations):6}  violations",
    ]
    return "\n".join([*lines, *(f"        {said}" for said in account.violations)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
