"""Who is registered as standing on the data: dbt's exposures, each with an owner and a contact."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from interlock.api.filters import Filter, listing
from interlock.api.identity import Reader
from interlock.api.paging import Page, after, page
from interlock.api.problems import answers
from interlock.safety.recall import Registered, consumers

router = APIRouter(tags=["consumers"])

Given = Annotated[Filter, listing("domain", "dataset")]


@router.get("/consumers", responses=answers())
def registered_consumers(given: Given, caller: Reader) -> Page[Registered]:
    """The registered consumers by name, and what each stands on: of the domains that the caller may read."""
    known = consumers(given.within(caller).domains, given.dataset or None)
    key = after("consumers", given.cursor, 1)
    rest = [one for one in known if key is None or one.name > str(key[0])]
    return Page[Registered](**page(rest[: given.limit + 1], given.limit, "consumers", lambda one: [one.name]))
