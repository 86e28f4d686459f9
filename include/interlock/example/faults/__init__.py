"""The ways in which the example's producers can go wrong, each the same on every machine and every day.

`make faults` applies all of them to real days and writes what became of them to docs/faults.md; `interlock deliver
--fault NAME` makes one of them. A fault that no gate catches stays here, and in that table, with the reason.
"""

from __future__ import annotations

from interlock.errors import UsageError
from interlock.example.faults.arrivals import DUPLICATION, TIMING, TRUNCATION
from interlock.example.faults.contents import NULLS, TYPES, UNITS
from interlock.example.faults.declaration import Ending, Fault, FaultClass, Severity
from interlock.example.faults.meanings import DISTRIBUTION, KEYS, VALUES
from interlock.example.faults.shapes import REFERENCES, SCHEMA

__all__ = ["FAULTS", "Ending", "Fault", "FaultClass", "Severity", "fault_named"]

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        *TRUNCATION, *DUPLICATION, *NULLS, *TYPES, *UNITS, *SCHEMA, *VALUES, *KEYS, *DISTRIBUTION, *TIMING, *REFERENCES,
    )
}  # fmt: skip


def fault_named(name: str) -> Fault:
    """The fault of that name; UsageError lists them all where there is none."""
    if name not in FAULTS:
        listed = "\n".join(f"    {known}: {fault.description}" for known, fault in FAULTS.items())
        raise UsageError(f"There is no fault {name!r}.", fix=f"Use one of these:\n{listed}")
    return FAULTS[name]
