"""What a process does once so that the tasks it forks need not: imports, the parsed manifest, the contracts.

Opens no connection and starts no thread: both would be shared by every fork.
"""

from __future__ import annotations

import importlib

HEAVY = (
    "psycopg",
    "sqlalchemy",
    "dbt.adapters.postgres.impl",
    "dbt.task.run",
    "interlock.pipeline.chain",
    "interlock.pipeline.phases",
    "interlock.recovery.rebuilds",
    "interlock.safety.notices",
)


def warm() -> None:
    """Import what every phase needs, build GX's context, and hold contracts and manifest in memory."""
    for name in HEAVY:
        importlib.import_module(name)
    from interlock.contracts.loading import checks_of, load_contracts
    from interlock.quality import suites
    from interlock.transform import candidates
    from interlock.transform.lineage import Lineage

    suites.warm()
    catalog = load_contracts()
    for contract in catalog.values():
        checks_of(contract)
    Lineage(catalog)
    candidates.warm()
