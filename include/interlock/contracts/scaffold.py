"""A first contract, and a staging model with it, from a sample of a new feed.

Nothing is overwritten unless it is forced, and nothing is written unless everything can be. What a sample cannot tell
(who owns the feed, how late it may be, which values may still come) is listed to be reviewed, not made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from interlock.contracts.dbt_entries import with_entries
from interlock.contracts.declarations import COLUMN_NAME, DATASET_NAME
from interlock.contracts.documents import read_yaml
from interlock.contracts.profiling import DAY, ColumnFacts, Profile, profile
from interlock.contracts.staging import StagedColumn, model_sql, property_entries, staged_columns
from interlock.errors import PermanentFailure, UsageError

# Fewer values than this tell nothing about the range of those to come.
ENOUGH_VALUES = 5


@dataclass
class Scaffold:
    """The files to write, what in them is to be reviewed, and what was found."""

    dataset: str
    domain: str
    facts: Profile
    files: dict[Path, str] = field(default_factory=dict)
    changed: set[Path] = field(default_factory=set)
    review: list[str] = field(default_factory=list)


def scaffold(sample: Path, root: Path, *, domain: str | None = None, dataset: str | None = None) -> Scaffold:
    """Everything that a first contract of the sample's feed needs. Raises UsageError for names that cannot be."""
    domain = domain or _only_domain(root)
    dataset = dataset or _name_of(sample)
    staged_name = f"stg_{domain}__{dataset}"
    for word, name in (("domain", domain), ("dataset", dataset), ("staged dataset", staged_name)):
        if not DATASET_NAME.fullmatch(name):
            fix = "Give --domain and --dataset in lower-case letters, digits and underscores, 40 in all."
            raise UsageError(f"{name!r} cannot be the name of a {word}.", fix=fix)
    facts = profile(sample)
    strange = [column.name for column in facts.columns if not COLUMN_NAME.fullmatch(column.name)]
    if strange:
        fix = "Deliveries are matched by name: have the producer use letters, digits and underscores."
        raise UsageError(f"The header has names that no column can have: {', '.join(map(repr, strange))}.", fix=fix)
    made = Scaffold(dataset, domain, facts)
    columns = staged_columns(facts, dataset)
    contracts = root / "include" / "contracts" / domain
    made.files[contracts / f"{dataset}.yaml"] = _raw_contract(made)
    made.files[contracts / f"{staged_name}.yaml"] = _staged_contract(made, staged_name, columns)
    _add_model(made, root, staged_name, columns)
    made.review += _review(made, root)
    return made


def write(made: Scaffold, *, force: bool = False) -> list[Path]:
    """Write all files, or none. Raises PermanentFailure where one exists already and nothing is forced."""
    there = [str(file) for file in made.files if file.exists() and file not in made.changed]
    if there and not force:
        fix = "Nothing was written. Give --force to overwrite, or --dataset for another name."
        raise PermanentFailure(f"There already is {', '.join(there)}.", fix=fix)
    for file, text in made.files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(made.files)


def _only_domain(root: Path) -> str:
    domains = sorted(folder.name for folder in (root / "include" / "contracts").glob("*") if folder.is_dir())
    if len(domains) == 1:
        return domains[0]
    raise UsageError("It is not clear which domain the feed belongs to.", fix=f"Give --domain: {', '.join(domains)}.")


def _name_of(sample: Path) -> str:
    stem = sample.name.lower().removesuffix(".gz").removesuffix(".csv")
    return re.sub(r"[^a-z0-9]+", "_", DAY.sub("", stem)).strip("_")


def _raw_contract(made: Scaffold) -> str:
    facts, is_daily = made.facts, bool(made.facts.day_columns)
    key = facts.keys[0] if facts.keys else ()
    properties = [_raw_property(column, facts, key) for column in facts.columns]
    token = "{partition}" if is_daily else "{delivered}"
    landing = DAY.sub(token, facts.file.name.removesuffix(".gz")) if facts.day else f"{made.dataset}_{token}.csv"
    delivery = {
        "mode": "full-partition",
        "landing": landing,
        "mark": "optional",
        "empty": "reject",
        "absent": "fail" if is_daily else "accept",
        "null": list(dict.fromkeys([*facts.tokens, ""])),
    }
    custom = {"layer": "raw", "partition": {"grain": "day" if is_daily else "all"}, "delivery": delivery}
    quality = list(_raw_quality(facts)) if is_daily else []
    return _document(made, made.dataset, f"{made.dataset} as delivered", (properties, quality), custom)


