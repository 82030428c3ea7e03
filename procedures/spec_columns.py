"""A source's columns, what is done to their texts, and its checks, as frozen dataclasses; their types."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

# Type in a pipeline file -> type in Snowflake.  `number(p,s)` stands for itself.
TYPES = {
    "text": "VARCHAR",
    "number": "NUMBER(38,6)",
    "integer": "NUMBER(38,0)",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP_NTZ",
    "variant": "VARIANT",
}
NUMBER = re.compile(r"number\((\d{1,2}),\s*(\d{1,2})\)")

Constant = str | int | bool | Decimal | date | datetime


@dataclass(frozen=True)
class Cleaning:
    """One thing done to a text: the word of the file, and what follows it."""

    word: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column of a source: where its text stands in the file, and what is made of it."""

    name: str
    type: str = "text"
    path: tuple[str | int, ...] = ()  # JSON: keys from the top of the object down, and places in lists
    received_as: str = ""  # CSV, Parquet: the column's name in the file
    clean: tuple[Cleaning, ...] = ()
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    otherwise: str | None = None  # what a value outside `mapping` becomes
    has_otherwise: bool = False
    formats: tuple[str, ...] = ()
    zone: str = "UTC"  # whose clock a time without offset is read by
    keeps_unreadable: bool = False  # a text that is not of the type becomes NULL and is no failure
    bounds: tuple[str | None, str | None] = (None, None)
    default: str | None = None
    expression: str = ""  # a derived column has no text of its own
    required: bool = False
    pii: bool = False
    comment: str = ""


@dataclass(frozen=True)
class Check:
    """A named condition that must be TRUE; NULL is a failure.  An expression, or a test of the library."""

    name: str
    expect: str = ""
    otherwise: str = "quarantine"
    test: str = ""  # a word of spec_keys' part `check`
    columns: tuple[str, ...] = ()
    values: tuple[str | None, ...] = ()


# Tests that look at more than their row.  Their meaning does not depend on how rows fall into batches:
# a file is judged whole, and a unique value belongs to the key that brought it first.
OF_FILES, OF_SILVER = ("row_count", "freshness"), ("unique", "references")


def sql_type(type_name: str) -> str:
    """Snowflake's type for a type of the pipeline file.

    >>> sql_type("text"), sql_type("number(12,2)")
    ('VARCHAR', 'NUMBER(12,2)')
    """
    return TYPES.get(type_name) or type_name.upper().replace(" ", "")


def is_type(type_name: str) -> bool:
    """Whether a pipeline file may use this type.

    >>> is_type("number(12,2)"), is_type("number(2,12)"), is_type("string")
    (True, False, False)
    """
    match = NUMBER.fullmatch(type_name)
    return type_name in TYPES or bool(match and int(match[2]) <= int(match[1]) <= 38 and int(match[1]) > 0)


def constant(text: str, type_name: str) -> Constant | None:
    """The value a text of the file stands for; None when it is not of the type.

    >>> constant("120", "integer"), constant("1.5", "integer"), constant("2024-02-30", "date")
    (120, None, None)
    """
    try:
        if type_name == "integer":
            return int(text) if re.fullmatch(r"[+-]?\d{1,38}", text) else None
        if type_name == "number" or NUMBER.fullmatch(type_name):
            found = Decimal(text)
            return found if found.is_finite() and abs(found) < Decimal(10) ** 32 else None
        if type_name == "date":
            return date.fromisoformat(text)
        if type_name == "timestamp":
            found_at = datetime.fromisoformat(text)
            return None if found_at.tzinfo else found_at
        if type_name == "boolean":
            return {"true": True, "false": False}.get(text)
    except (ValueError, InvalidOperation, OverflowError):
        return None
    return text
