"""The library of checks: which rows each one holds back, and that it does not matter how rows fall into batches."""

from __future__ import annotations

import datetime as dt

import cleaning
import pytest
import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
import spec_file

SPEC = """
pipeline: shop
sources:
  cities:
    files: {{prefix: cities/, format: csv}}
    key: [city]
    effective_at: at
    columns: {{city: {{type: text}}, at: {{type: timestamp}}}}
  people:
    files: {{prefix: people/, format: csv}}
    key: [id]
    effective_at: at
    delete_when: op = 'D'
    columns:
      id: {{type: integer}}
      email: {{type: text}}
      age: {{type: integer}}
      city: {{type: text}}
      op: {{type: text}}
      at: {{type: timestamp}}
    checks:
      {checks}
"""
NTZ = T.TimestampType(T.TimestampTimeZone.NTZ)
BRONZE = T.StructType(
    [T.StructField(name, T.StringType()) for name in ("id", "email", "age", "city", "op", "at", "_file_name")]
    + [T.StructField("_row_number", T.LongType()), T.StructField("_content_key", T.StringType())]
    + [T.StructField("_loaded_at", NTZ), T.StructField("is_repeat", T.BooleanType())]
)
SILVER = "city:text | is_deleted:boolean\nOslo | false\nParis | false\nAtlantis | true"
NOBODY = "id:integer | email:text | city:text | is_deleted:boolean\n"
ARRIVED = dt.datetime(2024, 2, 1)


def people(checks: str):
    return spec_file.parse(SPEC.format(checks=checks.replace("\n", "\n      "))).source("people")


def bronze(session, lines: list[str], file: str = "a.csv"):
    """Rows `id | email | age | city | op | at`, one file."""
    made = []
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() or None for cell in line.split("|")]
        made.append((*cells, file, number, file, ARRIVED + dt.timedelta(minutes=ord(file[0])), False))
    return session.create_dataframe(made, schema=BRONZE)


def failed(session, frame, checks: str, *lines: str, silver: str = NOBODY) -> dict[str, str]:
    """Failed checks by id."""
    source = people(checks)
    judged = cleaning.judged(cleaning.typed(bronze(session, list(lines)), source), source, {"people": frame(silver), "cities": frame(SILVER)})
    return {str(row["ID"]): row["FAILED_CHECKS"] for row in judged.select("id", "failed_checks").collect()}


def test_tests_of_a_row(session, frame):
    checks = """
given: {required: [email, city]}
mail: {email: email}
known: {one_of: {city: [Oslo, Paris]}}
aged: {between: {age: [18, 65]}}
grown: {between: {age: [18, null]}}
shaped: {matches: {email: '[a-z]+@[a-z.]+'}}
short: {length: {city: [2, 5]}}
past: {not_in_future: at}
""".strip()
    found = failed(
        session, frame, checks,
        "1 | ann@x.org | 30 | Oslo   | I | 2024-01-01",
        "2 | ann       | 30 | Oslo   | I | 2024-01-01",
        "3 | ann@x.org | 70 | Oslo   | I | 2024-01-01",
        "4 | ann@x.org | 10 | Oslo   | I | 2024-01-01",
        "5 | ann@x.org | 30 | Berlin | I | 2024-01-01",
        "6 | ann@x.org | 30 | Oslo   | I | 2024-03-01",
        "7 |           | 30 | Oslo   | I | 2024-01-01",
        "8 |           |    |        | D | 2024-01-01",
    )  # fmt: skip

    assert found == {
        "1": "",
        "2": "mail,shaped",
        "3": "aged",
        "4": "aged,grown",
        "5": "known,short",
        "6": "past",
        "7": "given,mail,shaped",
        "8": "",
    }, "a deletion needs its key and its time"


