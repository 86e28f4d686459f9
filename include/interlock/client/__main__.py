"""`python -m interlock.client DATASET [PARTITION]`: the question for scripts, with nothing but the client.

Exits as `interlock check` does: 0 safe, 3 unsafe or quarantined, 4 unknown or checking, 5 could not ask, 2 wrong usage.
With `--wait SECONDS` it waits until it is safe.
"""

from __future__ import annotations

import argparse
import sys

from interlock.client import Client
from interlock.errors import Exit, InterlockError


def main() -> int:
    """Ask, say it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m interlock.client", description="Is it safe to act on?")
    parser.add_argument("dataset")
    parser.add_argument("partition", nargs="?", help="YYYY-MM-DD, or `all`; without it: the newest window")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="wait so long until it is safe")
    given = parser.parse_args()
    try:
        with Client() as client:
            if given.wait is None:
                answer = client.require_safe(given.dataset, given.partition)
            else:
                answer = client.wait_until_safe(given.dataset, given.partition, timeout=given.wait)
    except InterlockError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.write(f"{answer.dataset} {answer.partition or '(its newest window)'} is {answer.state.value}\n")
    return int(Exit.OK)


if __name__ == "__main__":
    sys.exit(main())
