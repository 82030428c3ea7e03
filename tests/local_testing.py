"""What Snowpark's local testing lacks for the engine's frames, and repairs of what it does otherwise than Snowflake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas
import pytest
import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
import sql_columns
import validity
from snowflake.snowpark import Column
from snowflake.snowpark.mock import ColumnEmulator, ColumnType, TableEmulator, _plan, _util, patch


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
    result = ColumnEmulator(data=[(is_null(a) and is_null(b)) or bool(a == b) for a, b in pairs], dtype=bool)
    result.sf_type = ColumnType(T.BooleanType(), False)
    return result


@patch("is_email")
def is_email(value: ColumnEmulator) -> ColumnEmulator:
    """The app's own function, which local testing cannot find by name."""
    result = ColumnEmulator(data=validity.is_email(pandas.DataFrame({0: list(value)})).tolist(), dtype=object)
    result.sf_type = ColumnType(T.BooleanType(), False)
    return result


@patch("unless_null")
def unless_null(left: ColumnEmulator, right: ColumnEmulator, comparison: ColumnEmulator) -> ColumnEmulator:
    """A comparison that is NULL where a side is; local testing finds NULL and 'a' different."""
    sides = zip(left, right, comparison, strict=True)
    found = [None if is_null(a) or is_null(b) else bool(c) for a, b, c in sides]
    # pandas takes no rows of objects for a list of columns, and a filter by it leaves none of those
    result = ColumnEmulator(data=found, dtype=object if found else bool)
    result.sf_type = ColumnType(T.BooleanType(), True)
    return result


@contextmanager
def repaired() -> Iterator[None]:
    """Four repairs of local testing that are no functions.

    - Ordering: pandas 3 turns None in a text column into NaN, which its comparison does not expect.
    - `REGEXP` fails on NULL; Snowflake gives NULL.
    - A filter leaves gaps in the row numbers of pandas, and functions on what is left then mix up rows.
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

        execute = _plan.execute_mock_plan

        def execute_without_gaps(*args: Any, **settings: Any) -> Any:
            result = execute(*args, **settings)
            if isinstance(result, TableEmulator):
                result.index = range(len(result))
            return result

        monkeypatch.setattr(_plan, "execute_mock_plan", execute_without_gaps)
        monkeypatch.setattr(Column, "equal_null", lambda self, other: F.equal_null(self, other))
        monkeypatch.setattr(F, "sql_expr", sql_columns.column)
        yield
