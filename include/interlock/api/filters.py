"""One filter for every list, and the one place where a list is cut to what its caller may read.

A list says which of the filter's fields it applies. Another one is refused and not ignored: whoever asks for the unsafe
ones of a list that cannot tell must not be shown all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from interlock.api.identity import Caller
from interlock.api.paging import LIMIT, MOST
from interlock.control.questions import Right
from interlock.errors import UsageError
from interlock.safety.answer import State

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Filter(BaseModel):
    """What to list. What may be given several times means any of them; ranges include both ends, `until` does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: list[Word] = Field(default=[], description="Of these domains.")
    dataset: list[Word] = Field(default=[], description="Of these datasets.")
    layer: list[Word] = Field(default=[], description="Of these layers: raw, staged, curated.")
    state: list[Word] = Field(default=[], description="In these states.")
    kind: list[Word] = Field(default=[], description="Of these kinds.")
    partition: list[Word] = Field(default=[], description="These partitions: days as YYYY-MM-DD, or `all`.")
    partition_from: date | None = Field(default=None, description="From this day on.")
    partition_to: date | None = Field(default=None, description="To this day.")
    since: datetime | None = Field(default=None, description="From this instant on.")
    until: datetime | None = Field(default=None, description="Before this instant.")
    limit: int = Field(default=LIMIT, ge=1, le=MOST, description="Most items in a page.")
    cursor: str | None = Field(default=None, max_length=2000, description="`next` of the page before.")

    def within(self, caller: Caller) -> Filter:
        """The same, cut to what the caller may read. Refusing (403) where a domain is asked for that they may not."""
        if caller.domains is None:
            return self
        if self.domain:
            caller.require(Right.READ, self.domain)
            return self
        return self.model_copy(update={"domain": list(caller.domains)})

    @property
    def domains(self) -> list[str] | None:
        """For SQL: the domains, or null for all (`%(domains)s::text[] is null or domain = any (%(domains)s)`)."""
        return self.domain or None

    @property
    def states(self) -> list[State]:
        """The states of safety that are asked for; UsageError for a word that is none."""
        try:
            return [State(word) for word in self.state]
        except ValueError:
            raise UsageError(f"{', '.join(self.state)}: not all are states.", fix=f"Use {', '.join(State)}.") from None


PAGING = ("limit", "cursor")


def listing(*applied: str) -> Any:
    """The dependency of a list that applies these fields: `Annotated[Filter, listing("domain", "state")]`."""
    fields: dict[str, Any] = {
        name: (Filter.model_fields[name].annotation, Filter.model_fields[name]) for name in (*applied, *PAGING)
    }
    shape = create_model(f"Filter by {', '.join(applied)}", **fields)
    return Depends(_reading(shape, applied))


def _reading(shape: type[BaseModel], applied: tuple[str, ...]) -> Callable[..., Filter]:
    def read(request: Request, given: Any) -> Filter:
        require_known(request, *applied)
        return Filter(**given.model_dump(exclude_unset=True))

    # What FastAPI reads it by; the model is made above, so no annotation could name it.
    read.__annotations__ = {"request": Request, "given": Annotated[shape, Query()], "return": Filter}
    return read


def require_known(request: Request, *applied: str) -> None:
    """UsageError for a parameter that this list does not apply."""
    strange = sorted(set(request.query_params) - {*applied, *PAGING})
    if strange:
        known = (
            f"It does by {', '.join(applied)}; {' and '.join(PAGING)} page it." if applied else "It takes no filter."
        )
        raise UsageError(f"This list does not filter by {', '.join(strange)[:200]}.", fix=known)
