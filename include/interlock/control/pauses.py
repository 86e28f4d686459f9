"""The switch beside the pause: what is paused in the platform is paused in the orchestrator too, where an operator
looks.

The pause that counts is in the platform's state: no run of a paused domain is admitted, whatever triggered it.
Pausing its DAG spares the operator a row of red runs, and freezes those that are under way. A DAG that a person
paused in Airflow is left as it is and reported: nothing refuses its runs, and somebody meant it. To know one from the
other, the platform notes what it is about to pause before it does so, and forgets it after it has taken it back.

A pause of one dataset pauses no DAG: its siblings are built on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated

if TYPE_CHECKING:
    from interlock.db.connection import Connection

# Airflow cannot be told that a DAG must not be paused. Whoever finds one of these paused starts it again.
CONTROL, APPROVAL = "interlock_control", "interlock_approval"
NEVER_PAUSED = (CONTROL, APPROVAL)
# One at a time, or one switches on again what another has just taken back. Advisory locks are of one database.
MIRROR_LOCK = 4_738_123


class Switches(Protocol):
    """The pause switches of an orchestrator's pipelines; a domain's has the domain's name."""

    def paused(self) -> dict[str, bool]:
        """Every pipeline by name, and whether it is paused there."""

    def set_paused(self, name: str, is_paused: bool) -> None:
        """Throw one switch."""


class Difference(BaseModel):
    """A pipeline whose switch and whose pause do not agree; `set_to` is what mends it, None where a person meant it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    found: str
    set_to: bool | None


def differences(switches: Switches) -> list[Difference]:
    """Where the switches and the platform's pauses do not agree. Changes nothing."""
    with translated(), connect(Role.OPERATOR) as connection:
        return list(_differences(_pauses(connection), switches.paused()))


def mirror(switches: Switches) -> list[Difference]:
    """Make the switches agree with the platform's pauses; what was found, mended or left to a person.

    Raises TransientFailure where the orchestrator or the database cannot be reached; the next sweep does it then.
    """
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [MIRROR_LOCK])
        pauses = _pauses(connection)
        found = list(_differences(pauses, switches.paused()))
        for difference in found:
            if difference.set_to is True:
                connection.execute("select interlock.note_airflow_pause(%s)", [difference.pipeline])
            if difference.set_to is not None:
                switches.set_paused(difference.pipeline, difference.set_to)
        for pause in pauses:
            if pause.is_ours and not pause.is_paused:
                connection.execute("select interlock.forget_airflow_pause(%s)", [pause.domain])
    return found


class _Pause(NamedTuple):
    """A domain: whether the platform has paused the whole of it, and whether its switch was thrown from here."""

    domain: str
    is_paused: bool
    is_ours: bool


def _pauses(connection: Connection) -> list[_Pause]:
    query = statement("control/mirrored_pauses.sql").encode()
    return [_Pause(*row) for row in connection.execute(query)]


def _differences(pauses: list[_Pause], switched: dict[str, bool]) -> Iterator[Difference]:
    for name in NEVER_PAUSED:
        if switched.get(name):
            yield Difference(pipeline=name, found="is paused, and must never be", set_to=False)
    for domain, is_paused, is_ours in pauses:
        if is_paused and switched.get(domain) is False:
            yield Difference(pipeline=domain, found="is paused in the platform and not in Airflow", set_to=True)
        elif switched.get(domain) and not is_paused and is_ours:
            yield Difference(pipeline=domain, found="was resumed in the platform, not yet in Airflow", set_to=False)
        elif switched.get(domain) and not is_paused:
            found = "is paused in Airflow alone: its schedule stands still, and runs from elsewhere are not refused"
            yield Difference(pipeline=domain, found=found, set_to=None)
