"""A small project whose contracts are good, for tests to break in one way each."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from interlock.contracts.lint import lint
from interlock.contracts.problems import ContractProblem

Document = dict[str, Any]


def column(name: str, logical: str = "string", physical: str = "text", **more: Any) -> Document:
    """One property of a contract."""
    return {"name": name, "description": f"{name}.", "logicalType": logical, "physicalType": physical, **more}


def key(name: str, position: int, logical: str = "string", physical: str = "text") -> Document:
    """One property of a contract that is part of its key."""
    return column(name, logical, physical, required=True, primaryKey=True, primaryKeyPosition=position)


def contract(name: str, layer: str, columns: list[Document], **custom: Any) -> Document:
    """A good contract of the domain `shop`; `custom` are further interlock properties."""
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"shop-{name}",
        "name": name,
        "version": "1.0.0",
        "status": "active",
        "domain": "shop",
        "description": {"purpose": f"The {name} of a shop."},
        "team": {"name": "shop-data"},
        "schema": [{"name": name, "physicalType": "table", "properties": columns}],
        "customProperties": [
            {"property": f"interlock.{key}", "value": value} for key, value in {"layer": layer, **custom}.items()
        ],
    }


RAW_ORDERS = contract(
    "orders",
    "raw",
    [key("order_no", 1, "integer", "integer"), column("customer"), column("amount", "number", "double precision")],
    partition={"grain": "day"},
    delivery={"mode": "full-partition", "landing": "orders_{partition}.csv", "null": ["NA"]},
)
RAW_CUSTOMERS = contract(
    "customers",
    "raw",
    [key("customer", 1)],
    delivery={"mode": "full-partition", "landing": "customers_{delivered}.csv"},
)
STAGED_ORDERS = contract(
    "stg_shop__orders",
    "staged",
    [
        key("order_date", 1, "date", "date"),
        key("order_no", 2, "integer", "integer"),
        column("customer", required=True, relationships=[{"to": "stg_shop__customers.customer"}]),
        column("amount", "number", "double precision", enum=[{"value": 1}, {"value": 2}]),
    ],
    partition={"grain": "day", "column": "order_date"},
)
STAGED_ORDERS["schema"][0]["quality"] = [
    {
        "id": "rows_as_delivered",
        "type": "custom",
        "engine": "interlock",
        "implementation": {"check": "reconciles_with", "dataset": "orders", "measure": "row_count"},
    }
]
STAGED_ORDERS["slaProperties"] = [
    {"property": "latency", "value": 2, "unit": "d", "element": "stg_shop__orders.order_date"}
]
STAGED_CUSTOMERS = contract("stg_shop__customers", "staged", [key("customer", 1)])
CONTRACTS = {
    document["schema"][0]["name"]: document for document in (RAW_ORDERS, RAW_CUSTOMERS, STAGED_ORDERS, STAGED_CUSTOMERS)
}
PROPERTIES: Document = {
    "version": 2,
    "sources": [
        {
            "name": "shop",
            "schema": "raw_shop",
            "tables": [{"name": name, "identifier": f"{name}_accepted"} for name in ("orders", "customers")],
        }
    ],
    "models": [
        {
            "name": "stg_shop__orders",
            "columns": [
                {"name": "order_date", "data_type": "date"},
                {"name": "order_no", "data_type": "int"},
                {"name": "customer", "data_type": "text"},
                {"name": "amount", "data_type": "float8"},
            ],
        },
        {"name": "stg_shop__customers", "columns": [{"name": "customer", "data_type": "text"}]},
    ],
}


@dataclass(frozen=True)
class Project:
    """A checkout that a test may break."""

    root: Path
    column = staticmethod(column)
    key = staticmethod(key)
    contract = staticmethod(contract)

    @property
    def properties(self) -> Path:
        """The property file of the staged models."""
        return self.root / "dbt_project" / "models" / "staging" / "shop" / "_shop.yml"

    def file(self, dataset: str) -> Path:
        """The contract of a dataset."""
        return self.root / "include" / "contracts" / "shop" / f"{dataset}.yaml"

    def write(self, file: Path, content: Any) -> Path:
        """Write YAML, or text as it is."""
        file.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        return file

    def change(self, dataset: str, change: Callable[[Document], Any]) -> None:
        """Change a contract's document."""
        document = yaml.safe_load(self.file(dataset).read_text(encoding="utf-8"))
        change(document)
        self.write(self.file(dataset), document)

    def change_table(self, dataset: str, change: Callable[[Document], Any]) -> None:
        """Change the one schema object of a contract."""
        self.change(dataset, lambda document: change(document["schema"][0]))

    def change_custom(self, dataset: str, name: str, value: Any) -> None:
        """Set one of a contract's interlock properties."""

        def set_it(document: Document) -> None:
            kept = [item for item in document["customProperties"] if item["property"] != f"interlock.{name}"]
            document["customProperties"] = [*kept, {"property": f"interlock.{name}", "value": value}]

        self.change(dataset, set_it)

    def change_properties(self, change: Callable[[Document], Any]) -> None:
        """Change the property file of the staged models."""
        document = yaml.safe_load(self.properties.read_text(encoding="utf-8"))
        change(document)
        self.write(self.properties, document)

    def problems(self) -> list[ContractProblem]:
        """What lint finds, but for the version that a changed contract needs."""
        return [problem for problem in lint(self.root).problems if problem.where != "version"]

    def problem(self) -> ContractProblem:
        """The one thing that lint finds."""
        found = self.problems()
        assert len(found) == 1, [str(problem) for problem in found]
        return found[0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in which nothing is wrong, with its versions recorded."""
    made = Project(tmp_path / "project")
    for name, document in CONTRACTS.items():
        made.write(made.file(name), deepcopy(document))
    made.write(made.root / "include" / "domains.yaml", {"shop": {"schedule": "0 0 * * *"}})
    made.write(made.properties, deepcopy(PROPERTIES))
    for name in ("stg_shop__orders", "stg_shop__customers"):
        made.write(made.properties.parent / f"{name}.sql", "select 1 as one\n")
    report = lint(made.root, record=True)
    assert report.is_clean, [str(problem) for problem in report.problems]
    return made
