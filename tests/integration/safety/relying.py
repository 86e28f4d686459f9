"""Who relies on what, and a day that turns bad after they did."""

from __future__ import annotations

from interlock.db.connection import Role
from interlock.safety.recall import recall
from interlock.safety.reliances import Asker, Via

DAY, NEXT = "2013-01-05", "2013-01-06"
ADA = Asker("ada", Via.API)
CURATED = ("stg_orders", "fct_orders", "agg_orders", "price_list")


def turn_bad(platform, day=DAY):
    """A second delivery of the orders fails its gate: the day is unsafe, all the way down. Returns the run."""
    run = platform.admit("shop", day)
    platform.fail(run, platform.load(run, "orders", day), day)
    return run


def mend(platform, run, day=DAY):
    """A third one is good, and everything is built from it."""
    platform.deliver(run, "orders", day)
    for name in CURATED:
        platform.renew(run, name, day)
    platform.finish(run)


def relied(dataset, partition=DAY, **more):
    """Who is listed, by version."""
    return {fallen.version: [one.who for one in fallen.relied] for fallen in recall(dataset, partition, **more).fallen}


def reliances(platform):
    """What is on record: who, via, safe, count."""
    return platform.rows(Role.AUDITOR, "select who, via, safe, count from interlock.reliance order by first_at")
