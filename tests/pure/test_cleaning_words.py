"""The cleaning vocabulary, on faults seen in real files: what stands in the file, and what silver holds."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import cleaning
import pytest
import snowflake.snowpark.types as T
import spec_file

# Column of a pipeline file -> pairs of text and value; `!` before a value: it also fails the column's own check.
CASES: dict[str, list[tuple[str | None, Any]]] = {
    "{clean: [trim]}": [("  Ann \t\r", "Ann"), (None, None)],
    "{clean: [trim, upper], map: {M: male, F: female, '': null}, otherwise: unknown}": [(" m ", "male"), ("Female", "unknown"), (" ", None), (None, "unknown")],
    "{clean: [empty_to_null], default: none}": [("", "none"), (" x", " x"), (None, "none")],
    "{clean: [trim, upper], map: {USA: US, UNITED STATES: US, GERMANY: DE}}": [("usa", "US"), ("Germany ", "DE"), ("FR", "FR")],
    "{clean: [{strip_prefix: [NAS, AW-]}]}": [("NASAW00011000", "AW00011000"), ("AW-00011000", "00011000"), ("11000", "11000"), ("NASNASX", "NASX")],
    "{clean: [{strip_suffix: ' kg'}], type: number}": [("12 kg", Decimal(12)), ("12", Decimal(12))],
    "{clean: [{strip_characters: '-_ '}]}": [("AW-0001_1 000", "AW00011000")],
    "{clean: [{split: {by: '-', part: 1}}]}": [("CO-RF-FR-R92B-58", "CO"), ("plain", "plain")],
    "{clean: [{split: {by: '-', part: -1}}]}": [("CO-RF-58", "58")],
    "{clean: [{split: {by: '-', part: 3}}]}": [("CO-RF", None)],
    "{clean: [{replace: {pattern: '[0-9]+$', with: '#'}}]}": [("ab12", "ab#"), ("12ab", "12ab")],
    "{clean: [{replace: {pattern: ' +\\.'}}]}": [("a  .b", "ab")],
    "{clean: [lower, title, collapse_spaces]}": [("ANN   O", "Ann O")],
    "{clean: [digits_only], type: integer}": [("about 12 pieces", 12)],
    "{clean: [{null_if: [n/a, '-', '0']}], type: integer}": [("n/a", None), ("0", None), ("7", 7)],
    "{type: date, formats: [YYYYMMDD], clean: [{null_if: '0'}]}": [("20101229", dt.date(2010, 12, 29)), ("0", None), ("32154", "!")],
    "{type: date, formats: [YYYY-MM-DD, DD.MM.YYYY, DD/MON/YYYY]}": [
        ("2010-12-29", dt.date(2010, 12, 29)), ("29.12.2010", dt.date(2010, 12, 29)), ("1.2.2010", dt.date(2010, 2, 1)), ("29/Dec/2010", dt.date(2010, 12, 29)), ("30.2.2010", "!"),
    ],
    "{type: date, formats: [excel_days]}": [("40541", dt.date(2010, 12, 29)), ("x", "!"), ("99999999", "!")],
    "{type: timestamp, formats: [unix_seconds]}": [("1291191960", dt.datetime(2010, 12, 1, 8, 26))],
    "{type: timestamp, formats: [unix_milliseconds]}": [("1291191960000", dt.datetime(2010, 12, 1, 8, 26))],
    "{type: timestamp, formats: [MM/DD/YYYY HH24:MI]}": [("12/1/2010 8:26", dt.datetime(2010, 12, 1, 8, 26)), ("12/01/2010 08:26", dt.datetime(2010, 12, 1, 8, 26)), ("12/01/10 08:26", "!")],
    "{type: timestamp, formats: ['YYYY-MM-DD HH24:MI'], zone: Europe/Berlin}": [("2024-07-01 12:00", dt.datetime(2024, 7, 1, 10)), ("2024-01-01 12:00", dt.datetime(2024, 1, 1, 11))],
    "{type: timestamp, zone: America/New_York}": [("2024-07-01 12:00:00", dt.datetime(2024, 7, 1, 16)), ("2024-07-01T12:00:00Z", dt.datetime(2024, 7, 1, 12))],
    "{type: timestamp, formats: ['YYYY-MM-DDTHH24:MI:SSTZH:TZM']}": [
        ("2024-07-01T12:00:00+02:00", dt.datetime(2024, 7, 1, 10)), ("2024-07-01T12:00:00-05:30", dt.datetime(2024, 7, 1, 17, 30)), ("2024-07-01T12:00:00Z", dt.datetime(2024, 7, 1, 12)), ("2024-07-01 12:00", "!"),
    ],
    "{type: 'number(12,2)', formats: ['1.234,56', '1234.56']}": [("1.234,56", Decimal("1234.56")), ("-2,5", Decimal("-2.50")), ("12.5", Decimal("12.50")), ("1.2.3", "!")],
    "{type: 'number(12,2)', formats: ['(1,234.56)']}": [("(1,234.56)", Decimal("-1234.56")), ("1,234.56", Decimal("1234.56"))],
    "{type: 'number(12,2)', formats: ['1,234.56-']}": [("1,234.56-", Decimal("-1234.56")), ("7", Decimal(7))],
    "{type: integer, formats: ['1,234.56']}": [("1,234", 1234), ("1,234.00", 1234), ("1,234.5", "!")],
    "{type: integer, bounds: [0, 120]}": [("130", None), ("-1", None), ("120", 120), ("abc", "!")],
    "{type: date, bounds: [1900-01-01, 2030-01-01]}": [("9999-01-01", None), ("1980-05-05", dt.date(1980, 5, 5))],
    "{type: 'number(10,2)', bounds: [0, null]}": [("-2.50", None), ("2.50", Decimal("2.50"))],
    "{type: integer, unreadable: 'null'}": [("twelve", None), ("12", 12)],
    "{type: boolean}": [("yes", True), ("0", False), ("maybe", "!")],
}  # fmt: skip
NAMES = {f"c{number}": column for number, column in enumerate(CASES)}


def source():
    columns = "\n".join(f"      {name}: {column}" for name, column in NAMES.items())
    return spec_file.parse(f"""
