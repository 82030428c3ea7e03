"""What Snowpark's local testing lacks for the engine's frames, and repairs of what it does otherwise than Snowflake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import numpy
import pandas
import pytest
import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
import sql_columns
import validity
import writing
from pandas.core.groupby.ops import BaseGrouper
from snowflake.snowpark import Column, DataFrame, Session
from snowflake.snowpark.mock import ColumnEmulator, ColumnType, TableEmulator, _functions, _plan, _util, patch
from snowflake.snowpark.mock._functions import mock_iff


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


@patch(F.regexp_replace)
def regexp_replaced(value: ColumnEmulator, pattern: ColumnEmulator, new: ColumnEmulator, *rest: Any) -> ColumnEmulator:
    """REGEXP_REPLACE, which local testing does not have."""
    found = zip(value, pattern, new, strict=True)
    named = {"[[:space:]]": r"\s"}
    return text_column(
        None if is_null(v) else re.sub(p.replace("[[:space:]]", named["[[:space:]]"]), re.sub(r"\\(\d)0", r"\\g<\1>0", n), str(v))
        for v, p, n in found
    )


@patch(F.substring)
def substring(value: ColumnEmulator, start: ColumnEmulator, length: ColumnEmulator) -> ColumnEmulator:
    """SUBSTRING; local testing's own does not bear a length that is NULL."""
    found = zip(value, start, length, strict=True)
    return text_column(None if is_null(v) or is_null(n) else str(v)[int(s) - 1 : max(int(s) - 1 + int(n), 0)] for v, s, n in found)


UNITS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1, "millisecond": 0.001}


@patch(F.dateadd)
def added(part: str, count: ColumnEmulator, at: ColumnEmulator) -> ColumnEmulator:
    """DATEADD; local testing's own does not bear a count that is NULL."""

    def moved(moment: datetime, by: Any) -> datetime:
        if part.lower() == "year":
            return moment.replace(year=moment.year + int(by))
        return moment + timedelta(seconds=float(by) * UNITS[part.lower()])

    found = [None if is_null(n) or is_null(a) else moved(a, n) for n, a in zip(count, at, strict=True)]
    result = ColumnEmulator(data=found, dtype=object)
    result.sf_type = ColumnType(at.sf_type.datatype, True)
    return result


truncating = _functions.mock_date_trunc


@patch(F.date_trunc)
def truncated(part: str, at: ColumnEmulator) -> ColumnEmulator:
    """DATE_TRUNC; what local testing's own gives stays a timestamp when it is cast to a date."""
    found = [item.to_pydatetime() if isinstance(item, pandas.Timestamp) else item for item in truncating(part, at)]
    result = ColumnEmulator(data=found, dtype=object)
    result.sf_type = ColumnType(at.sf_type.datatype, True)
    return result


@patch("translate")
def translated(value: ColumnEmulator, old: ColumnEmulator, new: ColumnEmulator) -> ColumnEmulator:
    """TRANSLATE to nothing, which local testing does not have."""
    return text_column(None if is_null(v) else str(v).translate(dict.fromkeys(map(ord, o))) for v, o in zip(value, old, strict=True))


@patch("split_part")
def split_part(value: ColumnEmulator, by: ColumnEmulator, part: ColumnEmulator) -> ColumnEmulator:
    """SPLIT_PART, which local testing does not have."""

    def one(text: Any, mark: str, number: int) -> str | None:
        if is_null(text):
            return None
        parts = str(text).split(mark)
        return parts[number - 1 if number > 0 else number] if len(parts) >= abs(number) else ""

    return text_column(one(*item) for item in zip(value, by, part, strict=True))


def moment(text: Any, pattern: str) -> datetime | None:
    """A text by one of Snowflake's date formats."""
    marks = {"YYYY": "%Y", "YY": "%y", "MON": "%b", "MM": "%m", "DD": "%d", "HH24": "%H", "HH12": "%I", "MI": "%M", "SS": "%S", "FF": "%f", "AM": "%p"}
    python = re.sub("|".join(sorted(marks, key=len, reverse=True)), lambda match: marks[match[0]], pattern)
    try:
        return None if is_null(text) else datetime.strptime(str(text), python)
    except ValueError:
        return None


@patch("try_to_date")
def try_to_date(value: ColumnEmulator, pattern: ColumnEmulator) -> ColumnEmulator:
    """TRY_TO_DATE with a format, which local testing does not have."""
    found = [moment(v, p) for v, p in zip(value, pattern, strict=True)]
    result = ColumnEmulator(data=[None if item is None else item.date() for item in found], dtype=object)
    result.sf_type = ColumnType(T.DateType(), True)
    return result


@patch("try_to_timestamp_ntz")
def try_to_timestamp_ntz(value: ColumnEmulator, pattern: ColumnEmulator) -> ColumnEmulator:
    """TRY_TO_TIMESTAMP_NTZ with a format, which local testing does not have."""
    result = ColumnEmulator(data=[moment(v, p) for v, p in zip(value, pattern, strict=True)], dtype=object)
    result.sf_type = ColumnType(T.TimestampType(T.TimestampTimeZone.NTZ), True)
    return result


