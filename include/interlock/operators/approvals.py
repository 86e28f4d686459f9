"""Approvals as Airflow's own questions: each is one run of the DAG `interlock_approval`, answered in the UI or over
REST.

The action is the platform's, and so is the record of who answered what: the question in Airflow is one more door to
`actions.answer`, beside the command line. Whoever answers first has answered; what was answered elsewhere is closed
here by the sweep, with an option of its own. Airflow keeps the words of a question until its run is over, even if it
is asked again, so each asking is another run: the second person of two sees that one has approved, and what was
refused (by the platform: who answered has no right to) is asked anew while that run stays red and says why.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

from interlock.airflow_rest import AirflowRefused
from interlock.control.pauses import APPROVAL
from interlock.control.questions import ActionState
from interlock.errors import PermanentFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.sdk import Context

    from interlock.airflow_rest import Airflow
    from interlock.control.records import Action

ASK = "ask"
APPROVE, REJECT, ELSEWHERE = "Approve", "Reject", "Answered elsewhere"
MOST = 1_000
MISSING, CONFLICT = 404, 409
NO_REASON = "(no reason was given)"
# What would be read as form and not as words; a rationale must not be able to draw an approval that nobody gave.
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&:/@])")

RUNS = f"/api/v2/dags/{APPROVAL}/dagRuns"


class Wording(NamedTuple):
    """A question as it is put."""

    subject: str
    body: str


class AskOperator(HITLOperator):
    """Asks people about the action of its run; does nothing where that needs no answer any more."""

    def __init__(self, **keywords: Any) -> None:
        keywords["params"] = {"reason": Param("", type="string", title="Reason", description="Why, for the record.")}
        super().__init__(subject=APPROVAL, options=[APPROVE, REJECT, ELSEWHERE], **keywords)

    def execute(self, context: Context) -> Any:
        """Put the question, and park; the answer comes with `execute_complete`."""
        from interlock.control import actions

        try:
            action = actions.get(action_of(context["dag_run"].conf))
        except PermanentFailure as failure:
            raise AirflowFailException(str(failure)) from None
        if action.state is not ActionState.PROPOSED:
            self.log.info("Action %s needs no answer: it is %s.", action.action_id, action.state)
            return None
        # Set here and not as templates: whatever somebody wrote as a rationale is words, and no Jinja.
        self.subject, self.body = wording(action)
        return super().execute(context)


def record(airflow: Airflow, run_id: str, conf: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the answer that a run got to the action that it is about, as the person whose login it came from.

    The answer is read from where Airflow keeps it, and not from an XCom, which many may edit. Raises
    AirflowFailException where it does not count; TransientFailure is worth another try, and changes nothing.
    """
    from interlock.control import actions, credentials
    from interlock.control.records import Verb

    action_id = action_of(conf)
    chosen, login, reason = _answer(airflow, run_id)
    state = actions.get(action_id).state
    if chosen is None and state is ActionState.PROPOSED:
        raise AirflowFailException("Nobody was asked: see the log of `ask`. It is asked again.")
    if chosen not in (APPROVE, REJECT):
        return {"action": action_id, "state": state.value, "answer": chosen}
    verb = Verb.APPROVE if chosen == APPROVE else Verb.REJECT
    try:
        action = actions.answer(action_id, credentials.of_airflow(login), verb, reason, via="airflow")
    except PermanentFailure as failure:
        state = actions.get(action_id).state
        if state is not ActionState.PROPOSED:
            return {"action": action_id, "state": state.value, "answer": f"{chosen}, too late"}
        message = f"The answer of {login} does not count, and the question is asked again: {failure}"
        raise AirflowFailException(message) from None
    return {"action": action_id, "state": action.state.value, "answer": chosen}


def ask_people(airflow: Airflow) -> list[str]:
    """Have one question open for each action that waits for people, and close all others; what was done, in words."""
    from interlock.control import actions

    waiting = {action.action_id: action for action in actions.find(states=[ActionState.PROPOSED], limit=MOST)}
    under_way = {
        str(run["dag_run_id"]): int((run["conf"] or {}).get("action") or 0)
        for run in airflow.every(f"{RUNS}?state=queued&state=running&order_by=run_after", "dag_runs")
    }
    done = []
    for asked in list(airflow.every(f"{RUNS}/~/hitlDetails?response_received=false", "hitl_details")):
        run_id = asked["task_instance"]["dag_run_id"]
        action = waiting.get(under_way.get(run_id, 0))
        if (action is None or wording(action).subject != asked["subject"]) and _is_closed(airflow, run_id):
            under_way.pop(run_id, None)
            done.append(f"closed {run_id}: {asked['subject']}")
    open_now = set(under_way.values())
    return done + [f"asked {_asked(airflow, action)}" for number, action in waiting.items() if number not in open_now]


