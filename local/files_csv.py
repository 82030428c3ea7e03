"""CSV as COPY reads it. Two ways, one result: pyarrow for files that follow the rules, an exact reader for the rest.

pyarrow reads about a million short rows a second, but it accepts what Snowflake rejects (`"a"b`), and it knows no escape
characters, no TRIM_SPACE and no line numbers of errors. So a file is looked over first (`is_plain`, vectorised); only one that has nothing
special in it goes to pyarrow. The exact reader does about 100,000 rows a second, and has read a small file before pyarrow has begun.

Assumed, as Snowflake's pages do not say: a quote that is never closed takes the rest of the file as one broken record; after text behind a closing
quote reading goes on at the next line; of two header names that are equal the first counts; a blank line is a record of NULLs
where ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE, else an error.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from local.errors import syntax
from local.files import Contents, Rejected, nullified, text_of

NEWLINE = "\n"
SMALL = 8 << 10  # bytes
UNESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


class Irregular(Exception):
    """pyarrow met a line that only the exact reader can judge."""


def read_csv(name: str, content: bytes, given: dict[str, Any], expected: int | None) -> Contents:
    text = text_of(name, content, given)
    is_valid = text.isascii() or not re.search("[\udc80-\udcff]", text)
    reader = Exact(given, is_valid)
    names, start = header(reader, text, given)
    if given["PARSE_HEADER"] and expected is None:
        expected = len(names)
    if not given["ERROR_ON_COLUMN_COUNT_MISMATCH"]:
        expected = None
    body = text[start:].encode("utf8", "surrogateescape")
    if is_valid and len(body) > SMALL and is_plain(body, given, expected):
        try:
            rows = fast(body, given, names or None, reader, expected)
            return named(rows, names, pa.array(range(1, rows.num_rows + 1), pa.int64()), [])
        except Irregular:
            pass
    return exact(reader, text, start, names, given, expected)


def header(reader: Exact, text: str, given: dict[str, Any]) -> tuple[list[str], int]:
    """The column names of the first record (none without PARSE_HEADER), and where the data begins."""
    if given["PARSE_HEADER"]:
        for fields, end, error in reader.records(text, 0):
            return ([] if error else [str(f or "").strip("\ufeff") for f in fields]), end
        return [], 0
    start = 0
    for _ in range(int(given["SKIP_HEADER"] or 0)):
        start = text.find("\n", start) + 1
        if start == 0:
            return [], len(text)
    return [], start


def named(rows: pa.Table, names: list[str], numbers: pa.Array, rejected: list[Rejected]) -> Contents:
    """Give the columns the header's names; c1, c2, … without a header. Names that are empty or occurred before are left out."""
    if not names:
        return Contents(rows.rename_columns([f"c{i + 1}" for i in range(rows.num_columns)]), numbers, rejected)
    kept = [i for i, name in enumerate(names) if name and name not in names[:i]]
    return Contents(rows.select(kept).rename_columns([names[i] for i in kept]), numbers, rejected)


# --- the fast way


def one_byte(text: str | None) -> bool:
    return text is None or (len(text) == 1 and text.isascii())


def is_plain(body: bytes, given: dict[str, Any], expected: int | None) -> bool:
    """Whether pyarrow would read exactly what Snowflake reads, apart from lines with too few or too many fields."""
    delimiter, quote = given["FIELD_DELIMITER"], given["FIELD_OPTIONALLY_ENCLOSED_BY"]
    simple = (
        delimiter is not None
        and one_byte(delimiter)
        and one_byte(quote)
        and given["RECORD_DELIMITER"] in ("\n", "\r\n", "\\n", "\\r\\n")
        and not given["TRIM_SPACE"]
        and given["MULTI_LINE"]
        and bool(body)
        and len(body) < 1 << 30
    )
    if not simple or body.count(b"\r") != body.count(b"\r\n"):
        return False
    for escape in (given["ESCAPE_UNENCLOSED_FIELD"], given["ESCAPE"]):
        if escape is not None and escape.encode() in body:
            return False
    has_blank_lines = body.startswith((b"\n", b"\r\n")) or b"\n\n" in body or b"\n\r\n" in body
    if has_blank_lines and expected is not None:
        return False
    return quote is None or quote.encode() not in body or quotes_are_paired(body, ord(delimiter), ord(quote))


