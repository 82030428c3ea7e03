"""One staged file as COPY reads it: bytes and file format options in, rows and rejected records out.

docs.snowflake.com/en/sql-reference/sql/create-file-format. CSV columns are text (local/files_csv.py), a JSON record is one VARIANT
or a column for each key (local/files_json.py), Parquet columns are the text that Snowflake's cast to VARCHAR gives, or one VARIANT `$1`. Records are numbered from 1 after the header, as
METADATA$FILE_ROW_NUMBER does; a rejected record keeps its number. Lines of errors count from 1, header included.

Refused: AVRO, ORC, XML. Not used when loading text: DATE_FORMAT and its like, BINARY_FORMAT, FILE_EXTENSION, ENABLE_OCTAL.
"""

from __future__ import annotations

import bz2
import gzip
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from local.errors import refused, syntax

VARIANT = "$1"  # the one column of a JSON file, and of a Parquet file read as a whole

DEFAULTS: dict[str, dict[str, Any]] = {
    "CSV": {
        "COMPRESSION": "AUTO", "RECORD_DELIMITER": "\n", "FIELD_DELIMITER": ",", "MULTI_LINE": True, "FILE_EXTENSION": "NONE",
        "PARSE_HEADER": False, "SKIP_HEADER": 0, "SKIP_BLANK_LINES": False, "DATE_FORMAT": "AUTO", "TIME_FORMAT": "AUTO",
        "TIMESTAMP_FORMAT": "AUTO", "BINARY_FORMAT": "HEX", "ESCAPE": "NONE", "ESCAPE_UNENCLOSED_FIELD": "\\", "TRIM_SPACE": False,
        "FIELD_OPTIONALLY_ENCLOSED_BY": "NONE", "NULL_IF": ["\\N"], "ERROR_ON_COLUMN_COUNT_MISMATCH": True,
        "REPLACE_INVALID_CHARACTERS": False, "EMPTY_FIELD_AS_NULL": True, "SKIP_BYTE_ORDER_MARK": True, "ENCODING": "UTF8",
    },
    "JSON": {
        "COMPRESSION": "AUTO", "DATE_FORMAT": "AUTO", "TIME_FORMAT": "AUTO", "TIMESTAMP_FORMAT": "AUTO", "BINARY_FORMAT": "HEX",
        "TRIM_SPACE": False, "MULTI_LINE": True, "NULL_IF": [], "FILE_EXTENSION": "NONE", "ENABLE_OCTAL": False, "ALLOW_DUPLICATE": False,
        "STRIP_OUTER_ARRAY": False, "STRIP_NULL_VALUES": False, "REPLACE_INVALID_CHARACTERS": False, "IGNORE_UTF8_ERRORS": False,
        "SKIP_BYTE_ORDER_MARK": True,
    },
    "PARQUET": {
        "COMPRESSION": "AUTO", "SNAPPY_COMPRESSION": True, "BINARY_AS_TEXT": True, "USE_LOGICAL_TYPE": False, "TRIM_SPACE": False,
        "USE_VECTORIZED_SCANNER": False, "REPLACE_INVALID_CHARACTERS": False, "NULL_IF": ["\\N"],
    },
}  # fmt: skip
COMPRESSIONS = {"AUTO", "GZIP", "BZ2", "BROTLI", "ZSTD", "DEFLATE", "RAW_DEFLATE", "NONE", "SNAPPY", "LZO"}


@dataclass(frozen=True)
class Rejected:
    """A record that was not loaded: where it stands in the file and why. `column` where one is to blame."""

    row_number: int
    line: int
    character: int
    reason: str
    record: str = ""
    column: str | None = None


@dataclass(frozen=True)
class Contents:
    """What a file holds: text columns named as in the file, the row number of each row, and the records that were rejected."""

    rows: pa.Table
    row_numbers: pa.Array
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def parsed(self) -> int:
        return self.rows.num_rows + len(self.rejected)


class Unreadable(Exception):
    """The file as a whole cannot be read. `reason` is a sentence; `line` and `character` where they are known."""

    def __init__(self, name: str, reason: str, line: int | None = None, character: int | None = None) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason, self.line, self.character = name, reason, line, character


# --- options


def kind_of(options: dict[str, Any]) -> str:
    return str(options.get("TYPE", "CSV")).upper()


def defaults(kind: str) -> dict[str, Any]:
    return DEFAULTS[kind]


