"""Accounts: every row of an input is in the candidate once, or was dropped for a reason that the contract names.

Counts alone prove little, for one lost row and one doubled one balance; so both sides are matched by the identity of
their rows, in one statement for all partitions. What is read is the run's own view of the input, pinned in the versions
that the candidate was built from. Which of several rows with one key was to be kept follows from the contract's rule
and not from the model, so a model that keeps another one has lost the winner and doubled a loser. What is found goes
into the ledger with the verdict, balanced or not.
"""

# ruff: noqa: S608 (composed of checked names, literals and the contract's own expressions: see sqltext)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.quality.deduplication import PART, PLACE, Rule
from interlock.quality.sqltext import identifier, literal, literals

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.db.connection import Connection
    from interlock.quality.neighbours import Neighbours
    from interlock.quality.subjects import Subject

SAMPLE_KEYS = 20


@dataclass
class Account:
    """What was counted for one partition. Units are rows, or distinct members of a key."""

    input: str
    unit: str
    is_sum: bool
    read: int = 0
    written: int = 0
    lost: int = 0
    doubled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)
    deduplicated: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        """Whether nothing is lost and nothing doubled."""
        return self.lost == 0 and self.doubled == 0

    def document(self) -> dict[str, Any]:
        """The account as the ledger takes it."""
        names = ("input", "unit", "is_sum", "read", "deduplicated", "dropped", "added", "written", "lost", "doubled")
        return {name: getattr(self, name) for name in names}

    def told(self) -> str:
        """The account in a sentence."""
        parts = [f"{self.read:,} {self.unit} of {self.input} read", f"{self.written:,} written"]
        parts += [f"{number:,} deduplicated ({reason})" for reason, number in self.deduplicated.items()]
        parts += [f"{number:,} dropped ({reason})" for reason, number in self.dropped.items()]
        parts += [f"{number:,} added ({reason})" for reason, number in self.added.items()]
        if self.lost or self.doubled:
            parts.append(f"{self.lost:,} lost and {self.doubled:,} doubled")
        return ", ".join(parts)


def accounts(connection: Connection, subject: Subject, check: Check, neighbours: Neighbours) -> Mapping[str, Account]:
    """The account of each partition. Raises what the database says of a clause that it cannot evaluate."""
    arguments = check.arguments
    counted = arguments.get("counted")
    found = {
        partition: Account(input=arguments["dataset"], unit=arguments["unit"], is_sum=counted is not None)
        for partition in subject.partitions.values()
    }
    with connection.transaction():
        if counted is not None:
            _sum_up(connection, _Sides(subject, check, neighbours), counted, found)
        else:
            sides = _Sides(subject, check, neighbours)
            sides.find_repeated(connection)
            _match(connection, sides, found)
    return found


class _Sides:
    """The two sides of a step as SQL: a row of `part`, the identity, the side, and the reason to leave it out."""

    def __init__(self, subject: Subject, check: Check, neighbours: Neighbours) -> None:
        arguments = check.arguments
        self.subject = subject
        self.by: dict[str, str] = arguments["by"]
        self.is_distinct = arguments["unit"] == "members"
        dataset = arguments["dataset"]
        self.relation = neighbours.relation(dataset)
        column = neighbours.partition_column(dataset)
        is_whole = list(subject.partitions.values()) == ["all"]
        # As text on both sides: a feed names its partition so, and what is pinned beside it may be named `all`.
        self.part = literal("all") if is_whole else f"{identifier(column or '')}::text"
        self.own_part = literal("all") if is_whole else f"{subject.key}::text"
        self.scope = "true" if is_whole else f"{self.part} in ({literals(subject.partitions.values())})"
        self.dropped = _reason(arguments.get("dropped", ()), self.relation)
        self.added = _reason(arguments.get("added", ()), self.relation)
        self.names = [f"k{place}" for place in range(len(self.by))]
        given = arguments.get("deduplicated")
        self.rule = Rule.of(given, is_feed=neighbours.is_feed(dataset)) if given else None

    def find_repeated(self, connection: Connection) -> None:
        """Forget the rule for several rows of one key where no key has several: most days need no ranking."""
        if self.rule is not None:
            found = connection.execute(self.rule.may_repeat(self.candidates).encode()).fetchone()
            self.rule = self.rule if found and found[0] else None

    @property
    def candidates(self) -> str:
        """The rows of the input that may be kept: those that nothing drops."""
        where = self.scope if self.dropped == "null::text" else f"{self.scope} and ({self.dropped}) is null"
        return f"select {self.part} as {PART}, input.* from {self.relation} as input where {where}"

    @property
    def read(self) -> str:
        """The rows of the input, with their identity, and the reason for which each is not to be on the other side."""
        theirs = "".join(f", {identifier(name)} as k{place}" for place, name in enumerate(self.by.values()))
        head = f"select {self.part} as part{theirs}, 'read' as side"
        all_rows = f"from {self.relation} as input where {self.scope}"
        if self.rule is None:
            return f"{head}, {self.dropped} as reason, false as is_loser {all_rows}"
        # What has a key of its own needs no ranking, which costs several times as much as to look for the key.
        has_rival = self.rule.has_rival("input", self.part, self.candidates)
        is_rival = f"({self.dropped}) is null and {has_rival}"
        ranked = self.rule.ranked(f"select {self.part} as {PART}, input.* {all_rows} and {is_rival}")
        return (
            f"{head}, {self.dropped} as reason, false as is_loser {all_rows} and not ({is_rival})"
            f" union all select {PART}{theirs}, 'read', case when {PLACE} > 1 then {self.rule.reason} end, {PLACE} > 1"
            f" from ({ranked}) as ranked"
        )

    @property
    def entries(self) -> str:
        """Both sides, one below the other."""
        ours = "".join(f", {identifier(name)} as k{place}" for place, name in enumerate(self.by))
        return (
            f"{self.read} union all select {self.own_part}{ours}, 'written', {self.added}, false"
            f" from ({self.subject.query}) as output"
        )

    @property
    def identities(self) -> str:
        """How often each identity stands on each side, and how often it was to be on the other."""
        count = "least(count(*) filter (where {}), 1)" if self.is_distinct else "count(*) filter (where {})"
        counts = {
            "read": "side = 'read'",
            "written": "side = 'written'",
            "kept": "side = 'read' and reason is null",
            "made": "side = 'written' and reason is null",
        }
        columns = ", ".join(f"{count.format(condition)} as {name}" for name, condition in counts.items())
        keys = ", ".join(["part", *self.names])
        return f"select {keys}, {columns} from ({self.entries}) as entries group by {keys}"


