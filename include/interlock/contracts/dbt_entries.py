"""New entries in a property file that people wrote: their comments and their order stay as they are.

The file is changed as text, where its lists end, and then read again: if it does not hold exactly what it held before
and the new entries, nothing is changed and the caller writes a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

Entry = dict[str, Any]


def indented(lines: Sequence[str], columns: int) -> list[str]:
    """Lines of an entry, moved to where a list stands."""
    return [f"{' ' * columns}{line}" if line else line for line in lines]


def with_entries(text: str, source: str, table: Sequence[str], model: Sequence[str]) -> str | None:
    """The file with one more table of a source and one more model, None where that cannot be done safely."""
    try:
        before = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        wanted = _extended(before, source, _one(table), _one(model))
        places = [(_tables(root, source), table), (_value(root, "models"), model)]
        lines = text.splitlines()
        # From the end, so that the first insertion does not move the place of the second.
        for place, entry in sorted(places, key=lambda item: -item[0].end_mark.line):
            end = _last_line(lines, place)
            lines[end:end] = ["", *indented(entry, place.start_mark.column)]
        changed = "\n".join(lines) + "\n"
        return changed if yaml.safe_load(changed) == wanted else None
    except (yaml.YAMLError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _one(entry: Sequence[str]) -> Entry:
    (found,) = yaml.safe_load("\n".join(entry))
    return dict(found)


def _extended(before: Any, source: str, table: Entry, model: Entry) -> Any:
    named = [item for item in before["sources"] if item["name"] == source]
    if len(named) != 1:
        raise ValueError(f"{len(named)} sources are called {source}")
    sources = [
        {**item, "tables": [*item["tables"], table]} if item["name"] == source else item for item in before["sources"]
    ]
    return {**before, "sources": sources, "models": [*before["models"], model]}


def _value(mapping: Any, key: str) -> Any:
    """The block list under a key; one that is written in brackets cannot grow by lines."""
    for name, value in mapping.value:
        if name.value == key and not value.flow_style:
            return value
    raise KeyError(key)


def _tables(root: Any, source: str) -> Any:
    for item in _value(root, "sources").value:
        if any(name.value == "name" and value.value == source for name, value in item.value):
            return _value(item, "tables")
    raise KeyError(source)


def _last_line(lines: Sequence[str], node: Any) -> int:
    """The line after the last one of a block list; its mark stands behind the blank lines and comments after it."""
    end: int = node.end_mark.line if node.end_mark.column == 0 or node.end_mark.line < len(lines) else len(lines)
    while end > 0 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end
