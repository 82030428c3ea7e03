"""Frames as tables in a text.

    frame(\"\"\"
        customer_id | city  | effective_at
        1           | Paris | 2024-01-01 00:00:00
        2           |       | 2024-01-01 00:00:00
    \"\"\")

An empty field is NULL.  A column's type follows from its values; `name:type` says it where there are none.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import snowflake.snowpark.types as T
from snowflake.snowpark import DataFrame, Session

NTZ = T.TimestampType(T.TimestampTimeZone.NTZ)
TYPES: dict[str, T.DataType] = {
    "text": T.StringType(),
    "integer": T.LongType(),
    "number": T.DecimalType(18, 4),
    "boolean": T.BooleanType(),
    "timestamp": NTZ,
    "date": T.DateType(),
}
SHAPES = [
    ("timestamp", re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d")),
    ("integer", re.compile(r"-?\d+")),
    ("number", re.compile(r"-?\d+\.\d+")),
    ("boolean", re.compile(r"true|false")),
]
READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "integer": int,
    "number": Decimal,
    "boolean": lambda text: text == "true",
    "timestamp": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
}


def day(number: int) -> dt.datetime:
    """A day by its number; day 1 is the first of January 2024."""
    return dt.datetime(2024, 1, 1) + dt.timedelta(days=number - 1)


def fields(line: str) -> list[str]:
    return [part.strip() for part in line.split("|")]


def parse_table(text: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Column types and rows of a table written as text."""
    head, *lines = [line for line in text.strip().splitlines() if line.strip()]
    cells = [fields(line) for line in lines]
    types: dict[str, str] = {}
    for index, title in enumerate(fields(head)):
        name, _, declared = title.partition(":")
        texts = [row[index] for row in cells if row[index]]
        fitting = (kind for kind, shape in SHAPES if texts and all(shape.fullmatch(text) for text in texts))
        types[name] = declared or next(fitting, "text")
    rows_ = [
        {name: READERS[types[name]](cell) if cell else None for name, cell in zip(types, row, strict=True)} for row in cells
    ]
    return types, rows_


def frame_of(session: Session, text: str) -> DataFrame:
    """The frame a table in text stands for."""
    types, records = parse_table(text)
    schema = T.StructType([T.StructField(name, TYPES[kind]) for name, kind in types.items()])
    return session.create_dataframe([tuple(record.values()) for record in records], schema=schema)


def table(text: str) -> list[dict[str, Any]]:
    """The rows a table in text stands for, in no particular order."""
    return sorted(parse_table(text)[1], key=repr)


def rows(found: DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as `table` gives them."""

    def plain(value: Any) -> Any:
        if isinstance(value, Decimal) and value == value.to_integral_value():
            return int(value)
        return value

    return sorted(
        ({name.strip('"').lower(): plain(value) for name, value in row.as_dict().items()} for row in found.collect()), key=repr
    )
