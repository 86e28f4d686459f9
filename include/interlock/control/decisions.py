"""What the policy answers: closed and strict, so that an answer that makes no sense is a refusal and never a guess."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from interlock.errors import CouldNotAsk, PermanentFailure

Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Said = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class Outcome(StrEnum):
    """What is to become of the action now."""

    EXECUTE = "execute"
    AWAIT_APPROVALS = "await_approvals"
    REFUSE = "refuse"


class PolicyUnavailable(CouldNotAsk):
    """No answer that could be acted on: the engine is down, slow, crashed, or answered nonsense."""


class PolicyInvalid(PermanentFailure):
    """The bundle cannot be read, or does not decide."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Reason(_Part):
    """Why, as a code and in words."""

    code: Code
    message: Said


class Obligation(_Part):
    """What must be done with it: `notify_owner` of a domain, `attach_evidence_to` an earlier action, ..."""

    code: Code
    subject: Said


class Caps(_Part):
    """Bounds that the execution must keep."""

    partitions: Annotated[int, Field(ge=0)] | None = None
    approval_hours: Annotated[int, Field(gt=0)] | None = None
    lasts_hours: Annotated[int, Field(gt=0)] | None = None


def _in_order(found: Any) -> Any:
    """Once each and in a fixed order: engines have sets in orders of their own."""
    return tuple(sorted(set(found), key=lambda item: item.model_dump_json()))


class Answer(_Part):
    """What an engine said. `allow` means: carry it out now, within `caps`, with the approvals that are there."""

    allow: bool
    outcome: Outcome
    approvals_required: Annotated[int, Field(ge=0, le=2)]
    approvals_counted: Annotated[int, Field(ge=0)]
    obligations: Annotated[tuple[Obligation, ...], AfterValidator(_in_order)]
    caps: Caps
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1), AfterValidator(_in_order)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        has_enough = self.approvals_counted >= self.approvals_required
        if self.allow != (self.outcome is Outcome.EXECUTE):
            raise ValueError("allow and outcome contradict each other")
        if self.outcome is not Outcome.REFUSE and has_enough != self.allow:
            raise ValueError("outcome and approvals contradict each other")
        if self.outcome is not Outcome.REFUSE and None in (self.caps.partitions, self.caps.approval_hours):
            raise ValueError("an action that is not refused has caps on partitions and approval_hours")
        return self


class Engine(StrEnum):
    """What evaluated the policy."""

    REGO = "rego"
    OPA = "opa"


class Decision(Answer):
    """An answer with where it came from; `failure` says why there was none, which is a refusal."""

    revision: str
    engine: Engine
    failure: str | None = None

    @classmethod
    def of(cls, answer: Answer, *, revision: str, engine: Engine) -> Decision:
        """The answer of an engine that decided by a revision."""
        told = {name: getattr(answer, name) for name in Answer.model_fields}
        return cls(**told, revision=revision, engine=engine)

    @classmethod
    def refusal(cls, failure: str, *, revision: str, engine: Engine) -> Decision:
        """The decision where nobody decided."""
        return cls(
            allow=False,
            outcome=Outcome.REFUSE,
            approvals_required=2,
            approvals_counted=0,
            obligations=(),
            caps=Caps(),
            reasons=(Reason(code="policy_unavailable", message=failure[:1_000]),),
            revision=revision,
            engine=engine,
            failure=failure,
        )
