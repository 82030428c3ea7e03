"""A file is read as Snowflake's COPY reads it; docs.snowflake.com/en/sql-reference/sql/create-file-format."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snowflake.connector.errors import ProgrammingError

from local import files, files_csv, files_json

LANDING = {
    "TYPE": "CSV",
    "PARSE_HEADER": True,
    "FIELD_OPTIONALLY_ENCLOSED_BY": '"',
    "ESCAPE_UNENCLOSED_FIELD": "NONE",
    "EMPTY_FIELD_AS_NULL": True,
    "ERROR_ON_COLUMN_COUNT_MISMATCH": False,
}


def read(text: str | bytes, **options):
    content = text.encode() if isinstance(text, str) else text
    return files.read("a.csv", content, {**LANDING, **options})


def lines(contents: files.Contents) -> list[list]:
    return [list(row.values()) for row in contents.rows.to_pylist()]


@pytest.mark.parametrize(("text", "rows"), [
    pytest.param("id,city\n1,Paris\n", [["1", "Paris"]], id="plain"),
    pytest.param("id,city\r\n1,Paris\r\n2,Oslo\r\n", [["1", "Paris"], ["2", "Oslo"]], id="CRLF"),
    pytest.param("id,city\n1,Paris\n2,Oslo", [["1", "Paris"], ["2", "Oslo"]], id="last newline missing"),
    pytest.param("\ufeffid,city\n1,Paris\n", [["1", "Paris"]], id="byte order mark"),
    pytest.param("id,city\n1,\n2,\"\"\n", [["1", None], ["2", ""]], id="an empty field is NULL, an empty quoted one is not"),
    pytest.param('id,city\n1,"a\nb, ""c"""\n2,x\n', [["1", 'a\nb, "c"'], ["2", "x"]], id="newline, delimiter and quote inside quotes"),
    pytest.param("id,city\n1\n2,Oslo,Norway\n", [["1", None], ["2", "Oslo"]], id="short and long lines"),
    pytest.param("id,city\n1,Pa\"ris\"\n", [["1", 'Pa"ris"']], id="a quote inside an unquoted field is a character"),
    pytest.param("id,city\n1,C:\\temp\\\n", [["1", "C:\\temp\\"]], id="a backslash is a character"),
    pytest.param("id,city\n1,\\N\n", [["1", None]], id="NULL_IF by default"),
    pytest.param("id,city\n\n1,Paris\n", [[None, None], ["1", "Paris"]], id="a blank line is a record of NULLs"),
    pytest.param("id,city\n", [], id="header only"),
    pytest.param("id,city", [], id="header only, no newline"),
    pytest.param("", [], id="nothing at all"),
    pytest.param("id,city\n1,Zürich 東京\n", [["1", "Zürich 東京"]], id="beyond ASCII"),
    pytest.param("id,city\n1,a\rb\n", [["1", "a\rb"]], id="a carriage return alone ends no line"),
])  # fmt: skip
def test_csv_is_read_as_text(text, rows):
    assert lines(read(text)) == rows
    assert read(text).rejected == []


@pytest.mark.parametrize(("text", "rows", "numbers", "reasons"), [
    pytest.param('id,city\n1,"Paris"x\n2,Oslo\n', [["2", "Oslo"]], [2],
                 [(1, 2, 10, "Found character 'x' instead of field delimiter ','")], id="text after a closing quote"),
    pytest.param('id,city\n1,Rome\n2,"Oslo\n3,Kyiv\n', [["1", "Rome"]], [1],
                 [(2, 3, 3, "Unexpected end of file: the field that begins here has no closing \"")], id="a quote that is never closed"),
    pytest.param(b"id,city\n1,Par\xffis\n2,Oslo\n", [["2", "Oslo"]], [2],
                 [(1, 2, 6, "Invalid UTF8 detected in string")], id="bytes that are not UTF-8"),
])  # fmt: skip
def test_broken_records_are_given_back_with_their_place_and_the_others_are_read(text, rows, numbers, reasons):
    contents = read(text)

    assert (lines(contents), contents.row_numbers.to_pylist()) == (rows, numbers)
    assert [(r.row_number, r.line, r.character, r.reason) for r in contents.rejected] == reasons
    assert contents.parsed == len(rows) + len(reasons)


