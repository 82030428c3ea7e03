"""Text as it came becomes typed, checked rows; what does not parse has failed a check and stopped nothing."""

from __future__ import annotations

import cleaning
import pytest
import spec_file
import specs
from frames import rows, table

PEOPLE = spec_file.parse("""
pipeline: people
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: changed_at
    delete_when: op = 'D'
    columns:
      id:         {type: integer}
      email:      {type: text, clean: [trim, lower, empty_to_null]}
      age:        {type: integer}
      price:      {type: "number(10,2)"}
      kind:       {type: text, clean: [trim, upper], map: {R: Regular, VIP: Premium}, otherwise: Unknown}
      op:         {type: text}
      changed_at: {type: timestamp}
    checks:
      email_is_valid: is_email(email)
      age_in_range:   age between 0 and 120
      kind_is_known:  {expect: kind <> 'Unknown', otherwise: warn}
""").source("people")
HEAD = "id:text | email:text | age:text | price:text | kind:text | op:text | changed_at:text | _file_name | _row_number | " \
       "_content_key | _loaded_at:timestamp | is_repeat:boolean\n"


def bronze(frame, *lines: str):
    return frame(HEAD + "\n".join(f"{line} | a.csv | {n} | a | 2024-02-01 00:00:00 | false" for n, line in enumerate(lines, 1)))


GOOD = "1 | Ann@x.org | 30 | 9.50 | R | I | 2024-01-01 10:00:00"


def test_a_good_row_is_typed_and_standardised(frame):
    typed = cleaning.typed(bronze(frame, " 1 |  Ann@X.org  | 30.0 | 9.5 | vip | I | 2024-01-01T10:00:00Z"), PEOPLE)

    assert rows(typed.select("id", "email", "age", "price", "kind", "effective_at", "is_deleted")) == table("""
        id | email     | age | price | kind    | effective_at        | is_deleted
        1  | ann@x.org | 30  | 9.5   | Premium | 2024-01-01 10:00:00 | false
    """)


@pytest.mark.parametrize(
    ("field", "value", "failed"),
    [
        pytest.param("30", "abc", "age_is_integer,age_in_range", id="text in a number, and every check that follows"),
        pytest.param("30", "30.5", "age_is_integer,age_in_range", id="a fraction is no whole number and is not rounded"),
        pytest.param("30", "130", "age_in_range", id="out of range"),
        pytest.param("30", "", "age_in_range", id="NULL is not TRUE"),
        pytest.param("9.50", "cheap", "price_is_number", id="a price in words"),
        pytest.param("9.50", "", "", id="a blank price is no price, and no fault"),
        pytest.param("Ann@x.org", "Ann", "email_is_valid", id="no address"),
        pytest.param("Ann@x.org", "", "email_is_valid", id="a blank address"),
        pytest.param("1 |", " |", "id_is_given", id="no key"),
        pytest.param("1 |", "x |", "id_is_integer", id="a key that is no number"),
        pytest.param("2024-01-01 10:00:00", "", "changed_at_is_given", id="no time"),
        pytest.param("2024-01-01 10:00:00", "32154", "changed_at_is_timestamp", id="a spreadsheet's day is not 1970"),
        pytest.param("2024-01-01 10:00:00", "01/02/2024", "changed_at_is_timestamp", id="a day nobody can be sure of"),
        pytest.param("| I |", "| I |", "", id="a good row"),
    ],
)
def test_a_row_carries_every_check_it_failed(frame, field, value, failed):
    checked = cleaning.checked(cleaning.typed(bronze(frame, GOOD.replace(field, value, 1)), PEOPLE), PEOPLE)

    assert [row["failed_checks"] for row in rows(checked)] == [failed]


def test_a_check_that_warns_lets_the_row_pass(frame):
    checked = cleaning.checked(cleaning.typed(bronze(frame, GOOD.replace("| R |", "| ? |")), PEOPLE), PEOPLE)

    assert [(row["failed_checks"], row["warned_checks"]) for row in rows(checked)] == [("", "kind_is_known")]


def test_a_tombstone_needs_its_key_and_its_time_and_nothing_else(frame):
    lines = ("1 | | | | | D | 2024-01-01 10:00:00", " | | | | | D | 2024-01-01 10:00:00")
    checked = cleaning.checked(cleaning.typed(bronze(frame, *lines), PEOPLE), PEOPLE)

    assert [row["failed_checks"] for row in sorted(rows(checked), key=lambda row: row["row_number"])] == ["", "id_is_given"]


SMALL = specs.Source("small", "s/", "csv", ("id",), "effective_at", (specs.Column("id", "integer"), specs.Column("city")))
STAGED = "id:integer | city:text | is_repeat:boolean | failed_checks:text | row_number:integer"
REST = "is_deleted:boolean | effective_at:timestamp | file_name | content_key | loaded_at | id_raw:text | city_raw:text | warned_checks:text | stops:boolean"


@pytest.mark.parametrize(
    ("silver", "batch", "outcomes"),
    [
        pytest.param("", ["1 | Paris | false | "], ["event"], id="never seen"),
        pytest.param("1 | Paris", ["1 | Paris | false | "], ["duplicate"], id="equal to an event in silver"),
        pytest.param("1 | ", ["1 | | false | "], ["duplicate"], id="NULL equals NULL"),
        pytest.param("1 | Paris", ["1 | | false | "], ["event"], id="NULL differs from a value"),
        pytest.param("", ["1 | Paris | false | "] * 2, ["event", "duplicate"], id="twice in the batch"),
        pytest.param("", ["1 | Paris | true | "], ["duplicate"], id="a place in a file that was taken"),
        pytest.param("", ["1 | Paris | false | x", "1 | Paris | false | "], ["quarantined", "event"], id="a failing row shadows none"),
    ],
)
def test_what_becomes_of_a_row(frame, silver, batch, outcomes):
    rest = " | false | 2024-01-01 00:00:00 | f | c | 2024-02-01 00:00:00 | 1 | x | w | false"
    staged = frame(f"{STAGED} | {REST}\n" + "\n".join(f"{line} | {n}{rest}" for n, line in enumerate(batch, 1)))
    staged = staged.na.fill({"failed_checks": ""})
    known = frame(
        "id:integer | city:text | is_deleted:boolean | effective_at:timestamp\n"
        + (f"{silver} | false | 2024-01-01 00:00:00" if silver else "")
    )

    found = sorted(rows(cleaning.with_outcome(staged, known, SMALL)), key=lambda row: row["row_number"])

    assert [row["outcome"] for row in found] == outcomes
