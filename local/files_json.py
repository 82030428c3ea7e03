"""JSON as COPY reads it: documents one after the other, or the elements of an outer array.

Two ways, one result: a file with one document a line, which is what nearly all are, is taken line by line; the exact reader finds
where any other document ends, and says where one is broken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from local.files import VARIANT, Contents, Rejected, text_of

BLANK = re.compile(r"[\s]*")
Document = tuple[str, Any]  # its text and its value


def not_json(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


DECODER = json.JSONDecoder(parse_constant=not_json)
ENCODER = json.JSONEncoder(ensure_ascii=False)  # one for all: json.dumps makes a new one for each value


def read_json(name: str, content: bytes, given: dict[str, Any], *, as_variant: bool) -> Contents:
    """One VARIANT per record, or one text column per key of the records (for MATCH_BY_COLUMN_NAME)."""
    text = text_of(name, content, given)
    documents = one_a_line(text, strips_array=given["STRIP_OUTER_ARRAY"])
    if documents is not None:
        numbers, rejected = pa.array(range(1, len(documents) + 1), pa.int64()), []
    else:
        documents, numbers, rejected = exact(text, strips_array=given["STRIP_OUTER_ARRAY"])
    if given["STRIP_NULL_VALUES"]:
        stripped = [without_nulls(value) for _, value in documents]
        documents = [(ENCODER.encode(value), value) for value in stripped]
    if as_variant:
        return Contents(pa.table({VARIANT: pa.array([text for text, _ in documents], pa.string())}), numbers, rejected)
    return Contents(by_key([value for _, value in documents]), numbers, rejected)


def one_a_line(text: str, *, strips_array: bool) -> list[Document] | None:
    """The documents of a text that has one on each line and nothing else; None for any other text."""
    scan = DECODER.scan_once
    if (strips_array and text.lstrip().startswith("[")) or (not text.isascii() and re.search("[\udc80-\udcff]", text)):
        return None
    documents = []
    try:
        for line in text.split("\n"):
            if line := line.strip():
                value, end = scan(line, 0)
                if end != len(line):
                    return None
                documents.append((line, value))
    except (StopIteration, ValueError, RecursionError):
        return None
    return documents


def by_key(values: list[Any]) -> pa.Table:
    """Texts as they are, the rest as JSON writes it; what is no object has no keys."""
    objects = [value if isinstance(value, dict) else {} for value in values]
    columns: dict[str, list[Any]] = {
        key: [each.get(key) for each in objects] for key in dict.fromkeys(key for each in objects for key in each)
    }
    return pa.table(
        {key: pa.array([v if v is None or type(v) is str else plain(v) for v in found], pa.string()) for key, found in columns.items()}
    )


def plain(value: Any) -> str:
    return str(value) if type(value) is int else ENCODER.encode(value)


def exact(text: str, *, strips_array: bool) -> tuple[list[Document], pa.Array, list[Rejected]]:
    documents: list[Document] = []
    numbers: list[int] = []
    rejected: list[Rejected] = []
    for number, (record, value, error) in enumerate(json_records(text, strips_array=strips_array), start=1):
        if error is not None:
            rejected.append(Rejected(number, *error, record))
        else:
            documents.append((record, value))
            numbers.append(number)
    return documents, pa.array(numbers, pa.int64()), rejected


def json_records(text: str, *, strips_array: bool) -> Iterator[tuple[str, Any, tuple[int, int, str] | None]]:
    """Each record's text and value, or the text up to the end of its line with (line, character, reason)."""
    at = BLANK.match(text, 0).end()  # type: ignore[union-attr]
    in_array = strips_array and text.startswith("[", at)
    at = BLANK.match(text, at + 1).end() if in_array else at  # type: ignore[union-attr]
    while at < len(text):
        if text[at] == "," or (in_array and text[at] == "]"):
            at = BLANK.match(text, at + 1).end()  # type: ignore[union-attr]
            continue
        try:
            value, end = DECODER.raw_decode(text, at)
            record, error = text[at:end], None
            if not record.isascii() and any("\udc80" <= c <= "\udcff" for c in record):
                error = (text.count("\n", 0, at) + 1, 1, "Invalid UTF8 detected in string")
                record = record.encode("utf8", "replace").decode()
        except (ValueError, RecursionError) as e:
            place, value = getattr(e, "pos", at), None
            end = text.find("\n", place)
            end = len(text) if end < 0 else end
            record = text[at:end].encode("utf8", "replace").decode()
            line_start = text.rfind("\n", 0, place) + 1
            error = (text.count("\n", 0, place) + 1, place - line_start + 1, f"Error parsing JSON: {getattr(e, 'msg', None) or e}")
        yield record, value, error
        at = BLANK.match(text, end).end()  # type: ignore[union-attr]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value if v is not None] if isinstance(value, list) else value
