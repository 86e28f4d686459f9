"""What may be passed on of a text in the record: our own words, and never those of the database.

What PostgreSQL says of a failure quotes what it failed on: the value that is no number, the key that stood there
before, now and then a whole row. Those words are kept where they help whoever mends the failure, with the rights that
it takes to read them; what leaves the platform leaves without them.
"""

from __future__ import annotations

import re

# dbt's heading of what a database said, psycopg's own, and the parts of a message of PostgreSQL that quote.
FOREIGN = re.compile(
    r"(Database Error|Runtime Error|Unhandled error|\(psycopg|psycopg\.errors|(?:DETAIL|CONTEXT|QUERY|HINT|LINE \d+):"
    r"|invalid input syntax|duplicate key value|violates \S+(?: \S+)? constraint|out of range for type|value too long)"
)
WITHHELD = "what the database said is withheld, for it may quote a row"
OURS = frozenset({"Blocked", "BlockedForNow", "Stopped", "KeyboardInterrupt", "SystemExit"})


def told(text: str | None) -> str | None:
    """A text of ours, up to where the database's own words begin."""
    found = FOREIGN.search(text) if text else None
    if text is None or found is None:
        return text
    before = text[: found.start()].rstrip(" :;(")
    return f"{before}: {WITHHELD}." if before else f"{WITHHELD[0].upper()}{WITHHELD[1:]}."


def told_of_failure(failure_class: str | None, text: str | None) -> str | None:
    """The words of a failure whose class is the platform's own; nothing of any other, which nobody foresaw."""
    if text is None or failure_class is None or failure_class in OURS or failure_class in _own_failures():
        return told(text)
    return f"An unforeseen failure ({failure_class}): {WITHHELD}."


def _own_failures() -> frozenset[str]:
    """The names of every class of failure that the platform raises itself."""
    from interlock.errors import InterlockError

    found, pending = set[str](), [InterlockError]
    while pending:
        kind = pending.pop()
        found.add(kind.__name__)
        pending += kind.__subclasses__()
    return frozenset(found)