def _match(connection: Connection, sides: _Sides, found: Mapping[str, Account]) -> None:
    totals = (
        "select part, sum(read), sum(written), sum(greatest(kept - made, 0)), sum(greatest(made - kept, 0))"
        f" from ({sides.identities}) as identities group by part"
    )
    for part, read, written, lost, doubled in connection.execute(totals.encode()).fetchall():
        account = found[part]
        account.read, account.written, account.lost, account.doubled = map(int, (read, written, lost, doubled))
    if sides.dropped != "null::text" or sides.added != "null::text" or sides.rule is not None:
        unit = f"count(distinct ({', '.join(sides.names)}))" if sides.is_distinct else "count(*)"
        reasons = (
            f"select part, side, is_loser, reason, {unit} from ({sides.entries}) as entries"
            " where reason is not null group by 1, 2, 3, 4"
        )
        for part, side, is_loser, reason, number in connection.execute(reasons.encode()).fetchall():
            account = found[part]
            kind = account.deduplicated if is_loser else account.dropped if side == "read" else account.added
            kind[reason] = int(number)
    if any(not account.balances for account in found.values()):
        _sample(connection, sides, found)


def _sample(connection: Connection, sides: _Sides, found: Mapping[str, Account]) -> None:
    """The first few identities of each partition that do not match, with how often each stands where."""
    ranked = (
        f"select *, row_number() over (partition by part order by {', '.join(sides.names)}) as nth"
        f" from ({sides.identities}) as identities where kept <> made"
    )
    keys = ", ".join(["part", *sides.names, "kept", "made"])
    lines = f"select {keys} from ({ranked}) as ranked where nth <= {SAMPLE_KEYS} order by part, nth"
    for part, *values in connection.execute(lines.encode()).fetchall():
        found[part].samples.append(dict(zip([*sides.by, "read", "written"], values, strict=True)))


def _sum_up(connection: Connection, sides: _Sides, counted: str, found: Mapping[str, Account]) -> None:
    lines = (
        f"select part, sum(read), sum(written) from (select {sides.part} as part, count(*) as read, 0 as written"
        f" from {sides.relation} where {sides.scope} group by 1"
        f" union all select {sides.own_part}, 0, sum({identifier(counted)})"
        f" from ({sides.subject.query}) as output group by 1) as both_sides group by part"
    )
    for part, read, written in connection.execute(lines.encode()).fetchall():
        account = found[part]
        account.read, account.written = int(read), int(written or 0)
        account.lost, account.doubled = max(account.read - account.written, 0), max(account.written - account.read, 0)


def _reason(reasons: Any, relation: str) -> str:
    """The first reason whose condition holds for a row; null for a row that has to be on the other side too."""
    if not reasons:
        return "null::text"
    cases = " ".join(
        f"when ({reason['where'].replace('${input}', relation)}\n) then {literal(reason['reason'])}"
        for reason in reasons
    )
    return f"case {cases} end"
