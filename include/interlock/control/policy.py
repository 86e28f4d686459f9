"""The one question that comes before every action: may this be done? A policy that cannot be asked says no.

`decide` never raises for what the policy, its bundle or its engine does: down, slow, crashed, undefined and nonsense
are all refusals, each with its reason.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import ValidationError

from interlock.control.bundles import Bundle, files_of, load_bundle, policies_dir
from interlock.control.decisions import Answer, Decision, Engine, PolicyInvalid, PolicyUnavailable
from interlock.control.opa import OpaEngine
from interlock.control.questions import Question
from interlock.control.rego import RegoEngine
from interlock.settings import settings

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


def decide(question: Question) -> Decision:
    """Decide by the bundle of this checkout, with the engine of the settings. Never raises for what they do."""
    try:
        policy = current_policy()
    except (PolicyInvalid, OSError) as error:
        return Decision.refusal(str(error), revision="", engine=engine_name())
    return policy.decide(question)


def current_policy() -> Policy:
    """The policy of this checkout as its files are now; kept, with its engine, until one of them changes.

    Raises BundleInvalid. Nobody may close it: others use it too.
    """
    folder = policies_dir()
    return _kept(folder, _stamp(folder), settings().opa_url)


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


@lru_cache(maxsize=1)
def _kept(folder: Path, _stamp: tuple[tuple[str, int, int], ...], _url: str | None) -> Policy:
    return open_policy(load_bundle(folder))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells whether the bundle changed: names, sizes and times of its files."""
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files_of(folder))
