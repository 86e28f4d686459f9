"""The types of PostgreSQL that a column may have, under all their names.

A misspelt type would otherwise be found by the first run of a new dataset, after its contract was reviewed and
merged; and dbt and a contract that say `timestamptz` and `timestamp with time zone` say the same.
"""

from __future__ import annotations

import re

_NAMES = {
    "bigint": ("int8",),
    "boolean": ("bool",),
    "bytea": (),
    "character": ("char", "bpchar"),
    "character varying": ("varchar",),
    "cidr": (),
    "date": (),
    "double precision": ("float8", "float"),
    "inet": (),
    "integer": ("int", "int4"),
    "interval": (),
    "json": (),
    "jsonb": (),
    "macaddr": (),
    "numeric": ("decimal",),
    "real": ("float4",),
    "smallint": ("int2",),
    "text": (),
    "time without time zone": ("time",),
    "time with time zone": ("timetz",),
    "timestamp without time zone": ("timestamp",),
    "timestamp with time zone": ("timestamptz",),
    "uuid": (),
}
_CANONICAL = {alias: name for name, aliases in _NAMES.items() for alias in (name, *aliases)}
# How many numbers a type may carry in brackets.
_LENGTHS = {"character": (1,), "character varying": (1,), "numeric": (1, 2)} | dict.fromkeys(
    (name for name in _NAMES if name.startswith("time")), (1,)
)
_SPELLING = re.compile(
    r"(?P<name>[a-z][a-z0-9]*( [a-z]+)*?) ?(\( ?(?P<lengths>\d+( ?, ?\d+)?) ?\))?"
    r"(?P<zone> with(out)? time zone)?(?P<array>\[\])?"
)
# A reader of the narrower type can be given the wider one.
_WIDENINGS = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("real", "double precision"),
    ("character varying", "text"),
    ("character", "text"),
}

# How a text has to be written that is read as the type: as in ISO 8601, and as a number that can be added up. For
# Python and for PostgreSQL alike.
ISO_DAY = r"\d{4}-\d{2}-\d{2}"
ISO_CLOCK = r"\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
ISO_ZONE = r"(?:Z|[+-]\d{2}(?::?\d{2})?)"
_NUMBER = "[^A-Za-z]+(?:[eE][^A-Za-z]+)?"
_WRITTEN = {
    "date": ISO_DAY,
    "time without time zone": ISO_CLOCK,
    "time with time zone": ISO_CLOCK + ISO_ZONE,
    "timestamp without time zone": f"{ISO_DAY}[T ]{ISO_CLOCK}",
    "timestamp with time zone": f"{ISO_DAY}[T ]{ISO_CLOCK} ?{ISO_ZONE}",
    "numeric": _NUMBER,
    "double precision": _NUMBER,
    "real": _NUMBER,
}


def written_form(kind: str) -> str | None:
    """The regular expression of a text that reads as a type in one way only; None where any reading will do."""
    form = _WRITTEN.get(_bare(canonical_type(kind) or kind))
    return f"^{form}$" if form else None


def canonical_type(name: str) -> str | None:
    """The one spelling of a type, None for what PostgreSQL does not know: `varchar(3)` is `character varying(3)`."""
    found = _SPELLING.fullmatch(" ".join(name.lower().split()))
    if found is None:
        return None
    known = _CANONICAL.get(found["name"] + (found["zone"] or ""))
    if known is None:
        return None
    lengths = [int(length) for length in (found["lengths"] or "").split(",") if length.strip()]
    if lengths and len(lengths) not in _LENGTHS.get(known, ()):
        return None
    told = f"({','.join(map(str, lengths))})" if lengths else ""
    return f"{known}{told}{found['array'] or ''}"


def is_widening(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new, so that readers need not change."""
    return (_bare(old), _bare(new)) in _WIDENINGS and "(" not in new


def _bare(name: str) -> str:
    return name.partition("(")[0]
