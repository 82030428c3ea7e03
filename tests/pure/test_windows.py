"""Which facts have to point elsewhere after a dimension has changed (design/semantics.md, rule 35)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import history
import pytest
import snowflake.snowpark.functions as F
import specs
from frames import rows
from snowflake.snowpark import types as T

CUSTOMER = specs.Dimension("dim_customer", "customers", ("id",), tracked=(), overwritten=())


def day(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, 1) + dt.timedelta(days=number - 1)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param("10-", "10-", "", id="nothing changed"),
        pytest.param("10-", "10-20, 20-", "20-", id="a new version splits the open one"),
        pytest.param("10-", "5-", "10-, 5-", id="a version that begins elsewhere is another version"),
        pytest.param("10-20", "10-", "20-", id="a version opened again"),
        pytest.param("10-30", "10-20", "20-30", id="an end moved back"),
        pytest.param("10-20, 20-", "10-", "20-", id="a version that went"),
        pytest.param("", "10-", "", id="a new key: no fact points to it"),
    ],
)
def test_windows_tell_when_another_version_holds(session, before, after, changed):
    def spans(text: str) -> list[tuple[Any, ...]]:
        pairs = [part.split("-") for part in text.split(", ") if part]
        return [(1, 7, day(int(a)), day(int(b)) if b else None) for a, b in pairs]

    ntz = T.TimestampType(T.TimestampTimeZone.NTZ)
    columns = {"id": T.LongType(), "customer_key": T.LongType(), "valid_from": ntz, "valid_to": ntz}
    schema = T.StructType([T.StructField(name, kind) for name, kind in columns.items()])
    old, new = (session.create_dataframe(spans(text), schema=schema) for text in (before, after))

    def versions(spans_: Any, with_keys: bool) -> Any:
        rows_ = spans_.with_column("is_current", F.col("valid_to").is_null()).with_column("is_inferred", F.lit(False))
        return rows_.with_column("customer_version_key", F.lit(1)) if with_keys else rows_.drop("customer_key")

    found = rows(history.windows(history.pairs(versions(old, True), versions(new, False), CUSTOMER)))

    expected = sorted(
        ({"durable_key": key, "changed_from": a, "changed_to": b} for _, key, a, b in spans(changed)), key=repr
    )
    assert found == expected