def check_options(options: dict[str, Any]) -> None:
    """Refuse what Snowflake refuses: unknown options, options of another type, contradictions."""
    kind = kind_of(options)
    if kind in ("AVRO", "ORC", "XML", "CUSTOM"):
        raise refused(f"The local account reads CSV, JSON and PARQUET files, not {kind}.")
    if kind not in DEFAULTS:
        raise syntax(f"invalid value '{kind}' for property 'TYPE'")
    for key, value in options.items():
        if key != "TYPE" and key not in DEFAULTS[kind]:
            raise syntax(f"invalid parameter '{key}' for file format type {kind}")
        if isinstance(DEFAULTS[kind].get(key), bool) and not isinstance(value, bool):
            raise syntax(f"invalid value '{value}' for property '{key}': expected TRUE or FALSE")
    if str(options.get("COMPRESSION", "AUTO")).upper() not in COMPRESSIONS:
        raise syntax(f"invalid value '{options['COMPRESSION']}' for property 'COMPRESSION'")
    if options.get("PARSE_HEADER") and options.get("SKIP_HEADER"):
        raise syntax("SKIP_HEADER option is not supported when PARSE_HEADER = TRUE")


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """Every option with its value: the default where nothing was said, None where NONE was said."""
    full = {**DEFAULTS[kind_of(options)], **options}
    return {key: None if isinstance(value, str) and value.upper() == "NONE" else value for key, value in full.items()}


# --- reading


def read(name: str, content: bytes, options: dict[str, Any], *, expected: int | None = None, as_variant: bool = False) -> Contents:
    """The rows of a file. `expected`: how many columns its lines must have where ERROR_ON_COLUMN_COUNT_MISMATCH says so
    (a header decides by itself); `as_variant`: JSON and Parquet as one VARIANT, else a column for each key. Raises Unreadable."""
    from local import files_csv, files_json

    given = settings(options)
    kind = kind_of(options)
    if kind == "PARQUET":
        return read_parquet(name, content, given, as_variant=as_variant)
    plain = decompressed(name, content, str(given["COMPRESSION"] or "NONE").upper())
    if kind == "JSON":
        return files_json.read_json(name, plain, given, as_variant=as_variant)
    return files_csv.read_csv(name, plain, given, expected)


MAGIC = {b"\x1f\x8b": "GZIP", b"BZh": "BZ2", b"\x28\xb5\x2f\xfd": "ZSTD"}


def decompressed(name: str, content: bytes, method: str) -> bytes:
    if method == "AUTO":
        method = next((m for magic, m in MAGIC.items() if content.startswith(magic)), "NONE")
        said = {".gz": "GZIP", ".bz2": "BZ2", ".zst": "ZSTD"}.get(name[name.rfind(".") :].lower()) if content else None
        method = said or method
    try:
        match method:
            case "GZIP":
                return gzip.decompress(content)
            case "BZ2":
                return bz2.decompress(content)
            case "DEFLATE":
                return zlib.decompress(content)
            case "RAW_DEFLATE":
                return zlib.decompress(content, -zlib.MAX_WBITS)
            case "ZSTD" | "BROTLI":
                return pa.CompressedInputStream(pa.BufferReader(content), method.lower()).read()
    except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as e:
        raise Unreadable(name, f"the file is not a valid {method.lower()} file: {e}") from None
    return content


def text_of(name: str, content: bytes, given: dict[str, Any]) -> str:
    """Decoded, without byte order mark. Bytes that are not valid become U+FFFD where the options allow it, else lone surrogates."""
    encoding = re.sub(r"[^a-z0-9]", "", str(given.get("ENCODING") or "utf8").lower())
    encoding = re.sub(r"^iso8859(\d+)$", r"iso8859_\1", encoding)
    replaces = given["REPLACE_INVALID_CHARACTERS"] or given.get("IGNORE_UTF8_ERRORS")
    try:
        text = content.decode(encoding, "replace" if replaces else "surrogateescape" if encoding == "utf8" else "strict")
    except LookupError:
        raise Unreadable(name, f"unknown ENCODING '{given['ENCODING']}'") from None
    except UnicodeDecodeError as e:
        raise Unreadable(name, f"the file is not valid {given['ENCODING']}: {e.reason} at byte {e.start}") from None
    return text[1:] if given["SKIP_BYTE_ORDER_MARK"] and text.startswith("\ufeff") else text


# --- Parquet