def test_a_reference_is_known_while_the_other_source_has_it_and_null_is_not(session, frame):
    found = failed(
        session, frame, "is_a_city: {references: {city: cities.city}}",
        "1 | | | Oslo     | I | 2024-01-01",
        "2 | | | Nowhere  | I | 2024-01-01",
        "3 | | | Atlantis | I | 2024-01-01",
        "4 | | |          | I | 2024-01-01",
    )  # fmt: skip

    assert found == {"1": "", "2": "is_a_city", "3": "is_a_city", "4": "is_a_city"}


@pytest.mark.parametrize(("check", "fails"), [
    pytest.param("{row_count: [2, 3]}", False, id="as many as there should be"),
    pytest.param("{row_count: [3, null]}", True, id="too few"),
    pytest.param("{row_count: [null, 1]}", True, id="too many"),
    pytest.param("{freshness: 30 days}", True, id="too old"),
    pytest.param("{freshness: 40 days}", False, id="new enough"),
])  # fmt: skip
def test_a_file_is_judged_whole(session, frame, check, fails):
    found = failed(session, frame, f"whole: {check}", "1 | | | | I | 2023-01-01", "2 | | | | I | 2024-01-01 00:00:00")

    assert set(found.values()) == ({"whole"} if fails else {""})


PEOPLE = [  # in the order of arrival; `!`: held back
    "1 | a@x.org | 1 | Oslo | I | 2024-01-05",
    "2 | a@x.org | 1 | Oslo | I | 2024-01-01",  # ! the value is of 1, which came first, although 2 is older
    "1 | b@x.org | 1 | Oslo | I | 2024-01-06",
    "3 | a@x.org | 1 | Oslo | I | 2024-01-07",  # ! still of 1
    "4 | c@x.org | 0 | Oslo | I | 2024-01-07",  # ! by the other check, so it holds nothing
    "5 | c@x.org | 1 | Oslo | I | 2024-01-07",
    "6 |         | 1 | Oslo | I | 2024-01-07",
    "7 |         | 1 | Oslo | I | 2024-01-07",
    "5 | c@x.org | 1 | Rome | I | 2024-01-08",
]


@pytest.mark.parametrize("cuts", [
    pytest.param([], id="one batch"),
    pytest.param([1, 4, 5], id="four"),
])  # fmt: skip
def test_unique_is_the_same_however_rows_fall_into_batches(session, frame, cuts):
    source = people("mail_is_ones_own: {unique: email}\ngrown: age > 0")
    silver = frame(NOBODY)
    outcome: dict[str, list[str]] = {}
    for start, end in zip([0, *cuts], [*cuts, len(PEOPLE)], strict=True):
        batch = bronze(session, PEOPLE[start:end], file=f"{chr(97 + start)}.csv")
        judged = cleaning.judged(cleaning.typed(batch, source), source, {"people": silver})
        for row in judged.select("id", "failed_checks", "row_number").sort("row_number").collect():
            outcome.setdefault(str(row["ID"]), []).append(row["FAILED_CHECKS"])
        passing = judged.filter(F.col("failed_checks") == F.lit(""))
        kept = passing.select(F.col("id").cast(T.LongType()).alias("id"), "email", "city", "is_deleted").collect()
        known = silver.collect()
        silver = session.create_dataframe([tuple(row) for row in [*known, *kept]], schema=silver.schema)

    assert outcome == {
        "1": ["", ""],
        "2": ["mail_is_ones_own"],
        "3": ["mail_is_ones_own"],
        "4": ["grown"],
        "5": ["", ""],
        "6": [""],
        "7": [""],
    }


def test_a_second_unique_may_warn(session, frame):
    source = people("a: {unique: email}\nb: {unique: [city, age], otherwise: warn}")
    batch = bronze(session, ["1 | a@x.org | 1 | Oslo | I | 2024-01-01", "2 | b@x.org | 1 | Oslo | I | 2024-01-01"])
    judged = cleaning.judged(cleaning.typed(batch, source), source, {"people": frame("id:integer | email:text | city:text | age:integer | is_deleted:boolean\n")})

    found = judged.select("id", "failed_checks", "warned_checks").sort("id").collect()
    assert [(int(row[0]), row[1], row[2]) for row in found] == [(1, "", ""), (2, "", "b")]
