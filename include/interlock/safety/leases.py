"""Renewal leases: an answer stays safe only while somebody keeps looking.

Renewing judges nothing again: it confirms that what is served is still the object that was judged, so that
answers run out by themselves when the platform has stopped, and not while it merely had nothing to do.
"""

from __future__ import annotations

from datetime import datetime

from interlock.db.connection import Role, connect
from interlock.db.failures import translated


def renew(actor: str) -> dict[str, datetime]:
    """Renew the lease of every dataset that is served as it was judged; until when each holds now."""
    with translated(), connect(Role.OPERATOR) as connection:
        renewed = connection.execute("select * from interlock.renew_leases(%s)", [actor])
        return dict(sorted(renewed.fetchall()))