def read_parquet(name: str, content: bytes, given: dict[str, Any], *, as_variant: bool) -> Contents:
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError, ValueError) as e:
        raise Unreadable(name, f"the file is not a valid Parquet file: {str(e).splitlines()[0]}") from None
    rows = as_snowflake_types(rows, pq.ParquetFile(pa.BufferReader(content)).schema, given)
    numbers = pa.array(range(1, rows.num_rows + 1), pa.int64())
    if as_variant:
        records = [json.dumps({k: v for k, v in row.items() if v is not None}, default=json_value, ensure_ascii=False) for row in rows.to_pylist()]
        return Contents(pa.table({VARIANT: pa.array(records, pa.string())}), numbers)
    columns = [as_text(column, given) for column in rows.columns]
    return Contents(pa.Table.from_arrays(columns, names=rows.column_names), numbers)


def as_snowflake_types(rows: pa.Table, schema: Any, given: dict[str, Any]) -> pa.Table:
    """Timestamps that Snowflake takes for plain integers become integers: see the table at USE_LOGICAL_TYPE on the COPY page.

    It concerns what pandas and pyarrow write for times without a zone, unless USE_LOGICAL_TYPE or USE_VECTORIZED_SCANNER is TRUE.
    """
    if given["USE_LOGICAL_TYPE"] or given["USE_VECTORIZED_SCANNER"]:
        return rows
    converted = {schema.column(i).path: schema.column(i).converted_type for i in range(len(schema))}
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) and converted.get(name, "NONE") == "NONE" else column
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, names=rows.column_names)


def json_value(value: Any) -> Any:
    import datetime as dt
    from decimal import Decimal

    if isinstance(value, Decimal):
        return float(value) if value % 1 else int(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex().upper()
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03d}"
    return str(value)


def as_text(column: pa.ChunkedArray, given: dict[str, Any]) -> pa.ChunkedArray:
    """A Parquet column as Snowflake's cast to VARCHAR shows it: 2024-01-31 10:15:00.000, true, 1.5, 10 (not 10.0), {"a":1}.

    An instant (a time with a zone, read as TIMESTAMP_LTZ) ends in +0000: the local account lives in UTC. NULL_IF and TRIM_SPACE apply to the text.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_timestamp(kind):
        whole = column.cast(pa.timestamp("ms", tz=kind.tz and "UTC"), safe=False)
        is_instant = kind.tz and (given["USE_LOGICAL_TYPE"] or given["USE_VECTORIZED_SCANNER"])
        text = pc.strftime(whole, format="%Y-%m-%d %H:%M:%S" + (" +0000" if is_instant else ""))
    elif pa.types.is_floating(kind):
        text = pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.0$", "")
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        as_utf8 = given["BINARY_AS_TEXT"]
        text = pa.chunked_array([pa.array([binary_text(v, as_utf8) for v in column.to_pylist()], pa.string())])
    elif pa.types.is_nested(kind):
        text = pa.chunked_array(
            [pa.array([None if v is None else json.dumps(v, default=json_value, ensure_ascii=False) for v in column.to_pylist()], pa.string())]
        )
    else:
        text = pc.cast(column, pa.string())
    if given["TRIM_SPACE"]:
        text = pc.utf8_trim_whitespace(text)
    return nullified(text, given["NULL_IF"])


def binary_text(value: bytes | None, as_utf8: bool) -> str | None:
    if value is None:
        return None
    try:
        return value.decode() if as_utf8 else value.hex().upper()
    except UnicodeDecodeError:
        return value.hex().upper()


def nullified(text: pa.ChunkedArray | pa.Array, null_if: Any) -> Any:
    """NULL_IF: these strings mean NULL."""
    strings = [null_if] if isinstance(null_if, str) else list(null_if or [])
    if not strings or len(text) == 0:
        return text
    hits = pc.is_in(text, value_set=pa.array(strings, text.type))
    return pc.if_else(hits, pa.scalar(None, text.type), text) if pc.any(hits).as_py() else text


# --- what ON_ERROR makes of it


def is_skipped(rejected: Sequence[Rejected], parsed: int, on_error: str) -> bool:
    """Whether the whole file is left out: SKIP_FILE, SKIP_FILE_<n>, SKIP_FILE_<n>%; CONTINUE never does.

    >>> one = [Rejected(1, 1, 1, "broken")]
    >>> [is_skipped(one, 4, word) for word in ("CONTINUE", "SKIP_FILE", "SKIP_FILE_2", "SKIP_FILE_10%")]
    [False, True, False, True]
    """
    found = re.fullmatch(r"SKIP_FILE(?:_(\d+)(%?))?", on_error.upper())
    if not found or not rejected:
        return False
    number, percent = int(found.group(1) or 1), found.group(2)
    return len(rejected) > number * parsed / 100 if percent else len(rejected) >= number