pipeline: faults
sources:
  things:
    files: {{prefix: things/, format: csv}}
    key: [id]
    effective_at: at
    columns:
      id: {{type: integer}}
      at: {{type: timestamp}}
{columns}
""").source("things")


@pytest.fixture
def bronze(session):
    """One row per pair, the first pairs of all columns in the first row."""
    longest = max(map(len, CASES.values()))
    texts = [[pairs[n][0] if n < len(pairs) else None for pairs in CASES.values()] for n in range(longest)]
    rows = [
        (str(n), "2024-01-01", *line, "a.csv", n, "a", dt.datetime(2024, 2, 1), False) for n, line in enumerate(texts, 1)
    ]
    names = ["id", "at", *NAMES, "_file_name", "_row_number", "_content_key", "_loaded_at", "is_repeat"]
    kinds = [*[T.StringType()] * (len(NAMES) + 3), T.LongType(), T.StringType(), T.TimestampType(T.TimestampTimeZone.NTZ), T.BooleanType()]
    fields = [T.StructField(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return session.create_dataframe(rows, schema=T.StructType(fields))


def test_faults_of_real_files_become_values(bronze):
    things = source()
    found = cleaning.checked(cleaning.typed(bronze, things), things).sort("id").collect()

    wrong = []
    for number, row in enumerate(found):
        for name, column in NAMES.items():
            if number >= len(CASES[column]):
                continue
            text, wanted = CASES[column][number]
            failed = any(check.startswith(f"{name}_is_") for check in row["FAILED_CHECKS"].split(","))
            value, expected = row[name.upper()], None if wanted == "!" else wanted
            if value != value:
                value = None  # local testing's NULL of a date
            if value != expected or failed != (wanted == "!"):
                wrong.append(f"{column}: {text!r} gave {value!r}{', and failed its check' if failed else ''}; wanted {wanted!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", ["address.city", "lines[0].sku", "tags[1]"])
def test_paths_lead_into_json(session, path):
    import snowflake.snowpark.functions as F

    text = '{"address": {"city": "Oslo"}, "lines": [{"sku": "A"}], "tags": ["x", "y"]}'
    column = spec_file.parse(f"""
pipeline: p
sources:
  s: {{files: {{prefix: s/, format: json}}, key: [a], effective_at: t, columns: {{a: {{path: "{path}"}}, t: {{type: timestamp}}}}}}
""").source("s").columns[0]
    frame = session.create_dataframe([[text]], schema=["text"]).select(F.parse_json("text").alias("record"))

    found = frame.select(cleaning.received(column, "json").alias("value")).collect()[0]["VALUE"]

    assert found == {"address.city": "Oslo", "lines[0].sku": "A", "tags[1]": "y"}[path]
