"""The staging model of a new feed: types and names, and nothing else, in the layout of the models around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interlock.contracts.profiling import ColumnFacts, Profile

# PostgreSQL's reserved words: a column of such a name would have to be quoted by everybody who reads it.
_RESERVED = """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
returning right select session_user similar some symmetric system_user table tablesample then to trailing true
union unique user using variadic verbose when where window with
"""
RESERVED_WORDS = frozenset(_RESERVED.split())
_MODEL = """\
with

source as (

    select * from {{ source('DOMAIN', 'DATASET') }}

),

final as (

    select
OWN,

TRACED
    from source

)

select * from final
"""
_CASTS = {"text": "", "timestamp with time zone": "::timestamptz", "timestamp without time zone": "::timestamp"}


@dataclass(frozen=True)
class StagedColumn:
    """One column of the staged dataset: what it is called, its types, and the SQL that makes it from raw text."""

    name: str
    expression: str
    kind: str
    physical: str
    required: bool
    description: str
    key_position: int = 0
    is_partition: bool = False


def staged_columns(facts: Profile, dataset: str) -> list[StagedColumn]:
    """The staged columns of a sample: its partition first, its own, and where each row came from."""
    columns = [_typed(column, facts) for column in facts.columns]
    names = {column.name: staged.name for column, staged in zip(facts.columns, columns, strict=True)}
    if facts.day_columns:
        columns = _with_partition(facts, dataset, columns)
    columns += [
        StagedColumn("load_id", "_load_id", "integer", "bigint", True, "The load that brought the row."),
        StagedColumn("row_number", "_row_number", "integer", "bigint", True, "The row's place in its file."),
    ]
    key = [names[name] for name in facts.keys[0]] if facts.keys else ["load_id", "row_number"]
    key = [column.name for column in columns if column.is_partition and column.name not in key] + key
    return [
        replace(column, key_position=key.index(column.name) + 1, required=True) if column.name in key else column
        for column in columns
    ]


def model_sql(domain: str, dataset: str, columns: Sequence[StagedColumn]) -> str:
    """The model: import, one step, and everything of it."""
    own = [column for column in columns if column.name not in ("load_id", "row_number")]
    traced = [column for column in columns if column.name in ("load_id", "row_number")]
    listed = ",\n".join(f"        {_selected(column)}" for column in own)
    tail = ",\n".join(f"        {_selected(column)}" for column in traced)
    lines = _MODEL.replace("DOMAIN", domain).replace("DATASET", dataset)
    return lines.replace("OWN", listed).replace("TRACED", tail)


def property_entries(
    dataset: str, name: str, columns: Sequence[StagedColumn], *, has_unique_together: bool
) -> tuple[list[str], list[str]]:
    """The entries of dbt's property file: the table of the source, and the model with its columns."""
    table = [
        f"- name: {dataset}",
        f"  identifier: {dataset}_accepted",
        "  description: To be described. One row per row of an accepted delivery.",
    ]
    key = [column.name for column in sorted(columns, key=lambda column: column.key_position) if column.key_position]
    model = [f"- name: {name}", f"  description: To be described. One row per {', '.join(key)}."]
    if len(key) > 1 and has_unique_together:
        told = f"          columns: [{', '.join(key)}]"
        model += ["  data_tests:", "    - unique_together:", "        arguments:", told]
    model.append("  columns:")
    for column in columns:
        model += [f"    - name: {column.name}", f"      description: {_quoted(column.description)}"]
        model.append(f"      data_type: {column.physical}")
        if column.required:
            model.append("      constraints: [{type: not_null}]")
        if key == [column.name]:
            model.append("      data_tests: [unique]")
    return table, model


def _typed(column: ColumnFacts, facts: Profile) -> StagedColumn:
    name = re.sub(r"_+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name)).strip("_").lower()
    if name in RESERVED_WORDS or name in ("load_id", "row_number"):
        name = f"{name}_value"
    text = f'"{column.name}"' if column.name != column.name.lower() or column.name in RESERVED_WORDS else column.name
    if column.nulls:
        for token in facts.tokens:
            text = "nullif({}, '{}')".format(text, token.replace("'", "''"))
    expression = f"{text}{_CASTS.get(column.physical, f'::{column.physical}')}"
    described = f"To be described: {column.name} as delivered, typed."
    return StagedColumn(name, expression, column.kind, column.physical, column.nulls == 0, described)


def _with_partition(facts: Profile, dataset: str, columns: list[StagedColumn]) -> list[StagedColumn]:
    """The date column of the partition: one that is delivered, or one made from what is."""
    by_raw = dict(zip((column.name for column in facts.columns), columns, strict=True))
    sources = [by_raw[name] for name in facts.day_columns]
    if len(sources) == 1 and sources[0].kind == "date":
        return [replace(column, is_partition=True) if column is sources[0] else column for column in columns]
    if len(sources) == 3:
        expression = f"make_date({', '.join(source.expression for source in sources)})"
    else:
        expression = f"left({sources[0].expression.partition('::')[0]}, 10)::date"
    name = f"{dataset.removesuffix('s')}_date"
    if name in {column.name for column in columns}:
        name = f"{dataset}_partition_date"
    made = StagedColumn(name, expression, "date", "date", True, "The day that the delivery is for.", is_partition=True)
    return [made, *columns]


def _selected(column: StagedColumn) -> str:
    return column.name if column.expression == column.name else f"{column.expression} as {column.name}"


def _quoted(text: str) -> str:
    return f'"{text}"' if ":" in text else text
