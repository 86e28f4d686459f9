"""Drills: each kind of action is carried out and taken back on partitions that are there, and everything is as it was.

A drill acts for real, so it belongs into a copy: `interlock drill` makes one of the live database (see scratch.py)
and runs this module there, in a process of its own. A drill that finds nothing to act on says what it needs, and has
not passed.

    python -m interlock.control.drills [KIND ...]     in a scratch copy: one result a line, as JSON
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg.types.json import Jsonb

from interlock.control import actions, active, findings, policy
from interlock.control.bundles import bundle_of
from interlock.control.decisions import Engine, Outcome
from interlock.control.drilling import (
    BECAUSE,
    PROPOSER,
    Drill,
    NothingToDrillOn,
    Target,
    all_of,
    carried_out,
    now,
    one,
    require,
    run,
    taken_back,
    targets,
)
from interlock.control.findings import Fact, Finding
from interlock.control.kinds import kind_of
from interlock.control.questions import Actor, ActorKind, Right
from interlock.control.records import Proposal
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import Refusal
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.control.records import Action, Preview
    from interlock.db.connection import Connection

RULE = Actor(
    kind=ActorKind.RULE, name="rule:drill", on_behalf_of=None, domains=("*",), rights=(Right.PROPOSE, Right.EXECUTE)
)


class PauseDomain(Drill):
    """A paused domain admits no run."""

    kind = "pause_pipeline"
    on = "a domain"

    def proposal(self) -> Proposal:
        """Of the whole domain."""
        return Proposal(kind=self.kind, rationale=BECAUSE, domain=self.target.domain)

    def done(self, action: Action) -> str:  # noqa: ARG002
        """A run of it is asked for."""
        require(_refusal(self.target) == Refusal.PAUSED, f"a run of {self.target.domain} was admitted while paused")
        return "no run is admitted"

    def undone(self, action: Action) -> str:  # noqa: ARG002
        """And again."""
        refusal = _refusal(self.target)
        require(refusal != Refusal.PAUSED, f"{self.target.domain} still admits no run")
        return "runs are admitted"


class PauseDataset(PauseDomain):
    """Of a paused dataset nothing is published."""

    on = "a dataset"

    def proposal(self) -> Proposal:
        """Of the dataset alone."""
        return Proposal(kind=self.kind, rationale=BECAUSE, dataset=self.target.dataset)

    def done(self, action: Action) -> str:  # noqa: ARG002
        """What is served is published once more, which otherwise changes nothing."""
        refused = _refusal(self.target, publish=True) == Refusal.PAUSED
        require(refused, f"{self.target.told} could be published while {self.target.dataset} was paused")
        require(_refusal(self.target) != Refusal.PAUSED, f"{self.target.domain} stood still with one dataset of it")
        return "nothing of it is published; its domain runs"

    def undone(self, action: Action) -> str:  # noqa: ARG002
        """And once more."""
        require(_refusal(self.target, publish=True) != Refusal.PAUSED, "it still cannot be published")
        return "it is published"


class Freeze(Drill):
    """In a frozen domain no rule acts by itself."""

    kind = "freeze_domain"
    on = "a domain"
    could_act = False

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Choose a domain where a rule might act by itself, if there is one."""
        for self.target in targets(narrow=True):
            self.could_act = self._preview().decision.outcome is Outcome.EXECUTE
            if self.could_act:
                break
        yield

    def proposal(self) -> Proposal:
        """Of the whole domain."""
        return Proposal(kind=self.kind, rationale=BECAUSE, domain=self.target.domain)

    def done(self, action: Action) -> str:
        """A rule that has evidence would have to wait now."""
        frozen = "select exists (select from interlock.freeze f where f.action_id = %s and f.thawed_at is null)"
        require(bool(one(Role.AUDITOR, frozen, action.action_id)), "it is not frozen")
        acts = self._preview().decision.outcome is Outcome.EXECUTE
        require(not acts, f"a rule may act by itself in {self.target.domain}, which is frozen")
        return "a rule that might act waits for a person" if self.could_act else "no rule acts (nor might one before)"

    def undone(self, action: Action) -> str:  # noqa: ARG002
        """The rule may again what it might before."""
        may_act = self._preview().decision.outcome is Outcome.EXECUTE
        require(may_act == self.could_act, "the policy decides otherwise than before the freeze")
        return "as before, for rules too"

    def _preview(self) -> Preview:
        """A rule that would quarantine what was found bad; the same finding again is the one that is on record."""
        found = Finding(
            kind=Fact.FAILED_CHECK, dataset=self.target.dataset, partition=self.target.partition,
            version=self.target.version, root="drill", message=BECAUSE,
        )  # fmt: skip
        (number,) = findings.record([found], RULE)
        evidence = (findings.get(number).as_evidence,)
        return actions.preview(self.target.proposal("quarantine_partition", evidence=evidence), RULE)


