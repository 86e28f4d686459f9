"""Control actions as tasks of any team's DAG: each proposes, the policy decides, and the task says what became of it.

    QuarantinePartitionOperator(
        task_id="withdraw", dataset="fct_flights", partitions="{{ ds }}", version="{{ params.version }}",
        rationale="The totals differ from the ledger's.", evidence=[{"kind": "failed_reconciliation", "count": 17}],
    )

Nothing is done here that `interlock action propose` would not do: the proposer is the run, for the person who
triggered it if there is one, and what it may do by itself the policy says. What the policy leaves to people is waited
for without a process: the task is put off and looks again (`wait_for_approval=False`: it succeeds with state
`proposed`). What is refused fails, without retries: a skipped gate leaves a run green.

A retry, and a task that was cleared, is the same action; to propose again what was refused takes another run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.errors import PermanentFailure, TransientFailure
from interlock.operators.links import ActionLink
from interlock.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.control.findings import Finding
    from interlock.control.questions import Evidence
    from interlock.control.records import Action, Proposal

LOOKS_AGAIN = timedelta(seconds=15)
RETRY_DELAY = timedelta(seconds=30)
NOTHING = (None, "", "None")  # a template makes a word of None
WAITING = (ActionState.PROPOSED, ActionState.APPROVED)


class GovernedOperator(BaseOperator):
    """Proposes one control action as its DAG run and waits for what becomes of it.

    `partitions` is one partition or several. `evidence` are findings: numbers of what is on record already, or facts
    that the run found and puts on record with kind and version, and where they are not the action's own or the
    rationale's words, dataset, partition, message, count, root and evidence (see `interlock.control.findings`).
    """

    kind: str
    template_fields: Sequence[str] = (
        "domain", "dataset", "partitions", "version", "parameters", "rationale", "evidence",
    )  # fmt: skip
    operator_extra_links = (ActionLink(),)
    ui_color = "#f3e3c3"

    def __init__(  # noqa: PLR0913  (rendered one by one; a DAG's `default_args` reach what is named here, and no more)
        self,
        *,
        rationale: str,
        domain: str | None = None,
        dataset: str | None = None,
        partitions: str | Sequence[str] = (),
        version: int | str | None = None,
        parameters: Mapping[str, str | int | bool | None] | None = None,
        evidence: Sequence[Mapping[str, Any] | int | str] = (),
        wait_for_approval: bool = True,
        # A wait for people is long, and databases restart.
        retries: int = 3,
        retry_delay: timedelta | float = RETRY_DELAY,
        **keywords: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, **keywords)
        self.rationale = rationale
        self.domain = domain
        self.dataset = dataset
        self.partitions = partitions
        self.version = version
        self.parameters = parameters
        self.evidence = evidence
        self.wait_for_approval = wait_for_approval

    def execute(self, context: Context) -> dict[str, Any]:
        """Propose, or find what was proposed; the action's id and state."""
        from interlock.control import actions

        try:
            by = run_actor(context)
            action = actions.propose(self._proposal(key_of(context), by), by)
        except TransientFailure as failure:
            raise AirflowException(str(failure)) from None
        except PermanentFailure as failure:
            raise AirflowFailException(str(failure)) from None
        self.action_id = action.action_id
        self.log.info("Action %s, %s: %s.", action.action_id, action.title, action.state)
        if action.state in WAITING and self.wait_for_approval:
            self.log.info("It waits for people: interlock action approve %s", action.action_id)
            raise AirflowRescheduleException(datetime.now(UTC) + LOOKS_AGAIN)  # type: ignore[no-untyped-call]
        if action.state not in (*WAITING, ActionState.EXECUTED):
            raise AirflowFailException(what_became_of(action))
        return {"action": action.action_id, "state": action.state.value}

    def _proposal(self, key: str, by: Actor) -> Proposal:
        from interlock.control.records import Proposal

        try:
            return Proposal(
                kind=self.kind,
                rationale=self.rationale,
                domain=self.domain,
                dataset=self.dataset,
                partitions=(self.partitions,) if isinstance(self.partitions, str) else tuple(self.partitions),
                version=_number(self.version),
                parameters=dict(self.parameters or {}),
                evidence=() if _is_proposed(key) else self._evidence(key, by),
                key=key,
            )
        except ValueError as error:
            raise PermanentFailure(f"This is no proposal: {error}", fix="Mend the task's arguments.") from error

    def _evidence(self, key: str, by: Actor) -> tuple[Evidence, ...]:
        """The facts, put on record where they are not: what is merely claimed moves no policy."""
        from interlock.control import findings

        given = list(self.evidence)
        facts = [self._fact(told, key) for told in given if isinstance(told, Mapping)]
        numbers = [int(number) for number in given if not isinstance(number, Mapping)]
        return tuple(findings.get(number).as_evidence for number in numbers + findings.record(facts, by))

    def _fact(self, told: Mapping[str, Any], key: str) -> Finding:
        """A fact as it was told, or as the action has it. Told by the same task again, it is the same fact."""
        from interlock.control.findings import Fact, Finding

        whole = {"dataset": self.dataset, "version": _number(self.version), "message": self.rationale, "root": key}
        if isinstance(self.partitions, str):
            whole["partition"] = self.partitions
        fact = Finding(**whole | {name: value for name, value in told.items() if value not in NOTHING})
        if fact.version is None and fact.kind is not Fact.HELD_CANDIDATES:
            raise ValueError(
                "a fact is about one version, and this one names none: what is served may change meanwhile"
            )
        return fact


