"""The contracts of the checkout, broken at random, and YAML that means harm: a contract or problems, never a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.contracts import declarations
from interlock.contracts.checks import CheckKind, Severity, clause_digest
from interlock.contracts.documents import read_yaml
from interlock.contracts.loading import checks_of, expectations_file, load_contracts, read_contract
from interlock.contracts.problems import ContractInvalid, Findings

PROJECT = Path(__file__).parents[3]
REAL = {
    file.stem: (file.parent.name, file.read_text(encoding="utf-8"))
    for file in sorted((PROJECT / "include" / "contracts").glob("*/*.yaml"))
}
BEYOND = {file.stem: file.read_text(encoding="utf-8") for file in sorted((PROJECT / "expectations").glob("*/*.yaml"))}
BROKEN = settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 2**63, 10**25, 1e308, float("inf"), float("nan"), "", "x", "☃", "a" * 5_000),
        *([], {}, [[]], [None], [1, "a"], {"a": 1}, {"": None}, [{}], {"property": None}, {"mean": ["a"]}),
        *(
            "raw",
            "library",
            "sql",
            "custom",
            "text",
            "P7D",
            "2013-02-30",
            "[a-z",
            "select 1 from ${table}",
            "{partition}",
        ),
        *({"check": "row"}, {"kwargs": {"mostly": "x"}}, {"share_null": None}, [{"property": "interlock.layer"}]),
    ]
)
NAMES = st.sampled_from(
    [
        "x",
        "mustBe",
        "mustBeBetween",
        "severity",
        "query",
        "arguments",
        "unit",
        "quality",
        "enum",
        "type",
        "relationships",
    ]
)

SLIPS = ("\t", "\t- ", ": ", "- ", "{", "[", "&a ", "*a", "<<: *a\n", "!!set ", "|", "'", '"', "\ufeff", "#")


def places(tree: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every element of a document."""
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [way for step, inner in steps for way in ((*place, step), *places(inner, (*place, step)))]


def at(tree: Any, place: tuple[Any, ...]) -> Any:
    """The element in a place."""
    for step in place:
        tree = tree[step]
    return tree


def broken(data: st.DataObject, text: str) -> Any:
    """A document with one to three changes: something taken away, replaced, doubled elsewhere, or added."""
    tree = yaml.safe_load(text)
    for _ in range(data.draw(st.integers(1, 3))):
        ways = places(tree)
        if not ways:
            break
        way = data.draw(st.sampled_from(ways))
        holder, change = at(tree, way[:-1]), data.draw(st.sampled_from(["delete", "replace", "replace", "copy", "add"]))
        if change == "delete":
            del holder[way[-1]]
        elif change == "replace":
            holder[way[-1]] = deepcopy(data.draw(ODD))
        elif change == "copy":
            holder[way[-1]] = deepcopy(at(tree, data.draw(st.sampled_from(ways))))
        elif isinstance(holder, dict):
            holder[data.draw(NAMES)] = deepcopy(data.draw(ODD))
        else:
            holder.append(deepcopy(data.draw(ODD)))
    return tree


