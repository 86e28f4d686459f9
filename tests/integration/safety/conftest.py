"""A recorder of what is relied on, and a registered consumer."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from interlock.db.connection import Role
from interlock.safety.reliances import Recorder


@pytest.fixture
def recorder():
    made = Recorder()
    yield made
    made.close()


@pytest.fixture
def dashboard(filled):
    """The name of a registered consumer of the daily facts."""
    known = {"kind": "consumer", "name": "dashboard", "owner": "bi-team", "contact": "bi@example.org"}
    metric = {"kind": "metric", "name": "revenue"}
    filled.call(
        Role.OPERATOR, "register_dependents", Jsonb([one | {"datasets": ["fct_orders"]} for one in (known, metric)])
    )
    return "dashboard"