@pytest.mark.parametrize(("options", "text", "rows"), [
    pytest.param({"TRIM_SPACE": True}, 'id,city\n 1 , " Paris " \n2,  \n', [["1", " Paris "], ["2", None]], id="TRIM_SPACE keeps what is quoted"),
    pytest.param({"NULL_IF": ["NULL", "n/a", ""]}, 'id,city\nNULL,"n/a"\n2,""\n', [[None, None], ["2", None]], id="NULL_IF, quoted too"),
    pytest.param({"EMPTY_FIELD_AS_NULL": False}, "id,city\n1,\n", [["1", ""]], id="EMPTY_FIELD_AS_NULL = FALSE"),
    pytest.param({"FIELD_DELIMITER": "|"}, "id|city\n1|a,b\n", [["1", "a,b"]], id="another delimiter"),
    pytest.param({"FIELD_DELIMITER": "\\t"}, "id\tcity\n1\ta\n", [["1", "a"]], id="tab, as SQL writes it"),
    pytest.param({"FIELD_DELIMITER": "||"}, "id||city\n1||a|b\n", [["1", "a|b"]], id="two characters"),
    pytest.param({"RECORD_DELIMITER": ";"}, "id,city;1,a;2,b", [["1", "a"], ["2", "b"]], id="another record delimiter"),
    pytest.param({"ESCAPE_UNENCLOSED_FIELD": "\\"}, "id,city\n1,a\\,b\n2,\\N\n", [["1", "a,b"], ["2", None]], id="escaped delimiter"),
    pytest.param({"ESCAPE": "\\"}, 'id,city\n1,"a \\"b\\""\n', [["1", 'a "b"']], id="escaped quote"),
    pytest.param({"FIELD_OPTIONALLY_ENCLOSED_BY": "NONE"}, 'id,city\n1,"a"\n', [["1", '"a"']], id="no quotes"),
    pytest.param({"FIELD_OPTIONALLY_ENCLOSED_BY": "'"}, "id,city\n1,'a,b'\n", [["1", "a,b"]], id="single quotes"),
    pytest.param({"SKIP_BLANK_LINES": True}, "id,city\n\n1,a\n\n", [["1", "a"]], id="SKIP_BLANK_LINES"),
    pytest.param({"PARSE_HEADER": False, "SKIP_HEADER": 2}, "x\nid,city\n1,a\n", [["1", "a"]], id="SKIP_HEADER"),
    pytest.param({"PARSE_HEADER": False}, "1,a\n2\n3,c,d\n", [["1", "a", None], ["2", None, None], ["3", "c", "d"]], id="no header, ragged"),
    pytest.param({"ENCODING": "ISO88591"}, "id,city\n1,Zürich\n".encode("latin-1"), [["1", "Zürich"]], id="Latin 1"),
    pytest.param({"ENCODING": "UTF16"}, "id,city\n1,Zürich\n".encode("utf-16"), [["1", "Zürich"]], id="UTF-16"),
    pytest.param({"REPLACE_INVALID_CHARACTERS": True}, b"id,city\n1,a\xff\n", [["1", "a\ufffd"]], id="REPLACE_INVALID_CHARACTERS"),
    pytest.param({}, gzip.compress(b"id,city\n1,a\n"), [["1", "a"]], id="gzip is noticed"),
    pytest.param({"COMPRESSION": "BZ2"}, bz2.compress(b"id,city\n1,a\n"), [["1", "a"]], id="bz2"),
])  # fmt: skip
def test_file_format_options(options, text, rows):
    assert lines(read(text, **options)) == rows


def test_a_header_name_that_comes_twice_counts_once_and_names_without_text_are_left_out():
    assert read("id,city,id,\n1,Oslo,2,3\n").rows.to_pylist() == [{"id": "1", "city": "Oslo"}]


def test_lines_of_another_length_are_errors_where_the_format_says_so():
    contents = read("id,city\n1,a\n2\n3,c,d\n", ERROR_ON_COLUMN_COUNT_MISMATCH=True)

    assert lines(contents) == [["1", "a"]]
    assert [(r.line, r.reason[:34]) for r in contents.rejected] == [(3, "Number of columns in file (1) does"), (4, "Number of columns in file (3) does")]


def test_row_numbers_count_records_not_lines():
    assert read('id,city\n1,"a\nb"\n2,c\n3\n').row_numbers.to_pylist() == [1, 2, 3]


SAMPLES = [
    'id,city\n1,"a, b"\n2\n\n3,"c ""d"""\n4,e,f\n',
    "id,city\r\n1,a\r\n2,\r\n\"3\",\"\"\r\n",
    "id,city\n" + "1,a\n2\n3,c,d\n" * 50,
]


