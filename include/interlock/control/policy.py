"""The one question that comes before every action: may this be done? A policy that cannot be asked says no.

What decides is the active bundle, which the database keeps: a file that is changed in some checkout decides nothing
before an approved action activated it. `decide` never raises for what the policy, its bundle, the database or the
engine does: down, slow, crashed, undefined and nonsense are all refusals, each with its reason.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import ValidationError

from interlock.contracts.model import Criticality
from interlock.control import active
from interlock.control.bundles import Bundle, load_bundle
from interlock.control.decisions import Answer, Decision, Engine, Outcome, PolicyInvalid, PolicyUnavailable
from interlock.control.opa import OpaEngine
from interlock.control.questions import (
    Action,
    Actor,
    ActorKind,
    Approval,
    BlastRadius,
    Environment,
    Question,
    Right,
    Scope,
)
from interlock.control.rego import RegoEngine
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import InterlockError
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.db.connection import Connection

log = logging.getLogger(__name__)


class Evaluator(Protocol):
    """What an engine does: JSON in, JSON out, PolicyUnavailable for everything else."""

    name: Engine

    def evaluate(self, document: dict[str, Any]) -> Any:
        """What the policy says to an input document."""

    def close(self) -> None:
        """Let go of what it holds."""


class Policy:
    """One bundle and the engine that evaluates it."""

    def __init__(self, bundle: Bundle, engine: Evaluator) -> None:
        self.bundle = bundle
        self.engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.engine.close()

    def answer(self, document: dict[str, Any]) -> Answer:
        """What the engine says to a document. Raises PolicyUnavailable, or PolicyInvalid."""
        said = self.engine.evaluate(document)
        try:
            return Answer.model_validate_json(json.dumps(said))
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors()[:5])
            raise PolicyUnavailable(f"The policy engine's answer makes no sense: {found}") from error

    def decide(self, question: Question) -> Decision:
        """The decision, which is a refusal where there is none."""
        try:
            answer = self.answer(question.document())
        except (PolicyUnavailable, PolicyInvalid) as error:
            return self._refusal(str(error))
        except Exception as error:
            log.exception("the policy engine failed in a way that nobody foresaw")
            return self._refusal(f"The policy engine failed: {type(error).__name__}: {error}")
        return Decision.of(answer, revision=self.bundle.revision, engine=self.engine.name)

    def _refusal(self, failure: str) -> Decision:
        return Decision.refusal(failure, revision=self.bundle.revision, engine=self.engine.name)


def decide(question: Question, connection: Connection | None = None) -> Decision:
    """Decide by the active bundle, with the engine of the settings. Never raises for what they or the database do.

    `connection` is the caller's as CONTROLLER, in whatever transaction it is; without one another is opened. A lost
    connection is a refusal here, and an error at the caller's next statement.
    """
    try:
        policy = current_policy(connection)
    except (InterlockError, OSError) as error:
        return Decision.refusal(str(error), revision="", engine=engine_name())
    except Exception as error:
        log.exception("the active policy could not be read, in a way that nobody foresaw")
        failure = f"The active policy could not be read: {type(error).__name__}: {error}"
        return Decision.refusal(failure, revision="", engine=engine_name())
    return policy.decide(question)


def current_policy(connection: Connection | None = None) -> Policy:
    """The active policy; kept, with its engine, until another one is active. This checkout's begins where none is.

    Raises PolicyInvalid, and what the database raises. Nobody may close it: others use it too.
    """
    if connection is None:
        with connect(Role.CONTROLLER) as own:
            return current_policy(own)
    with translated():
        revision = active.revision(connection) or _begun(connection)
        key = (revision, settings().opa_url)
        policy = _kept.get(key)
        if policy is None:
            policy = open_policy(active.recorded(connection, revision))
            _kept.clear()  # the former one's engine ends with its last user
            _kept[key] = policy
    return policy


def require_usable(bundle: Bundle) -> None:
    """Raise PolicyInvalid where a bundle must not become active: it does not compile, or no people could replace it.

    A policy that refuses its own replacement would decide for ever. Asked in-process, whatever the engine of the
    settings is: a server knows the active bundle alone.
    """
    with open_policy(bundle, Engine.REGO) as policy:
        answer = policy.answer(_replacement().document())
    if answer.outcome is not Outcome.EXECUTE:
        said = "; ".join(reason.message for reason in answer.reasons)
        raise PolicyInvalid(
            f"The policy {bundle.revision[:12]} could never be replaced: two people who may decide about everything"
            f" approve another one, and it says {answer.outcome.value}: {said}",
            fix="Let `activate_policy` be executed once two others have approved it.",
        )


def open_policy(bundle: Bundle | None = None, engine: Engine | None = None) -> Policy:
    """A policy of one's own, to be used as a context; by default this checkout's, on the engine of the settings."""
    bundle = bundle or load_bundle()
    chosen = engine or engine_name()
    seconds = settings().policy_seconds
    if chosen is Engine.OPA:
        return Policy(bundle, OpaEngine(bundle, settings().opa_url or "", seconds=seconds))
    return Policy(bundle, RegoEngine(bundle, seconds=seconds, memory_mb=settings().policy_memory_mb))


def engine_name() -> Engine:
    """The engine of the settings."""
    return Engine.OPA if settings().opa_url else Engine.REGO


_kept: dict[tuple[str, str | None], Policy] = {}


def _begun(connection: Connection) -> str:
    """The revision that is active once this checkout's bundle was begun, or another process's at the same moment."""
    bundle = load_bundle()
    require_usable(bundle)
    return active.begin(connection, bundle, "interlock")


def _person(name: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, name=name, on_behalf_of=None, domains=("*",), rights=tuple(Right))


def _replacement() -> Question:
    """Two people who may decide about everything approve that a third one's policy replaces the present one."""
    return Question(
        actor=_person("one"),
        action=Action(
            kind="activate_policy", parameters={}, rationale="It is better.", is_reversible=True, proposed_at=0
        ),
        scope=Scope(domains=("*",), dataset=None, partitions=(), version=None, is_served=None),
        evidence=(),
        blast_radius=BlastRadius(
            partitions=0, rows=0, datasets=(), domains=(), consumers=(), metrics=(), criticality=Criticality.LOW
        ),
        environment=Environment(name="production", frozen_domains=("*",)),
        time=2,
        approvals=(Approval(actor=_person("two"), at=1), Approval(actor=_person("three"), at=1)),
        recent=(),
    )
