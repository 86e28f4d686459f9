"""What may be passed on: findings without a value of a classified column, failures without the database's words."""

from __future__ import annotations

import pytest

from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Contract
from interlock.db.disclosure import WITHHELD, told, told_of_failure
from interlock.quality.disclosure import disclosed
from interlock.safety.explanations import Finding

QUOTED = "4711"


@pytest.fixture
def contract() -> Contract:
    """A contract of the checkout, one column of which became classified."""
    known = load_contracts()["fct_flights"]
    columns = (
        column.model_copy(update={"classification": "restricted"}) if column.name == "tail_number" else column
        for column in known.columns
    )
    return known.model_copy(update={"columns": tuple(columns)})


@pytest.mark.parametrize(
    "said",
    [
        f'Database Error in model x (models/x.sql)\n  invalid input syntax for type integer: "{QUOTED}"',
        f'(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint "x"\nDETAIL: ({QUOTED})',
        f'null value in column "a" violates not-null constraint\nDETAIL:  Failing row contains ({QUOTED})',
        f"a finding of ours. CONTEXT:  COPY x, line 1: {QUOTED}",
    ],
)
def test_nothing_that_the_database_said_is_passed_on(said: str):
    assert QUOTED not in str(told(said))
    assert WITHHELD.lower() in str(told(said)).lower()


def test_our_own_words_are_passed_on_as_they_are():
    assert told("5 of 720 rows are not as expected; expected one of EWR, JFK") is not None
    assert told("5 of 720 rows are doubled") == "5 of 720 rows are doubled"
    assert told("x partition 2013-01-05 is not safe: Database Error in model y").startswith("x partition 2013-01-05 is")
    assert (
        told_of_failure("Blocked", "flights 2013-01-05: 2 keys are doubled") == "flights 2013-01-05: 2 keys are doubled"
    )


def test_of_a_failure_that_nobody_foresaw_no_word_is_passed_on():
    assert QUOTED not in str(told_of_failure("DataError", f"the value {QUOTED} is odd"))


def test_a_value_of_a_column_that_was_classified_since_is_masked(contract: Contract):
    plain = Finding(clause="primary_key", observed=3, message="3 rows", sample_keys=({"tail_number": QUOTED, "n": 1},))
    delicate = Finding(clause="tail_number.pattern", observed=QUOTED, message=f"tail_number: mean {QUOTED}")
    shown = disclosed([plain, delicate], contract)
    assert shown[0].sample_keys == ({"tail_number": "***", "n": 1},)
    assert (shown[0].observed, shown[1].observed) == (3, "***")
    assert QUOTED not in str(shown)


def test_of_a_dataset_without_a_contract_every_value_is_masked():
    shown = disclosed([Finding(clause="x", observed=QUOTED, message=QUOTED, sample_keys=({"id": QUOTED},))], None)
    assert QUOTED not in str(shown)
