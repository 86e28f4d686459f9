"""Every kind of action, by name."""

from __future__ import annotations

from interlock.control.kinds.base import Kind
from interlock.control.kinds.partitions import (
    CancelRerun,
    QuarantinePartition,
    ReinstatePartition,
    ReleasePartition,
    RerunPartition,
    RollbackPartition,
)
from interlock.control.kinds.pipelines import FreezeDomain, PausePipeline, ResumePipeline, UnfreezeDomain
from interlock.control.kinds.policies import ActivatePolicy
from interlock.control.kinds.waivers import RevokeWaiver, Waive
from interlock.errors import UsageError

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        PausePipeline(),
        ResumePipeline(),
        FreezeDomain(),
        UnfreezeDomain(),
        QuarantinePartition(),
        ReleasePartition(),
        RollbackPartition(),
        ReinstatePartition(),
        RerunPartition(),
        CancelRerun(),
        Waive(),
        RevokeWaiver(),
        ActivatePolicy(),
    )
}


def kind_of(name: str) -> Kind:
    """The kind of a name. Raises UsageError with all names there are."""
    if name not in KINDS:
        raise UsageError(f"There is no action {name!r}.", fix=f"Use one of: {', '.join(KINDS)}.")
    return KINDS[name]
