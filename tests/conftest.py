"""Frames as tables in a text, and Snowpark's local testing made to know what the engine needs.

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
import sys
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "procedures", ROOT / "tests"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
warnings.filterwarnings("ignore", message="urllib3")

import snowflake.snowpark.functions as F  # noqa: E402
import snowflake.snowpark.types as T  # noqa: E402
from snowflake.snowpark import Column, DataFrame, Session  # noqa: E402
import sql_columns  # noqa: E402
from snowflake.snowpark.mock import ColumnEmulator, ColumnType, _util, patch  # noqa: E402

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


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """Snowpark's local testing, with what it lacks patched in below."""
    opened = Session.builder.config("local_testing", True).create()
    yield opened
    opened.close()


@pytest.fixture
def frame(session: Session) -> Callable[[str], DataFrame]:
    def made(text: str) -> DataFrame:
        types, records = parse_table(text)
        schema = T.StructType([T.StructField(name, TYPES[kind]) for name, kind in types.items()])
        return session.create_dataframe([tuple(record.values()) for record in records], schema=schema)

    return made


# --- What local testing lacks ------------------------------------------------------------------------------------


def text_column(values: Any) -> ColumnEmulator:
    result = ColumnEmulator(data=list(values), dtype=object)
    result.sf_type = ColumnType(T.StringType(), True)
    return result


def is_null(value: Any) -> bool:
    return value is None or value != value


@patch(F.trim)
def trimmed(value: ColumnEmulator, characters: ColumnEmulator | None = None) -> ColumnEmulator:
    """TRIM, which local testing does not have."""
    marks = [" "] * len(value) if characters is None else list(characters)
    return text_column(None if is_null(v) else str(v).strip(c) for v, c in zip(value, marks, strict=True))


@patch(F.replace)
def replaced(value: ColumnEmulator, old: ColumnEmulator, new: ColumnEmulator) -> ColumnEmulator:
    """REPLACE, which local testing does not have."""
    return text_column(None if is_null(v) else str(v).replace(o, n) for v, o, n in zip(value, old, new, strict=True))


@patch(F.equal_null)
def equal_null(left: ColumnEmulator, right: ColumnEmulator) -> ColumnEmulator:
    """EQUAL_NULL as a function; the method, which local testing has, loses track of its rows after a filter."""
    pairs = zip(left, right, strict=True)
    result = ColumnEmulator(data=[is_null(a) and is_null(b) or bool(a == b) for a, b in pairs], dtype=bool)
    result.sf_type = ColumnType(T.BooleanType(), False)
    return result


@pytest.fixture(autouse=True, scope="session")
def patched_local_testing() -> Iterator[None]:
    """Three repairs of local testing that are no functions.

    - Ordering: pandas 3 turns None in a text column into NaN, which its comparison does not expect.
    - `REGEXP` fails on NULL; Snowflake gives NULL.
    - `sql_expr` is missing: expressions of the pipeline files are translated by sqlglot into Columns.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        compare = _util.array_custom_comparator

        def compare_with_nan(ascending: bool, null_first: bool, a: Any, b: Any) -> int:
            left, right = ((i, None if is_null(v) else v) for i, v in (a, b))
            return compare(ascending, null_first, left, right)

        monkeypatch.setattr(_util, "array_custom_comparator", compare_with_nan)
        like = Column.rlike
        monkeypatch.setattr(
            Column, "rlike", lambda self, pattern: self.is_not_null() & like(F.coalesce(self, F.lit("")), pattern)
        )

        monkeypatch.setattr(Column, "equal_null", lambda self, other: F.equal_null(self, other))
        monkeypatch.setattr(F, "sql_expr", sql_columns.column)
        yield
