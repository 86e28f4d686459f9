"""Which texts a gate takes for a value of a type: those that everybody reads alike."""

from __future__ import annotations

from interlock.db.connection import Role
from interlock.quality.sqltext import literal, reads_as

READABLE = {
    "integer": ["12", "-3", " 12 ", "007"],
    "double precision": ["0.5", "-1e-3", ".5", "1E5", " 2 "],
    "numeric(10,2)": ["12.34", "-0.5"],
    "date": ["2013-01-05"],
    "time": ["23:59", "23:59:59.5"],
    "timestamptz": ["2013-01-05T06:00:00Z", "2013-01-05 06:00+01", "2013-01-05 06:00:00.25 -05:30"],
    "timestamp": ["2013-01-05T06:00:00", "2013-01-05 06:00"],
    "boolean": ["true", "f", "yes"],
}
UNREADABLE = {
    "integer": ["12.0", "12a", "", "99999999999"],
    "double precision": ["NaN", "Infinity", "-inf", "nan", "1,5", "e5", ""],
    "numeric(10,2)": ["NaN", "infinity"],
    "date": [
        "now",
        "today",
        "infinity",
        "01/02/2013",
        "20130105",
        "5.1.2013",
        "2013-02-30",
        "2013-01-05 00:00",
        "epoch",
    ],
    "time": ["allballs", "now", "6 PM", "25:00"],
    "timestamptz": ["2013-01-05T06:00:00", "2013-01-05", "now", "01/02/2013 06:00Z", "2013-01-05T06:00 Europe/Berlin"],
    "timestamp": ["2013-01-05T06:00:00Z", "2013-01-05", "now", "2013-01-05 6 AM"],
    "boolean": ["2", "maybe"],
}


def test_a_text_reads_as_a_type_only_where_it_reads_in_one_way(database) -> None:
    cases = {(kind, text): True for kind, texts in READABLE.items() for text in texts}
    cases |= {(kind, text): False for kind, texts in UNREADABLE.items() for text in texts}
    asked = ", ".join(reads_as(f"cast({literal(text)} as text)", kind) for kind, text in cases)
    with database.connect(Role.ADMIN) as connection:
        answers = connection.execute(f"select {asked}".encode()).fetchone()
        assert connection.execute(f"select {reads_as('null::text', 'date')}".encode()).fetchone() == (None,)
    found = dict(zip(cases, answers, strict=True))
    assert {case for case in cases if found[case] is not cases[case]} == set()