class Quarantine(Drill):
    """What is quarantined, nobody reads."""

    kind = "quarantine_partition"
    rows = 0

    def proposal(self) -> Proposal:
        """Of the newest safe partition that the most hangs on."""
        self.rows = self.target.rows()
        return self.target.proposal(self.kind)

    def done(self, action: Action) -> str:
        """Its rows are gone from `safe`."""
        state, rows = self.target.state(), self.target.rows()
        require(state == "quarantined", f"{self.target.told} is {state}")
        require(rows == 0, f"{rows} of its rows are still read in safe.{self.target.dataset}")
        return f"quarantined: {self.rows} rows gone from safe, {action.radius.partitions - 1} partitions on it"

    def undone(self, action: Action) -> str:  # noqa: ARG002
        """And back."""
        rows = self.target.rows()
        require(rows == self.rows, f"{rows} of {self.rows} rows are read")
        return f"{rows} rows are read"


class Rollback(Drill):
    """An earlier good version is served again."""

    kind = "rollback_partition"
    wanted: Proposal

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The newest partition of which the action could be done now."""
        found = all_of(Role.AUDITOR, statement("control/drill_republished.sql"))
        for dataset, partition in found:
            proposal = Proposal(kind=self.kind, rationale=BECAUSE, dataset=dataset, partitions=(partition,))
            with suppress(InterlockError):
                if actions.preview(proposal, PROPOSER).obstacle is None:
                    self.wanted = proposal
                    break
        else:
            raise NothingToDrillOn(
                "it needs a safe partition that was published twice, whose earlier version is kept, still good, and"
                f" built from what is served now; of {len(found)} published twice none is so"
            )
        yield

    def proposal(self) -> Proposal:
        """That one."""
        return self.wanted

    def done(self, action: Action) -> str:
        """The earlier version is what is served, and safe."""
        answer = one(Role.CONSUMER, "select interlock.ask(%s, %s)", action.dataset, action.partitions[0])
        served = answer["version"]
        require(served == action.version, f"version {served} is served, not {action.version}")
        require(bool(answer["safe"]), f"it is {answer['state']}")
        return f"version {served} is served in place of {action.parameters['from_version']}"

    def undone(self, action: Action) -> str:
        """The later one is."""
        return f"version {action.parameters['from_version']} is served again"


class Rerun(Drill):
    """What is to run again is queued, and taken back nobody runs it."""

    kind = "rerun_partition"
    QUEUED = "select count(*) from interlock.rebuild b where b.action_id = %s and b.done_at is null"

    def proposal(self) -> Proposal:
        """Of one partition that is not queued."""
        return self.target.proposal(self.kind)

    def done(self, action: Action) -> str:
        """It is queued."""
        require(one(Role.AUDITOR, self.QUEUED, action.action_id) == 1, f"{self.target.told} is not queued")
        return "queued"

    def undone(self, action: Action) -> str:
        """It no longer is."""
        require(one(Role.AUDITOR, self.QUEUED, action.action_id) == 0, f"{self.target.told} is still queued")
        return "no longer queued"


class Waive(Drill):
    """One consumer alone reads what is waived, and nobody reads it in `safe`."""

    kind = "waive"
    HOURS = 1
    consumer: str
    reader: Connection
    rows = 0

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """A partition that is not safe, because it was quarantined for this; and a consumer, made for this."""
        from interlock.control import scratch
        from interlock.db import consumers

        with super().prepared():
            self.rows = self.target.rows()
            quarantine = carried_out(self.target.proposal("quarantine_partition"))
            self.consumer = scratch.consumer_of(str(one(Role.CONSUMER, "select current_database()")))
            scratch.drop_consumer(self.consumer)
            try:
                url = consumers.create(self.consumer, PROPOSER.name)
                with psycopg.connect(url, autocommit=True) as self.reader:
                    yield
            finally:
                scratch.drop_consumer(self.consumer)
                taken_back(quarantine)

    def proposal(self) -> Proposal:
        """For an hour."""
        return self.target.proposal(self.kind, parameters={"consumer": self.consumer, "lasts_hours": self.HOURS})

    def done(self, action: Action) -> str:  # noqa: ARG002
        """The consumer reads it in `waived` and not in `safe`; others in neither."""
        theirs, others = self.target.rows("waived", self.reader), self.target.rows("waived")
        require(theirs == self.rows, f"the consumer reads {theirs} of {self.rows} rows that are waived for it")
        require(others == 0, f"{others} rows are read by others too")
        require(self.target.rows("safe", self.reader) == 0, "the consumer reads them in safe")
        require(self.target.state() == "quarantined", f"{self.target.told} is {self.target.state()}")
        return f"its consumer alone reads {theirs} rows in waived; still quarantined"

    def undone(self, action: Action) -> str:  # noqa: ARG002
        """The consumer reads nothing any more."""
        rows = self.target.rows("waived", self.reader)
        require(rows == 0, f"the consumer still reads {rows} rows")
        return "its consumer reads nothing"


class ActivatePolicy(Drill):
    """Another policy decides, one that differs by a comment; then the former again."""

    kind = "activate_policy"
    on = "the platform"
    COMMENT = "\n# The policy of a drill: the same rules under another revision.\n"
    former: str
    revision: str

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Keep the other bundle."""
        if policy.engine_name() is Engine.OPA:
            raise NothingToDrillOn("it needs the in-process engine: an OPA server knows the active policy alone")
        with connect(Role.CONTROLLER) as connection:
            bundle = policy.current_policy(connection).bundle
            name = min(bundle.modules)
            contents = bundle.contents | {name: bundle.contents[name] + self.COMMENT}
            self.former = bundle.revision
            self.revision = one(Role.OWNER, "select interlock.policy_revision(%s)", Jsonb(contents))
            active.record(connection, bundle_of(self.revision, contents), PROPOSER.name)
        yield

    def proposal(self) -> Proposal:
        """Of the platform."""
        return Proposal(kind=self.kind, rationale=BECAUSE, parameters={"revision": self.revision})

    def done(self, action: Action) -> str:  # noqa: ARG002
        """Decisions are its own."""
        return self._decides(self.revision)

    def undone(self, action: Action) -> str:  # noqa: ARG002
        """And the former's again."""
        return self._decides(self.former)

    def _decides(self, revision: str) -> str:
        asked = Proposal(kind="freeze_domain", rationale=BECAUSE, domain="*")
        said = actions.preview(asked, PROPOSER).decision.revision
        require(said == revision, f"{said[:12]} decides, not {revision[:12]}")
        return f"{said[:12]} decides"