@patch(F.equal_null)
def equal_null(left: ColumnEmulator, right: ColumnEmulator) -> ColumnEmulator:
    """EQUAL_NULL as a function; the method, which local testing has, loses track of its rows after a filter."""
    pairs = zip(left, right, strict=True)
    result = ColumnEmulator(data=[(is_null(a) and is_null(b)) or bool(a == b) for a, b in pairs], dtype=bool)
    result.sf_type = ColumnType(T.BooleanType(), False)
    return result


@patch(F.iff)
def iff(condition: ColumnEmulator, yes: ColumnEmulator, no: ColumnEmulator) -> ColumnEmulator:
    """IFF whose condition may be NULL, which is not true; local testing's own fails where that NULL is pandas' NA."""
    known = ColumnEmulator(data=[not pandas.isna(value) and bool(value) for value in condition], index=condition.index, dtype=bool)
    known.sf_type = condition.sf_type
    return mock_iff.impl(known, yes, no)


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


class Computed:
    """Frames already computed, so that a part that stands in a plan five times is computed once.

    Local testing computes a whole plan to learn its columns, and learns them at each call on a frame.  Of columns it is
    remembered for the test; of rows only while one plan is computed, since between two plans tables change.
    """

    def __init__(self, execute: Any, describe: Any) -> None:
        self.execute_anew, self.describe_anew = execute, describe
        self.of_columns: dict[Any, Any] = {}
        self.of_rows: dict[Any, Any] = {}
        self.describing = self.depth = 0

    def describe(self, plan: Any) -> Any:
        self.describing += 1
        try:
            return self.describe_anew(plan)
        finally:
            self.describing -= 1

    def execute(self, plan: Any, expr_to_alias: Any = None) -> Any:
        known = self.of_columns if self.describing else self.of_rows
        aliases = plan.expr_to_alias if expr_to_alias is None else expr_to_alias
        part = (id(plan), frozenset(aliases.items()))
        if part in known:
            return known[part][1].copy()
        self.depth += 1
        try:
            found = self.execute_anew(plan, expr_to_alias)
        finally:
            self.depth -= 1
            if not self.depth:
                self.of_rows.clear()
        if isinstance(found, TableEmulator):
            found.index = range(len(found))  # a filter leaves gaps, and functions on what is left then mix up rows
            if self.depth or self.describing:
                known[part] = (plan, found.copy())  # with the plan, so that its id is not given to another
        return found


def known_attributes(plan: Any) -> Any:
    """A plan's columns, found out once: local testing computes the whole frame again each time it is asked for them."""
    if plan._attributes is None:
        plan._attributes = _plan.describe(plan)
    return plan._attributes


def in_order(groups: BaseGrouper) -> dict[int, numpy.ndarray]:
    """The rows of each group, the groups in the order in which going over them gives them."""
    ids, _, count = groups.group_info
    by_group = numpy.argsort(ids, kind="stable")
    return dict(enumerate(numpy.split(by_group, numpy.searchsorted(ids[by_group], range(1, count)))))


def inserted(session: Session, rows: DataFrame, to: str, columns: Sequence[str]) -> int:
    """What `writing.insert` does."""
    named = rows.select(*[F.col(column) for column in columns])
    count = named.count()
    writing.append(named, to)
    return count


@contextmanager
def repaired() -> Iterator[None]:
    """Repairs of local testing that are no functions.

    - Ordering: None in a text column may come as NaN, which its comparison does not expect.
    - `REGEXP` fails on NULL; Snowflake gives NULL.
    - A filter leaves gaps in the row numbers of pandas, and functions on what is left then mix up rows.
    - Windows: pandas 2 goes over the partitions of a window in another order than over their rows, and LEAD and LAG need one order.
    - `sql_expr` is missing: expressions of the pipeline files are translated by sqlglot into Columns.
    - `Session.sql` is missing: what an INSERT adds is counted first and added by the client's own way of saving a frame.
    - Plans are computed again and again: see `Computed`.
    - `Session.sql` is missing: what an INSERT adds is counted first and added by the client's own way of saving a frame.
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

        computed = Computed(_plan.execute_mock_plan, _plan.describe)
        monkeypatch.setattr(_plan, "describe", computed.describe)
        monkeypatch.setattr(_plan, "execute_mock_plan", computed.execute)
        monkeypatch.setattr(_plan.MockExecutionPlan, "attributes", property(known_attributes))
        monkeypatch.setattr(BaseGrouper, "indices", property(in_order))
        monkeypatch.setattr(writing, "insert", inserted)
        monkeypatch.setattr(Column, "equal_null", lambda self, other: F.equal_null(self, other))
        monkeypatch.setattr(F, "sql_expr", sql_columns.column)
        yield