class PausePipelineOperator(GovernedOperator):
    """Pauses a domain, or one dataset of it: nothing of it is admitted, whatever triggers it."""

    kind = "pause_pipeline"


class QuarantinePartitionOperator(GovernedOperator):
    """Takes the served version of partitions out of every reader's sight, and keeps it."""

    kind = "quarantine_partition"


class ReleasePartitionOperator(GovernedOperator):
    """Gives readers back what was quarantined."""

    kind = "release_partition"


class RollbackPartitionOperator(GovernedOperator):
    """Serves the last good version of a partition again."""

    kind = "rollback_partition"


class ProposeActionOperator(GovernedOperator):
    """Proposes an action of any kind, with the parameters that the kind takes."""

    template_fields = ("kind", *GovernedOperator.template_fields)

    def __init__(self, *, kind: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.kind = kind


def run_actor(context: Context) -> Actor:
    """The DAG run as an actor, on behalf of the person who triggered it, if there is one."""
    run = context["dag_run"]
    return actor_of(run.dag_id, getattr(run, "triggering_user_name", None))


def actor_of(dag_id: str, login: str | None = None) -> Actor:
    """A DAG as an actor. What it may do by itself is the policy's to say, not its author's.

    `login` is Airflow's of whoever triggered it: the person is meant, who might approve under that name what the run
    proposed. The platform's own is nobody's.
    """
    from interlock.control import credentials

    person = None
    if login is not None and login != settings().airflow_user:
        named = {known.airflow_login: known.person for known in credentials.listed(is_all=True)}
        person = named.get(login, login)
    return Actor(
        kind=ActorKind.RUN,
        name=f"airflow:{dag_id}",
        on_behalf_of=person,
        domains=("*",),
        rights=(Right.PROPOSE, Right.EXECUTE),
    )


def what_became_of(action: Action) -> str:
    """Why an action was not carried out (or no longer stands), and what to do, for the log of a failed task."""
    reasons = [reason.message for reason in action.decision.reasons] if action.decision else []
    reasons += [f"{answer.actor.name}: {answer.reason}" for answer in action.answers if answer.answer == "reject"]
    if action.failure:
        reasons.append(action.failure)
    told = "".join(f"\n  - {reason}" for reason in reasons)
    return (
        f"Action {action.action_id} ({action.title}) is {action.state.value.replace('_', ' ')}.{told}\n"
        f"  What to do: `interlock action show {action.action_id}` tells all of it. Clearing this task finds the same "
        "action; once what stands in its way is mended, trigger another run to propose it again."
    )


def key_of(context: Context) -> str:
    """The idempotency key of a task's action: that of its run, so that trying again proposes nothing anew."""
    run, instance = context["dag_run"], context["ti"]
    return f"airflow:{run.dag_id}:{run.run_id}:{instance.task_id}:{instance.map_index}"


def _is_proposed(key: str) -> bool:
    from interlock.control import reading
    from interlock.db.connection import Role, connect
    from interlock.db.failures import translated

    with translated(), connect(Role.CONTROLLER) as connection:
        return reading.by_key(connection, key) is not None


def _number(rendered: int | str | None) -> int | None:
    """A number as a template left it: as text, and none as the word or as nothing."""
    return None if rendered in NOTHING else int(rendered or 0)
