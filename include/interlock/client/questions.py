"""The questions: what each sends, and what it makes of the reply. Both clients ask by these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from interlock.client.answers import Answer, answer_from, misunderstood
from interlock.client.exchange import Request, Steps, asked, place
from interlock.client.metrics import Metric, metric_from
from interlock.client.moments import Deadline
from interlock.client.refusals import NotAllowed, NotSafe
from interlock.errors import CouldNotAsk, InterlockError, UsageError

Partition = str | date
Question = str | tuple[str, Partition | None]
MOST_AT_ONCE = 1000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def safety(dataset: str, partition: Partition | None, deadline: Deadline) -> Steps[Answer]:
    """Is it safe? Whatever the answer is, it is returned."""
    named = partition_name(partition)
    request = Request(place("safety", dataset, *([named] if named else [])))
    reply, moment = yield from asked(request, deadline)
    return answer_from(reply.document(), moment, dataset, named)


def safety_of(questions: Iterable[Question], deadline: Deadline) -> Steps[tuple[Answer, ...]]:
    """The answers to many questions, in their order. Raises where one of them has none: the others prove nothing."""
    wanted = [(item, None) if isinstance(item, str) else (item[0], partition_name(item[1])) for item in questions]
    answers: list[Answer] = []
    for first in range(0, len(wanted), MOST_AT_ONCE):
        part = wanted[first : first + MOST_AT_ONCE]
        body = {"questions": [{"dataset": dataset, "partition": partition} for dataset, partition in part]}
        reply, moment = yield from asked(Request(place("safety"), body=body), deadline)
        document = reply.document()
        given = document.get("answers") if isinstance(document, dict) else None
        if not isinstance(given, list) or len(given) != len(part) or not all(isinstance(item, dict) for item in given):
            raise misunderstood("it does not answer what was asked, one by one")
        for (dataset, partition), item in zip(part, given, strict=True):
            if item.get("answer") is None:
                raise _unanswered(item.get("problem"), dataset)
            answers.append(answer_from(item["answer"], moment, dataset, partition))
    return tuple(answers)


def require_safe(dataset: str, partition: Partition | None, deadline: Deadline) -> Steps[Answer]:
    """The answer, which is safe. Raises NotSafe with the reasons where it is not."""
    answer = yield from safety(dataset, partition, deadline)
    return _required([answer])[0]


def require_all_safe(dataset: str, partitions: Iterable[Partition], deadline: Deadline) -> Steps[tuple[Answer, ...]]:
    """The answers about several partitions, all of them safe. Raises NotSafe with the reasons of those that are not."""
    names = partition_names(partitions)
    answers = yield from safety_of([(dataset, name) for name in names], deadline)
    return _required(answers)


def metric(
    name: str, span: tuple[Partition | None, Partition | None], group_by: Sequence[str], deadline: Deadline
) -> Steps[Metric]:
    """A metric over whole days, with its safety."""
    days = {key: day for key, value in zip(("start", "end"), span, strict=True) if (day := _day(value))}
    dimensions = tuple(_several(group_by, "dimensions"))
    parameters = (*days.items(), *(("group_by", dimension) for dimension in dimensions))
    reply, moment = yield from asked(Request(place("metrics", name), parameters), deadline)
    wanted = {key: date.fromisoformat(day) for key, day in days.items()}
    return metric_from(reply.document(), moment, {"metric": name, "group_by": dimensions, **wanted})


def partition_name(partition: Partition | None) -> str | None:
    """A partition as the platform writes it. Raises UsageError for what is none."""
    if partition is None or partition == "all":
        return partition  # type: ignore[return-value]
    return _day(partition)


def partition_names(partitions: Iterable[Partition] | Partition) -> tuple[str, ...]:
    """Several of them, each once. Raises UsageError for none at all: nothing is not safe."""
    given = [partitions] if isinstance(partitions, str | date) else list(partitions)
    names = tuple(dict.fromkeys(name for item in given if (name := partition_name(item)) is not None))
    if not names or None in given:
        raise UsageError("No partition was named.", fix="Name each day, or `all` for a dataset without days.")
    return names


def _day(value: Partition | None) -> str | None:
    if value is None:
        return None
    try:
        # A moment is no day until somebody says of which zone.
        if isinstance(value, datetime):
            raise ValueError
        text = value if isinstance(value, str) else value.isoformat()
        if _DAY.fullmatch(text) is None:
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{str(value)!r} is no partition.", fix="Give a day as YYYY-MM-DD or a date, or `all`."
        ) from None
    return text


def _several(names: Sequence[str], what: str) -> Iterator[str]:
    if isinstance(names, str):
        raise UsageError(f"{names!r} is one text, where a list of {what} belongs.", fix=f"Give it as [{names!r}].")
    yield from names


def _required(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    if not all(answer.safe for answer in answers):
        raise NotSafe.by(answers)
    return tuple(answer.require_current() for answer in answers)


def _unanswered(problem: object, dataset: str) -> InterlockError:
    """Why one of many questions has no answer."""
    if not isinstance(problem, dict):
        return misunderstood(f"about {dataset} it says neither an answer nor why there is none")
    said, fix = str(problem.get("detail") or f"{dataset} could not be asked about."), str(problem.get("fix") or "")
    status = problem.get("status")
    if status in (401, 403):
        return NotAllowed(said, fix=fix)
    return UsageError(said, fix=fix) if status in (400, 404, 422) else CouldNotAsk(said, fix=fix)