@pytest.mark.parametrize("text", SAMPLES)
def test_the_fast_and_the_exact_reader_agree(text, monkeypatch):
    monkeypatch.setattr(files_csv, "SMALL", 0)
    fast = read(text)
    monkeypatch.setattr(files_csv, "is_plain", lambda *_: False)
    exact = read(text)

    assert fast.rows.to_pylist() == exact.rows.to_pylist()
    assert fast.row_numbers.to_pylist() == exact.row_numbers.to_pylist()


def test_a_hundred_thousand_rows_take_less_than_a_second():
    text = "id,city,note\n" + "".join(f'{i},Paris,"said ""{i}"", twice"\n' for i in range(100_000))
    began = time.perf_counter()
    assert read(text).rows.num_rows == 100_000
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(("name", "content", "kind", "reason"), [
    pytest.param("a.csv.gz", b"id\n1\n", "CSV", "a.csv.gz: the file is not a valid gzip file", id="not gzip"),
    pytest.param("a.csv.gz", gzip.compress(b"id\n1\n" * 99)[:-20], "CSV", "a.csv.gz: the file is not a valid gzip file", id="cut off"),
    pytest.param("a.parquet", b"PAR1 is what it says", "PARQUET", "a.parquet: the file is not a valid Parquet file", id="not Parquet"),
    pytest.param("a.parquet", b"", "PARQUET", "a.parquet: the file is not a valid Parquet file", id="empty Parquet"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_says_its_name_and_why(name, content, kind, reason):
    with pytest.raises(files.Unreadable) as raised:
        files.read(name, content, {"TYPE": kind})
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize(("options", "text", "records"), [
    pytest.param({}, '{"a": 1}\n{"a": 2}\n', ['{"a": 1}', '{"a": 2}'], id="one per line"),
    pytest.param({}, '{"a": 1}\n{"a": 2}', ['{"a": 1}', '{"a": 2}'], id="last newline missing"),
    pytest.param({}, '{"a":\n 1}\r\n\r\n{"a": 2},\n{"a": 3}', ['{"a":\n 1}', '{"a": 2}', '{"a": 3}'], id="over lines, blank lines, commas"),
    pytest.param({}, '[{"a": 1}, {"a": 2}]', ['[{"a": 1}, {"a": 2}]'], id="an array is one record"),
    pytest.param({"STRIP_OUTER_ARRAY": True}, '[{"a": 1}, {"a": 2}]\n', ['{"a": 1}', '{"a": 2}'], id="STRIP_OUTER_ARRAY"),
    pytest.param({"STRIP_OUTER_ARRAY": True}, "[]", [], id="an empty array"),
    pytest.param({"STRIP_NULL_VALUES": True}, '{"a": null, "b": {"c": null, "d": 1}}', ['{"b": {"d": 1}}'], id="STRIP_NULL_VALUES"),
    pytest.param({}, "", [], id="nothing"),
    pytest.param({}, '\ufeff{"a": 12345678901234567890.10}', ['{"a": 12345678901234567890.10}'], id="numbers keep their digits"),
])  # fmt: skip
def test_json_gives_one_variant_per_record(options, text, records):
    contents = files.read("a.json", text.encode(), {"TYPE": "JSON", **options}, as_variant=True)
    assert contents.rows.column("$1").to_pylist() == records


JSON_SAMPLES = [
    '{"a": 1, "b": "x"}\n\n  {"b": null, "c": [1, {"d": 1.50}]}\r\n7\n"text"\nnull',
    '{"a": 1}, {"a": 2}\n{"a": 3}',
    '{"a":\n 1}\n{"a": true}\n',
    '{"a": 1}\n{"a": oops}\n{"a": "é"}\n',
    '{"a": "x\ny"}\n{"a": 1e400, "b": -0.0, "a": 12345678901234567890123}\n',
    '1\n2 3\n-\n4',
    "",
]


@pytest.mark.parametrize("as_variant", [True, False])
@pytest.mark.parametrize("text", JSON_SAMPLES)
def test_json_line_by_line_and_the_exact_reader_agree(text, as_variant, monkeypatch):
    quick = files.read("a.json", text.encode(), {"TYPE": "JSON"}, as_variant=as_variant)
    monkeypatch.setattr(files_json, "one_a_line", lambda *_, **__: None)
    exact = files.read("a.json", text.encode(), {"TYPE": "JSON"}, as_variant=as_variant)

    assert (quick.rows, quick.row_numbers, quick.rejected) == (exact.rows, exact.row_numbers, exact.rejected)


def test_json_columns_hold_texts_as_they_are_and_the_rest_as_json():
    text = '{"a": "x", "b": 1.50, "c": {"d": [1, null]}}\n{"a": 7, "b": true}\n[1]\n'
    contents = files.read("a.json", text.encode(), {"TYPE": "JSON"})

    assert contents.rows.to_pylist() == [
        {"a": "x", "b": "1.5", "c": '{"d": [1, null]}'}, {"a": "7", "b": "true", "c": None}, {"a": None, "b": None, "c": None},
    ]  # fmt: skip


def test_a_broken_json_line_is_rejected_and_reading_goes_on_behind_it():
    contents = files.read("a.json", b'{"a": 1}\n{"a": oops}\n{"a": NaN}\n{"a": 4}\n', {"TYPE": "JSON"}, as_variant=True)

    assert contents.rows.column("$1").to_pylist() == ['{"a": 1}', '{"a": 4}']
    assert contents.row_numbers.to_pylist() == [1, 4]
    assert [(r.line, r.record) for r in contents.rejected] == [(2, '{"a": oops}'), (3, '{"a": NaN}')]
    assert all(r.reason.startswith("Error parsing JSON: ") for r in contents.rejected)


def parquet(**columns) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


AT = dt.datetime(2024, 1, 31, 10, 15, 0, 250_000)


@pytest.mark.parametrize(("values", "text"), [
    pytest.param(pa.array([1, None]), ["1", None], id="integers"),
    pytest.param(pa.array([1.5, 10.0]), ["1.5", "10"], id="a float without fraction has no point"),
    pytest.param(pa.array([True, False]), ["true", "false"], id="booleans"),
    pytest.param(pa.array([Decimal("12.30")]), ["12.30"], id="decimals keep their scale"),
    pytest.param(pa.array(["a", ""]), ["a", ""], id="text"),
    pytest.param(pa.array([AT], pa.timestamp("us")), ["2024-01-31 10:15:00.250"], id="time without a zone"),
    pytest.param(pa.array([AT], pa.timestamp("us", "UTC")), ["2024-01-31 10:15:00.250 +0000"], id="an instant"),
    pytest.param(pa.array([AT.date()]), ["2024-01-31"], id="dates"),
    pytest.param(pa.array([[1, 2]]), ["[1, 2]"], id="lists are JSON"),
    pytest.param(pa.array(["x", "x"]).dictionary_encode(), ["x", "x"], id="dictionaries are what they stand for"),
])  # fmt: skip
def test_parquet_columns_become_text(values, text):
    contents = files.read("a.parquet", parquet(v=values), {"TYPE": "PARQUET", "USE_LOGICAL_TYPE": True})
    assert contents.rows.column("v").to_pylist() == text


def test_without_use_logical_type_a_time_without_a_zone_is_a_number_as_on_snowflake():
    contents = files.read("a.parquet", parquet(v=pa.array([AT], pa.timestamp("us"))), {"TYPE": "PARQUET"})
    assert contents.rows.column("v").to_pylist() == ["1706696100250000"]


def test_parquet_as_one_variant_leaves_nulls_out():
    contents = files.read("a.parquet", parquet(a=[1, None], b=["x", "y"]), {"TYPE": "PARQUET"}, as_variant=True)
    assert contents.rows.column("$1").to_pylist() == ['{"a": 1, "b": "x"}', '{"b": "y"}']


@pytest.mark.parametrize(("options", "message"), [
    pytest.param({"TYPE": "CSV", "STRIP_OUTER_ARRAY": True}, "invalid parameter 'STRIP_OUTER_ARRAY'", id="an option of another type"),
    pytest.param({"TYPE": "CSV", "PARSE_HEADER": "yes"}, "expected TRUE or FALSE", id="not a Boolean"),
    pytest.param({"TYPE": "CSV", "PARSE_HEADER": True, "SKIP_HEADER": 1}, "SKIP_HEADER", id="both headers"),
    pytest.param({"TYPE": "AVRO"}, "not AVRO", id="a type the account does not read"),
    pytest.param({"TYPE": "EXCEL"}, "invalid value 'EXCEL'", id="no type"),
    pytest.param({"COMPRESSION": "RAR"}, "invalid value 'RAR'", id="no compression"),
])  # fmt: skip
def test_options_that_snowflake_refuses_are_refused(options, message):
    with pytest.raises(ProgrammingError, match=message):
        files.check_options(options)