def _raw_property(column: ColumnFacts, facts: Profile, key: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "description": _described(column, facts)}
    found |= {"logicalType": column.kind, "physicalType": column.physical}
    if column.nulls == 0:
        found["required"] = True
    if column.name in key:
        found |= {"primaryKey": True, "primaryKeyPosition": key.index(column.name) + 1}
    if len(column.values) > 1:
        found["enum"] = [{"value": value} for value in column.values]
    if column.kind in ("integer", "number") and column.distinct >= ENOUGH_VALUES:
        low, high = column.low, column.high
        if column.name not in facts.day_columns:
            found["logicalTypeOptions"] = {"minimum": _below(low), "maximum": _above(high)}
    return found


def _described(column: ColumnFacts, facts: Profile) -> str:
    """What is known of the column: facts of the sample, to be replaced by what it means."""
    share = f"{100 * column.nulls / facts.rows:.2g} % null" if column.nulls else "never null"
    span = f", {column.low} to {column.high}" if column.low is not None and column.kind != "string" else ""
    values = f"{column.distinct:,} value{'' if column.distinct == 1 else 's'}"
    return f"To be described. In the sample: {share}, {values}{span}."


def _raw_quality(facts: Profile) -> Iterator[dict[str, Any]]:
    names = [f'"{name}__typed"' if name != name.lower() else f"{name}__typed" for name in facts.day_columns]
    if len(names) == 3:
        expression = f"make_date({', '.join(names)}) = cast(_partition as date)"
    elif facts.column(facts.day_columns[0]).kind == "date":
        expression = f"{names[0]} = cast(_partition as date)"
    else:
        expression = f'left("{facts.day_columns[0]}", 10) = _partition'
    yield {
        "id": "rows_belong_to_the_delivered_day",
        "description": "The day in the row is the day in the name of the file.",
        "type": "custom",
        "engine": "interlock",
        "implementation": {"check": "row", "expression": expression},
    }
    rows = facts.rows
    yield {
        "id": "rows_like_recent_days",
        "description": "A file with half its rows is well formed; only the days before it tell.",
        "severity": "warning",
        "type": "custom",
        "engine": "interlock",
        "implementation": {
            "check": "baseline",
            "measure": "row_count",
            "window": 28,
            "season": "weekday",
            "minimum": 3,
            "ratio": [0.5, 2],
            "absolute": [max(rows // 4, 1), rows * 4],
        },
    }


def _staged_contract(made: Scaffold, name: str, columns: Sequence[StagedColumn]) -> str:
    properties = []
    for column in columns:
        found: dict[str, Any] = {"name": column.name, "description": column.description}
        found |= {"logicalType": column.kind, "physicalType": column.physical}
        if column.required:
            found["required"] = True
        if column.key_position:
            found |= {"primaryKey": True, "primaryKeyPosition": column.key_position}
        properties.append(found)
    day = next((column.name for column in columns if column.is_partition), None)
    partition = {"grain": "day", "column": day} if day else {"grain": "all"}
    same = {
        "id": "rows_as_delivered",
        "description": "Staging types and renames; it neither drops nor doubles a row.",
        "type": "custom",
        "engine": "interlock",
        "implementation": {
            "check": "accounts_for",
            "dataset": made.dataset,
            "by": {"load_id": "_load_id", "row_number": "_row_number"},
        },
    }
    custom = {"layer": "staged", "partition": partition}
    return _document(made, name, f"{made.dataset}, typed", (properties, [same]), custom)


def _document(
    made: Scaffold,
    name: str,
    purpose: str,
    content: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    custom: dict[str, Any],
) -> str:
    properties, quality = content
    table: dict[str, Any] = {"name": name, "physicalType": "table", "properties": properties}
    if quality:
        table["quality"] = quality
    parts: list[dict[str, Any]] = [
        {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": f"{made.domain}-{name}",
            "name": name,
            "version": "1.0.0",
            "status": "draft",
            "domain": made.domain,
            "description": {"purpose": f"To be described: {purpose}."},
            "team": {"name": f"{made.domain}-data"},
        },
        {"schema": [table]},
        {"customProperties": [{"property": f"interlock.{key}", "value": value} for key, value in custom.items()]},
    ]
    return "\n".join(yaml.safe_dump(part, sort_keys=False, allow_unicode=True, width=110) for part in parts)


def _add_model(made: Scaffold, root: Path, name: str, columns: Sequence[StagedColumn]) -> None:
    """The model, and its entries in the folder's property file, or in a new one where that is not safe."""
    folder = root / "dbt_project" / "models" / "staging" / made.domain
    made.files[folder / f"{name}.sql"] = model_sql(made.domain, made.dataset, columns)
    has_test = (root / "dbt_project" / "tests" / "generic" / "unique_together.sql").exists()
    table, model = property_entries(made.dataset, name, columns, has_unique_together=has_test)
    shared, own = folder / f"_{made.domain}.yml", folder / f"_{made.domain}__{made.dataset}.yml"
    if shared.exists() and name not in (text := shared.read_text(encoding="utf-8")):
        extended = with_entries(text, made.domain, table, model)
        if extended is not None:
            made.files[shared] = extended
            made.changed.add(shared)
            return
        made.review.append(f"{shared.name} could not be extended safely: merge {own.name} into it.")
    elif shared.exists():
        made.review.append(f"{shared.name} names {name} already and was left as it is: compare the columns.")
        return
    target = own if shared.exists() else shared
    head = [f"  - name: {made.domain}", f"    schema: raw_{made.domain}", "    tables:"]
    lines = ["version: 2", "", "sources:", *head, *_moved(table, 6), "", "models:", *_moved(model, 2)]
    made.files[target] = "\n".join(lines) + "\n"


def _moved(lines: Sequence[str], columns: int) -> list[str]:
    return [f"{' ' * columns}{line}" for line in lines]


def _review(made: Scaffold, root: Path) -> Iterator[str]:
    facts = made.facts
    if facts.is_capped:
        yield f"Only the first {facts.rows:,} rows were looked at; later ones may break what is written here."
    yield f"The owner is written as {made.domain}-data: name the group that is told when the feed is unsafe."
    if facts.keys:
        others = "; ".join(f"({', '.join(names)})" for names in facts.keys[1:])
        told = f" It could also be {others}." if others else ""
        yield f"The key ({', '.join(facts.keys[0])}) is one in this sample: is it one every day?{told}"
    else:
        yield "No column, pair or triple tells the rows apart; the staged key is the load and the row number."
    if any(len(column.values) > 1 for column in facts.columns):
        yield "An enum blocks a value that the sample does not have: may others come?"
    yield "Ranges are twice what the sample shows, rounded: replace them by what is possible."
    yield "Nothing is promised on latency: add slaProperties once the producer agreed."
    if facts.day and not facts.day_columns:
        yield f"No column says {facts.day} in every row, so each file is taken for a snapshot of the whole dataset."
    if facts.day and facts.day.isoformat() not in facts.file.name:
        yield "The day in the file name is not written as YYYY-MM-DD, which deliveries need."
    dates = [column.name for column in facts.columns if column.kind == "date" and column.name not in facts.day_columns]
    if dates and not facts.day_columns:
        yield f"If the feed came day by day, {', '.join(dates)} could tell the partition; name the file with its day."
    domains = root / "include" / "domains.yaml"
    if domains.exists() and made.domain not in (read_yaml(domains) or {}):
        yield f"Add the domain {made.domain} to include/domains.yaml, with its schedule."


def _above(value: float) -> float:
    """Twice a bound, rounded up to a number that nobody takes for measured."""
    if value <= 0:
        return 0
    size = 10.0 ** (len(str(int(2 * value))) - 1)
    wide: float = next(size * step for step in (1, 2, 5, 10) if size * step >= 2 * value)
    return int(wide) if wide.is_integer() else wide


def _below(value: float) -> float:
    return -_above(-value) if value < 0 else 0