def quotes_are_paired(body: bytes, delimiter: int, quote: int) -> bool:
    """Every quote opens a field, closes it, or is doubled inside one.

    >>> [quotes_are_paired(line, ord(","), ord('"')) for line in (b'1,"a,b"', b'1,"a ""b"', b'1,a"b"', b'1,"a"b', b'1,"a')]
    [True, True, False, False, False]
    """
    characters = np.frombuffer(body, np.uint8)
    places = np.flatnonzero(characters == quote)
    if len(places) % 2:
        return False
    opening, closing = places[0::2], places[1::2]
    before = np.where(opening == 0, ord("\n"), characters[opening - 1])
    doubled = np.zeros(len(opening), bool)
    doubled[1:] = opening[1:] == closing[:-1] + 1
    after = np.where(closing + 1 >= len(characters), ord("\n"), characters[np.minimum(closing + 1, len(characters) - 1)])
    followed = np.zeros(len(closing), bool)
    followed[:-1] = doubled[1:]
    opens = doubled | np.isin(before, [delimiter, ord("\n")])
    closes = followed | np.isin(after, [delimiter, ord("\n"), ord("\r")])
    return bool(opens.all() and closes.all())


def fast(body: bytes, given: dict[str, Any], names: list[str] | None, reader: Exact, expected: int | None) -> pa.Table:
    """pyarrow's table; lines with too few or too many fields are read on their own and put back into their places."""
    is_quoted = given["FIELD_OPTIONALLY_ENCLOSED_BY"] is not None
    width = len(names) if names else field_count(reader, body)
    patches: dict[int, list[str | None]] = {}

    def mend(row: Any) -> str:
        if expected is not None or (names is None and row.actual_columns > width):
            return "error"
        fields, _, _ = next(reader.records(row.text, 0))
        patches[row.number - 1] = (fields + [None] * width)[:width]
        return "skip"

    labels = [str(i) for i in range(width)]
    if expected is not None and expected != width:
        raise Irregular
    try:
        rows = pa.csv.read_csv(
            io.BytesIO(body),
            read_options=pa.csv.ReadOptions(use_threads=False, column_names=labels, block_size=len(body) + 1),
            parse_options=pa.csv.ParseOptions(
                delimiter=given["FIELD_DELIMITER"],
                quote_char=given["FIELD_OPTIONALLY_ENCLOSED_BY"] if is_quoted else False,
                double_quote=is_quoted,
                newlines_in_values=is_quoted,
                ignore_empty_lines=bool(given["SKIP_BLANK_LINES"]),
                invalid_row_handler=mend,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(labels, pa.string()),
                null_values=[""] if given["EMPTY_FIELD_AS_NULL"] else [],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        raise Irregular from None
    rows = pa.Table.from_arrays([nullified(c, given["NULL_IF"]) for c in rows.columns], names=labels)
    return put_back(rows, patches) if patches else rows


def field_count(reader: Exact, body: bytes) -> int:
    end = 1 << 16
    while True:  # the first record, without decoding the rest of the file
        piece = body[:end].decode("utf8", "ignore")
        fields, at, error = next(reader.records(piece, 0))
        if (at < len(piece) and not error) or end >= len(body):
            return max(len(fields), 1)
        end *= 16


def put_back(rows: pa.Table, patches: dict[int, list[str | None]]) -> pa.Table:
    total = rows.num_rows + len(patches)
    mended = pa.table({name: pa.array([p[i] for p in patches.values()], pa.string()) for i, name in enumerate(rows.column_names)})
    places = np.arange(total)
    is_patch = np.zeros(total, bool)
    is_patch[list(patches)] = True
    order = np.concatenate([places[~is_patch], np.fromiter(patches, np.int64)])
    return pa.concat_tables([rows, mended]).take(pa.array(np.argsort(order, kind="stable")))


# --- the exact way


class Exact:
    """Reads records one by one by the file format's rules."""

    def __init__(self, given: dict[str, Any], is_valid: bool = True) -> None:
        self.trims, self.is_valid = given["TRIM_SPACE"], is_valid
        self.empty = None if given["EMPTY_FIELD_AS_NULL"] else ""
        null_if = given["NULL_IF"]
        self.null_if = {null_if} if isinstance(null_if, str) else set(null_if or [])
        self.escape, self.quote_escape, self.quote = given["ESCAPE_UNENCLOSED_FIELD"], given["ESCAPE"], given["FIELD_OPTIONALLY_ENCLOSED_BY"]
        self.is_multi_line = given["MULTI_LINE"]
        self.delimiter = plain_text(given["FIELD_DELIMITER"]) if given["FIELD_DELIMITER"] else None
        record = plain_text(given["RECORD_DELIMITER"] or "\n")
        self.newline = r"\r?\n" if record in ("\n", "\r\n") else re.escape(record)
        self.field = re.compile(self.pattern(), re.DOTALL)
        self.next_line = re.compile(self.newline)
        self.quoted = re.compile(self.quoted_part(), re.DOTALL) if self.quote else None

    def pattern(self) -> str:
        """One field and what ends it: group 1 the quoted text, 2 the unquoted, 3 the delimiter ('' or a newline at a record's end)."""
        ends = "|".join(filter(None, [re.escape(self.delimiter) if self.delimiter else "", self.newline, r"\Z"]))
        escaped = rf"{re.escape(self.escape)}.|" if self.escape else ""
        plain = rf"(?:{escaped}(?!{ends}).)*+"
        if not self.escape and self.newline == r"\r?\n" and len(self.delimiter or ",") == 1:
            plain = rf"(?:[^{re.escape(self.delimiter or '')}\r\n]++|\r(?!\n))*+"
        if not self.quote:
            return rf"()({plain})({ends})"
        blank = r"[ \t]*+" if self.trims else ""
        return rf"(?:{self.quoted_part()}(?={ends})|(?!{blank}{re.escape(self.quote)})({plain}))({ends})"

    def quoted_part(self) -> str:
        quote, blank = re.escape(self.quote), r"[ \t]*+" if self.trims else ""
        escaped = rf"{re.escape(self.quote_escape)}.|" if self.quote_escape else ""
        inner = rf"[^{quote}{re.escape(self.quote_escape or '')}]"
        return rf"{blank}{quote}((?:{escaped}{inner}++|{quote}{quote})*+){quote}{blank}"

    def records(self, text: str, at: int) -> Iterator[tuple[list[str | None], int, tuple[int, str] | None]]:
        """Each record's fields, where the next one begins, and (position, reason) if it is broken."""
        match, size = self.field.match, len(text)
        while at < size:
            fields: list[str | None] = []
            start = at
            error: Any = None
            while True:
                found = match(text, at)
                if found is None:
                    *error, at = self.fault(text, at)
                    break
                quoted, unquoted, end = found.groups()
                fields.append(self.value(unquoted) if quoted is None or not self.quote else self.quoted_value(quoted))
                at = found.end()
                if end != self.delimiter or not end:
                    break
            if error is None and not self.is_multi_line and "\n" in text[start:at].rstrip("\r\n"):
                error = (start, "Found a record delimiter inside a field, and MULTI_LINE is FALSE")
            if error is None and not self.is_valid and (bad := re.search("[\udc80-\udcff]", text[start:at])):
                error = (start + bad.start(), "Invalid UTF8 detected in string")
            yield fields, at, error and tuple(error)

    def value(self, text: str) -> str | None:
        if self.trims:
            text = text.strip(" \t")
        if text == "":
            return None if "" in self.null_if else self.empty
        if text in self.null_if:
            return None
        return self.unescaped(text, self.escape) if self.escape and self.escape in text else text

    def quoted_value(self, text: str) -> str | None:
        assert self.quote
        text = text.replace(self.quote * 2, self.quote)
        if self.quote_escape and self.quote_escape in text:
            text = self.unescaped(text, self.quote_escape)
        return None if text in self.null_if else text

    @staticmethod
    def unescaped(text: str, escape: str) -> str:
        return re.sub(re.escape(escape) + "(.)", lambda m: UNESCAPED.get(m[1], m[1]), text, flags=re.DOTALL)

    def fault(self, text: str, at: int) -> tuple[int, str, int]:
        """Why no field could be read here (its closing quote is missing or followed by something): place, reason, and where to go on."""
        found = self.quoted.match(text, at) if self.quoted else None
        if found is None:
            return at, f"Unexpected end of file: the field that begins here has no closing {self.quote}", len(text)
        place = found.end()
        return place, f"Found character '{text[place]}' instead of field delimiter '{self.delimiter}'", self.resume(text, place)

    def resume(self, text: str, at: int) -> int:
        found = self.next_line.search(text, at)
        return found.end() if found else len(text)


def plain_text(said: str) -> str:
    r"""A delimiter as written in SQL: \t, \n, \x1f, 0x27, \054 name characters.

    >>> plain_text("\\t"), plain_text("0x27"), plain_text("|")
    ('\t', "'", '|')
    """
    if re.fullmatch(r"(?:(?:0x|\\x)[0-9a-fA-F]{2})+", said):
        try:
            return bytes.fromhex(re.sub(r"0x|\\x", "", said)).decode()
        except UnicodeDecodeError:
            raise syntax(f"invalid delimiter '{said}'") from None
    if re.fullmatch(r"\\[0-7]{3}", said):
        return chr(int(said[1:], 8))
    return re.sub(r"\\([tnrbf0\\'])", lambda m: UNESCAPED.get(m[1], m[1]), said)


def exact(reader: Exact, text: str, start: int, names: list[str], given: dict[str, Any], expected: int | None) -> Contents:
    rows: list[list[str | None]] = []
    numbers: list[int] = []
    rejected: list[Rejected] = []
    number, line, counted, at = 0, 1, 0, start
    for fields, end, error in reader.records(text, start):
        record_start, at = at, end
        is_blank = len(fields) == 1 and not text[record_start:end].strip("\r\n")
        if is_blank and given["SKIP_BLANK_LINES"]:
            continue
        number += 1
        if error is None and expected is not None and len(fields) != expected:
            error = (record_start, mismatch(len(fields), expected))
        if error is None:
            rows.append(fields)
            numbers.append(number)
            continue
        place, reason = error
        line, counted = line + text.count("\n", counted, record_start), record_start
        column = place - (text.rfind("\n", 0, place) + 1) + 1
        record = text[record_start:end].rstrip("\r\n").encode("utf8", "replace").decode()
        rejected.append(Rejected(number, line + text.count("\n", record_start, min(place, end - 1)), column, reason, record))
    width = len(names) or max(map(len, rows), default=0)
    columns = [pa.array([row[i] if i < len(row) else None for row in rows], pa.string()) for i in range(width)]
    table = pa.Table.from_arrays(columns, names=[str(i) for i in range(width)])
    return named(table, names, pa.array(numbers, pa.int64()), rejected)


def mismatch(found: int, expected: int) -> str:
    return (
        f"Number of columns in file ({found}) does not match that of the corresponding table ({expected}), "
        "use file format option error_on_column_count_mismatch=false to ignore this error"
    )
