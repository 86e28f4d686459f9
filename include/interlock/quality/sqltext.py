"""Names and values as SQL text that survives every layer between a contract and PostgreSQL.

The gate's statements pass through GX and SQLAlchemy, which read `:word` as a bound value and compile a query twice
over, so that a percent sign arrives doubled. A null token such as `:na` in a contract must not become a parameter:
values are therefore written as escape strings in which everything but plain letters, digits and blanks is a code
point, and names are refused if they hold anything that any layer could read as syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from interlock.contracts.physical_types import written_form
from interlock.errors import PermanentFailure

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_PLAIN_TYPE = re.compile(r"[a-z_][a-z0-9_ ]*(\(\d+(,\s*\d+)?\))?( with(out)? time zone)?(\[\])?")


def identifier(name: str) -> str:
    """A column or relation name, quoted. Raises PermanentFailure for a name that no contract may have."""
    if not _PLAIN_NAME.fullmatch(name):
        raise PermanentFailure(
            f"{name!r} cannot be the name of a column or a dataset.", fix="Use letters, digits and underscores."
        )
    return f'"{name}"'


def type_name(name: str) -> str:
    """The name of a PostgreSQL type, as the contract spells it."""
    if not _PLAIN_TYPE.fullmatch(name.strip().lower()):
        raise PermanentFailure(
            f"{name!r} is not the name of a PostgreSQL type.", fix="Use a name such as `integer` or `numeric(10,2)`."
        )
    return name.strip().lower()


def reads_as(text: str, kind: str) -> str:
    """The condition that a text can be read as a type in one way only; null for null.

    PostgreSQL is generous: `now` and `01/02/2013` are dates to it, a timestamp without a zone lies in the session's,
    and `NaN` is a number that makes every sum one like it.
    """
    target = type_name(kind)
    form = written_form(target)
    valid = f"pg_input_is_valid({text}, {literal(target)})"
    return valid if form is None else f"({valid} and {text} ~ {literal(form)})"


def literal(value: object) -> str:
    """A value as a literal; text in code points wherever a character could mean something to somebody."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return f"timestamptz {literal(value.isoformat())}"
    if isinstance(value, date):
        return f"date {literal(value.isoformat())}"
    text = str(value)
    return "E'" + "".join(_written(character) for character in text) + "'"


def literals(values: Iterable[object]) -> str:
    """Values between commas."""
    return ", ".join(literal(value) for value in values)


def _written(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in " _.-"):
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