def wording(action: Action) -> Wording:
    """The question about an action, for a person who knows nothing of it yet."""
    decision, radius, by = action.decision, action.radius, action.actor
    proposer = f"{by.name} ({by.kind.value}{f' for {by.on_behalf_of}' if by.on_behalf_of else ''})"
    touched = [("dataset", radius.datasets), ("consumer", radius.consumers), ("metric", radius.metrics)]
    facts = [
        (f.kind, f.ref, f.dataset, f.partition, f"version {f.version}" if f.version else None) for f in action.evidence
    ]
    body = [
        f"**Why:** {_plain(action.rationale)}",
        f"**Proposed by:** {_plain(proposer)}, {action.proposed_at:%Y-%m-%d %H:%M} UTC",
        f"**It touches** {radius.partitions} partitions and {radius.rows:,} rows; the highest criticality is "
        f"{radius.criticality}:" + _list(f"{what} {name}" for what, names in touched for name in names),
        "**Evidence:**" + _list(" ".join(filter(None, fact)) for fact in facts),
        "**The policy:**" + _list(reason.message for reason in (decision.reasons if decision else ())),
        "**Answers so far:**" + _list(f"{a.actor.name}: {a.answer}, {a.reason} ({a.via})" for a in action.answers),
        f"It expires at {action.expires_at:%Y-%m-%d %H:%M} UTC. More: `interlock action show {action.action_id}`",
    ]
    given, needed = (decision.approvals_counted, decision.approvals_required) if decision else (0, 1)
    subject = f"Action {action.action_id}: {action.title} (approval {given + 1} of {needed})"
    return Wording(subject, "\n\n".join(body))


def action_of(conf: Mapping[str, Any] | None) -> int:
    """The action that a run of the DAG is about."""
    try:
        return int((conf or {})["action"])
    except (KeyError, TypeError, ValueError):
        raise AirflowFailException(
            'This run is about no action: it is triggered by the sweep, or by hand with {"action": 17}.'
        ) from None


def _list(items: Iterable[str]) -> str:
    return "".join(f"\n- {_plain(item)}" for item in items) or " none"


def _plain(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _answer(airflow: Airflow, run_id: str) -> tuple[str | None, str, str]:
    """What was chosen in a run, by which login, and why; None where nobody was asked."""
    try:
        asked = airflow.call("GET", f"{RUNS}/{quote(run_id, safe='')}/taskInstances/{ASK}/-1/hitlDetails")
    except AirflowRefused as refused:
        if refused.status == MISSING:
            return None, "", ""
        raise
    if not asked["response_received"]:
        return None, "", ""
    reason = str((asked["params_input"] or {}).get("reason") or "").strip()
    return asked["chosen_options"][0], asked["responded_by_user"]["name"], reason or NO_REASON


def _asked(airflow: Airflow, action: Action) -> str:
    """Ask about an action in a run of its own: `action_17`, and if that was asked before, `action_17_2`."""
    for number in count(1):
        run_id = f"action_{action.action_id}" + (f"_{number}" if number > 1 else "")
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {"action": action.action_id}, "note": action.title}
        try:
            airflow.call("POST", RUNS, body)
        except AirflowRefused as refused:
            if refused.status == CONFLICT:
                continue
            raise
        return run_id
    raise AssertionError  # it counts for ever


def _is_closed(airflow: Airflow, run_id: str) -> bool:
    """Answer a parked question in the platform's own name; false where a person answered at this very moment."""
    body = {"chosen_options": [ELSEWHERE], "params_input": {}}
    try:
        airflow.call("PATCH", f"{RUNS}/{quote(run_id, safe='')}/taskInstances/{ASK}/-1/hitlDetails", body)
    except AirflowRefused as refused:
        if refused.status == CONFLICT:
            return False
        raise
    return True
