"""KPIs: numbers per period and group, computed again only where a fact was touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import and_

import snowflake.snowpark.functions as F
import told
from cleaning import snowpark_type, sql_column
from expressions import tokens
from snowflake.snowpark import Column, DataFrame
from snowflake.snowpark.types import DataType
from specs import Fact, Kpi

UNTOLD: Mapping[str, DataType] = {}  # types that nobody told: the client asks the server


def period_of(at: str, period: str) -> Column:
    """First day of the period a timestamp lies in, UTC."""
    return F.date_trunc(period, F.col(at)).cast(snowpark_type("date"))


def names_keys(kpi: Kpi, fact: Fact) -> bool:
    """Whether a KPI asks where its facts point: by, filter or measures name a surrogate key."""
    texts = [kpi.where, *(measure.expression for measure in kpi.measures)]
    words = {piece.text.lower() for text in texts for piece in tokens(text)} | set(kpi.by)
    return bool(words & set(fact.keys()))


@dataclass(frozen=True)
class Reach:
    """What was touched in numbers: rows noted, those of them that name a period, and the first and last period."""

    count: int
    dated: int
    first: date | None
    last: date | None


def touched(rows: DataFrame, kpi: Kpi, fact: Fact, types: Mapping[str, DataType] = UNTOLD) -> DataFrame:
    """The periods, or without periods the groups, in which these facts lie."""
    scope = [period_of(fact.at, kpi.period).alias(kpi.period)] if kpi.period else [F.col(name) for name in kpi.by]
    return told.distinct(told.told(rows.select(*scope), types))


def span(touched_: DataFrame, kpi: Kpi) -> DataFrame:
    """What was touched in numbers, one row: the fields of Reach.  Of a KPI without periods, nothing is dated."""
    dated = F.col(kpi.period) if kpi.period else F.lit(None).cast(snowpark_type("date"))
    return touched_.select(dated.alias("period_start")).agg(
        F.count(F.lit(1)).alias("touched_count"),
        F.count(F.col("period_start")).alias("dated_count"),
        F.min(F.col("period_start")).alias("first_period"),
        F.max(F.col("period_start")).alias("last_period"),
    )


def again(facts: DataFrame, kpi: Kpi, fact: Fact, scope: DataFrame, reach: Reach) -> DataFrame:
    """The KPI's rows of the touched scope; where all of it is dated, from facts between its ends alone.

    A range of time is found without reading every fact.  Where one period was touched, the range is the scope.
    """
    if not kpi.period or reach.dated < reach.count or reach.first is None or reach.last is None:
        return measured(facts, kpi, fact, scope)
    near = within(facts, kpi, fact, reach.first, reach.last)
    return measured(near, kpi, fact, scope if reach.first < reach.last else None)


def within(facts: DataFrame, kpi: Kpi, fact: Fact, first: date, last: date) -> DataFrame:
    """Facts between two periods, both included: a range of time is found without reading every fact."""
    end = F.dateadd(kpi.period, F.lit(1), F.lit(last).cast(snowpark_type("timestamp")))
    return facts.filter((F.col(fact.at) >= F.lit(first)) & (F.col(fact.at) < end))


def measured(facts: DataFrame, kpi: Kpi, fact: Fact, scope: DataFrame | None = None) -> DataFrame:
    """The KPI's rows, of the touched periods or groups when a scope is given, else all.

    A period without a row that passes the filter gives no row.
    """
    rows = facts
    if kpi.where:
        rows = rows.filter(sql_column(kpi.where))
    if kpi.period:
        rows = told.with_column(rows, "in_period", period_of(fact.at, kpi.period), snowpark_type("date"))
    if scope is not None:
        named = {column: "in_period" if column == kpi.period else column for column in kpi.scope}
        wanted = scope.select(*[F.col(column).alias(f"wanted_{column}") for column in kpi.scope])
        same = [F.col(own).equal_null(F.col(f"wanted_{column}")) for column, own in named.items()]
        rows = told.joined(rows, wanted, reduce(and_, same), "leftsemi")
    groups = [*(["in_period"] if kpi.period else []), *kpi.by]
    numbers = rows.group_by(*groups).agg(
        *[sql_column(measure.expression).alias(f"measured_{measure.name}") for measure in kpi.measures]
    )
    return numbers.select(
        *([F.col("in_period").alias(kpi.period)] if kpi.period else []),
        *[F.col(column) for column in kpi.by],
        *[
            F.col(f"measured_{measure.name}").cast(snowpark_type(measure.type)).alias(measure.name)
            for measure in kpi.measures
        ],
    )