DRILLS: tuple[type[Drill], ...] = (
    PauseDomain,
    PauseDataset,
    Freeze,
    Quarantine,
    Rollback,
    Rerun,
    Waive,
    ActivatePolicy,
)


def drills_of(kinds: Sequence[str]) -> list[type[Drill]]:
    """The drills of some kinds, or of their inverses; all where none is named. Raises UsageError."""
    for name in kinds:
        kind_of(name)
    return [drill for drill in DRILLS if not kinds or {drill.kind, kind_of(drill.kind).inverse} & set(kinds)]


def _refusal(target: Target, *, publish: bool = False) -> str | None:
    """The code by which a run of a partition is refused, or its publishing; None where it is not. Leaves nothing."""
    with connect(Role.OWNER) as connection:
        try:
            admitted = connection.execute(
                "select run_id, token from interlock.admit_run(%s, %s, %s, 'drill', %s, '1 minute')",
                [f"drill:{target.told}:{now()}", target.domain, [target.partition], PROPOSER.name],
            ).fetchone()
            if publish and admitted is not None:
                connection.execute(
                    "select interlock.publish(%s, %s, %s, %s)", [*admitted, target.partition, [target.version]]
                )
        except psycopg.Error as refused:
            return refused.sqlstate
        finally:
            connection.rollback()
    return None


def main(kinds: Sequence[str]) -> int:
    """Run drills in the scratch copy that the settings point to, a line of JSON each. Refuses any other database."""
    from interlock.control import scratch

    scratch.require_scratch()
    for drill in drills_of(kinds):
        print(run(drill()).model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