def written(file: Path, tree: Any) -> Path:
    """The file, in a folder that may not be there yet."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)), encoding="utf-8")
    return file


@BROKEN
@given(dataset=st.sampled_from(sorted(REAL)), data=st.data())
def test_a_real_contract_broken_anywhere_is_a_contract_or_problems(
    tmp_path: Path, dataset: str, data: st.DataObject
) -> None:
    domain, text = REAL[dataset]
    is_beyond = dataset in BEYOND and data.draw(st.booleans())
    tree = yaml.safe_load(text) if is_beyond else broken(data, text)
    file = written(tmp_path / "include" / "contracts" / domain / f"{dataset}.yaml", tree)
    beyond = expectations_file(file)
    beyond.unlink(missing_ok=True)
    if dataset in BEYOND:
        written(beyond, broken(data, BEYOND[dataset]) if is_beyond else yaml.safe_load(BEYOND[dataset]))

    contract, problems = read_contract(file)

    assert (contract is None) == bool(problems)
    for problem in problems:
        assert problem.file in (file, beyond)
        assert problem.where
        assert problem.found
        assert problem.fix
    if contract is not None:
        checks = checks_of(contract)
        clause_digest(checks)
        json.dumps([check.model_dump(mode="json") for check in checks])
        for rule in declarations.RULES:
            rule(contract, checks, Findings(file))


@BROKEN
@given(
    dataset=st.sampled_from(sorted(REAL)),
    data=st.data(),
    slip=st.sampled_from(
        ["\t", "\t- ", ": ", "- ", "{", "[", "&a ", "*a", "<<: *a\n", "!!set ", "|", "'", '"', "\ufeff", "#"]
    ),
)
def test_a_slip_of_the_hand_in_a_real_contract_is_a_contract_or_problems_with_its_place(
    tmp_path: Path, dataset: str, data: st.DataObject, slip: str
) -> None:
    domain, text = REAL[dataset]
    lines = text.splitlines(keepends=True)
    line = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[line])))
    lines[line] = lines[line][:column] + slip + lines[line][column:]
    file = tmp_path / "include" / "contracts" / domain / f"{dataset}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(lines), encoding="utf-8")
    contract, problems = read_contract(file)
    assert (contract is None) == bool(problems)
    for problem in problems:
        assert str(problem).startswith(str(file))


def nested(width: int, depth: int, form: str) -> str:
    """Aliases of aliases: a few hundred bytes that are `width` to the power of `depth` values."""
    made = [f"x0: &x0 {'{k: 1}' if '<<' in form else '[1]'}"]
    made += [f"x{n}: &x{n} {form % ', '.join([f'*x{n - 1}'] * width)}" for n in range(1, depth)]
    return "\n".join(made)


HARMFUL = {
    "aliases of aliases": (nested(10, 15, "[%s]"), "more than 200,000 values"),
    "merges of merges": (nested(10, 15, "{<<: [%s]}"), "more than 200,000 values"),
    "an alias of itself": ("x: &x [*x]", "Circular"),
    "an alias of nothing": ("x: *y", "undefined alias"),
    "a million brackets": ("[" * 1_000_000, "nested too deeply"),
    "a million braces": ("{a: " * 250_000, "nested too deeply"),
    "a million dashes": ("- " * 500_000, "nested too deeply"),
    "a million question marks": ("? " * 500_000, "nested too deeply"),
    "a value without end": ("x: " + "x" * 1_000_000, "longer than"),
    "a file without end": ("# x\n" * 2_000_000, "larger than"),
    "a key that repeats": ("a: 1\na: 2", "the key 'a' repeats"),
    "a key that repeats in another dress": ("1: a\n0x1: b", "mean the same"),
    "a key that repeats as text": ("yes: a\n'true': b", "the key 'true' repeats"),
    "a key that repeats in a merge": ("a: &a {k: 1}\nb: {<<: *a, <<: *a}", "the key '<<' repeats"),
    "a set": ("!!set {b, a}", "a set has no order"),
    "a tab": ("a:\n\tb: 1", "line 2, column 1"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "a number of 5,000 digits": ("n: " + "9" * 5_000, "cannot be read"),
    "a class": ("!!python/object/apply:os.system [x]", "could not determine a constructor"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_yaml_that_means_harm_is_refused_at_once_with_what_was_found(tmp_path: Path, name: str) -> None:
    text, found = HARMFUL[name]
    file = tmp_path / "contracts" / "shop" / "orders.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=found):
        read_yaml(file)
    with pytest.raises(ContractInvalid, match=found) as raised:
        load_contracts(tmp_path / "contracts")
    assert [problem.file for problem in raised.value.problems] == [file]


def test_a_contract_that_would_overrun_the_stack_does_not_take_the_process_with_it(tmp_path: Path) -> None:
    """In a process of its own: without the look beforehand this is a segmentation fault."""
    file = tmp_path / "deep.yaml"
    file.write_text("[" * 1_000_000)
    reading = (
        f"from pathlib import Path; from interlock.contracts.documents import read_yaml; read_yaml(Path({str(file)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", reading], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.returncode
    assert "nested too deeply" in done.stderr


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda table: table.pop("properties"), "schema[0].properties"),
        (lambda table: table.update(properties=[]), "schema[0].properties"),
    ],
)
def test_a_contract_without_columns_is_a_problem(tmp_path: Path, change: Any, where: str) -> None:
    domain, text = REAL["carriers"]
    tree = yaml.safe_load(text)
    change(tree["schema"][0])
    _, problems = read_contract(written(tmp_path / domain / "carriers.yaml", tree))
    assert ("there are no columns", where) in [(problem.found, problem.where) for problem in problems]


@pytest.mark.parametrize("severity", [["warning"], {"warning": True}, 3, True])
def test_a_severity_that_is_no_word_blocks_and_is_told(tmp_path: Path, severity: Any) -> None:
    domain, text = REAL["carriers"]
    file = written(tmp_path / "include" / "contracts" / domain / "carriers.yaml", yaml.safe_load(text))
    item = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "name"}, "severity": severity}
    written(expectations_file(file), {"expectations": [item]})
    contract, problems = read_contract(file)
    assert contract is not None, problems
    checks, findings = checks_of(contract), Findings(file)
    [check] = [check for check in checks if check.kind is CheckKind.EXPECTATION]
    assert check.severity is Severity.CRITICAL
    declarations.expectations(contract, checks, findings)
    assert [problem.where for problem in findings.problems] == ["expectations[0].severity"]
