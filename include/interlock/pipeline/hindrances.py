"""What did not get through, and the one place where it began.

One bad file holds back everything that would be built from it. Said for each of them in full, the reason
was repeated, nested, in every line, and the line that mattered was not to be found; so it is said once.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

SHOWN_LENGTH = 400


class Blocked(BaseModel):
    """One partition of one dataset that did not get through a phase, and why.

    `origin` is the dataset and partition of which the reason speaks, where that is another one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str
    reason: str
    fix: str = ""
    origin: tuple[str, str] | None = None
    retry_helps: bool = False

    @property
    def began_at(self) -> tuple[str, str]:
        """The dataset and partition of which the reason speaks."""
        return self.origin or (self.dataset, self.partition)

    def holds_back(self, dataset: str, partition: str) -> Blocked:
        """The same hindrance, for what would have been built from this (or for this itself)."""
        origin = None if self.began_at == (dataset, partition) else self.began_at
        return self.model_copy(update={"dataset": dataset, "partition": partition, "origin": origin})


def explained(blocked: Sequence[Blocked]) -> list[str]:
    """A paragraph for each thing that began it: the reason, what to do, and what it holds back."""
    held: dict[tuple[str, str], list[Blocked]] = {}
    for item in blocked:
        held.setdefault(item.began_at, []).append(item)
    return [_paragraph(*began_at, items) for began_at, items in held.items()]


def failure_message(blocked: Sequence[Blocked]) -> str:
    """The paragraphs in one text; empty where nothing is blocked."""
    return "\n".join(explained(blocked))


def is_retry_useful(blocked: Sequence[Blocked]) -> bool:
    """Whether every hindrance may go away by itself."""
    return bool(blocked) and all(item.retry_helps for item in blocked)


def where_to_look(blocked: Sequence[Blocked]) -> str:
    """The command that shows more of what is blocked, for the first of it."""
    dataset, partition = blocked[0].began_at
    return f"`interlock explain {dataset} --partition {partition}` shows the evidence and what clears it."


def _paragraph(dataset: str, partition: str, items: Sequence[Blocked]) -> str:
    first = items[0]
    reason = first.reason if len(first.reason) <= SHOWN_LENGTH else first.reason[:SHOWN_LENGTH].rstrip() + " ..."
    lines = [f"{dataset} {partition}: {reason}"]
    if first.fix:
        lines.append(f"  What to do: {first.fix}")
    others = [item for item in items if item.origin is not None]
    if others:
        named = (item.dataset if item.partition == partition else f"{item.dataset} {item.partition}" for item in others)
        lines.append(f"  It holds back {', '.join(dict.fromkeys(named))}.")
    return "\n".join(lines)
