"""KPIs: numbers per period and group, computed again only where a fact was touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import and_

import names
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

    @property
    def is_range(self) -> bool:
        """Whether all of it lies between two periods."""
        return self.dated == self.count and self.first is not None

    @property
    def is_period(self) -> bool:
        """Whether all of it is one period."""
        return self.is_range and self.first == self.last


def touched(rows: DataFrame, kpi: Kpi, fact: Fact, types: Mapping[str, DataType] = UNTOLD) -> DataFrame:
    """The periods, or without periods the groups, in which these facts lie."""
    scope = [period_of(fact.at, kpi.period).alias(kpi.period)] if kpi.period else [F.col(name) for name in kpi.by]
    return told.distinct(told.told(rows.select(*scope), types))


def counted_again(facts: DataFrame, kpi: Kpi, fact: Fact, touched_: DataFrame, reach: Reach | None) -> DataFrame:
    """The facts that a KPI counts in the touched scope, or without a reach all of them, with the period of each as `in_period`.

    Where all of it is dated, from facts between its ends alone: a range of time is found without reading every fact.
    Where one period was touched, the range is the scope.
    """
    if reach is None:
        return counted(facts, kpi, fact)
    near = within(facts, kpi, fact, reach.first, reach.last) if reach.is_range else facts
    return counted(near, kpi, fact, None if reach.is_period else told.distinct(touched_.select(*kpi.scope)))


def standing(numbers: DataFrame, kpi: Kpi, touched_: DataFrame, reach: Reach | None) -> DataFrame:
    """The rows of the KPI's table in the touched scope, or without a reach all of them."""
    if reach is None:
        return numbers
    if reach.is_period:
        return numbers.filter(F.col(kpi.period) == F.lit(reach.first))
    return in_scope(numbers, told.distinct(touched_.select(*kpi.scope)), {column: column for column in kpi.scope})


def any_of(rows: DataFrame) -> DataFrame:
    """A number: 1 where there are rows, and 0 where there are none."""
    return rows.limit(1).agg(F.count(F.lit(1)).alias("any_count"))


def accounts(groups_: DataFrame, rows: DataFrame, batch_no: int) -> tuple[DataFrame, DataFrame]:
    """A number each: the groups that the facts make, and of the KPI's rows those that a batch left as they were."""
    alike = rows.filter(F.col("batch_no") != F.lit(batch_no))
    return groups_.agg(F.count(F.lit(1)).alias("read_count")), alike.agg(F.count(F.lit(1)).alias("alike_count"))


def within(facts: DataFrame, kpi: Kpi, fact: Fact, first: date, last: date) -> DataFrame:
    """Facts between two periods, both included: a range of time is found without reading every fact."""
    end = F.dateadd(kpi.period, F.lit(1), F.lit(last).cast(snowpark_type("timestamp")))
    return facts.filter((F.col(fact.at) >= F.lit(first)) & (F.col(fact.at) < end))


def measured(facts: DataFrame, kpi: Kpi, fact: Fact, scope: DataFrame | None = None) -> DataFrame:
    """The KPI's rows, of the touched periods or groups when a scope is given, else all.

    A period without a row that passes the filter gives no row.
    """
    return numbers(counted(facts, kpi, fact, scope), kpi)


def counted(facts: DataFrame, kpi: Kpi, fact: Fact, scope: DataFrame | None = None) -> DataFrame:
    """The facts a KPI counts, of a scope or all, with the period each lies in as `in_period`."""
    rows = facts.filter(sql_column(kpi.where)) if kpi.where else facts
    if kpi.period:
        rows = told.with_column(rows, "in_period", period_of(fact.at, kpi.period), snowpark_type("date"))
    if scope is None:
        return rows
    return in_scope(rows, scope, {column: "in_period" if column == kpi.period else column for column in kpi.scope})


def numbers(rows: DataFrame, kpi: Kpi) -> DataFrame:
    """What counted facts come to: the KPI's rows."""
    grouped, measured_ = rows.group_by(*(["in_period"] if kpi.period else []), *kpi.by), names.apart("measured", kpi.by)
    found = grouped.agg(*[sql_column(measure.expression).alias(f"{measured_}_{measure.name}") for measure in kpi.measures])
    return found.select(
        *groups_of(kpi),
        *[
            F.col(f"{measured_}_{measure.name}").cast(snowpark_type(measure.type)).alias(measure.name)
            for measure in kpi.measures
        ],
    )


def groups(rows: DataFrame, kpi: Kpi, reach: Reach | None, types: Mapping[str, DataType] = UNTOLD) -> DataFrame:
    """The groups that counted facts make, each once, without their numbers: one fact says it where a period is not divided."""
    named = told.told(rows.select(*groups_of(kpi)), types)
    return named.limit(1) if reach and reach.is_period and not kpi.by else told.distinct(named)


def groups_of(kpi: Kpi) -> list[Column]:
    return [*([F.col("in_period").alias(kpi.period)] if kpi.period else []), *[F.col(column) for column in kpi.by]]


def in_scope(rows: DataFrame, scope: DataFrame, named: Mapping[str, str]) -> DataFrame:
    """Rows whose columns, each named for a column of the scope, are in it; NULL is in it where the scope has NULL."""
    prefix = names.apart("wanted", told.types_of(rows) or ())
    wanted = scope.select(*[F.col(column).alias(f"{prefix}_{column}") for column in named])
    same = [F.col(own).equal_null(F.col(f"{prefix}_{column}")) for column, own in named.items()]
    return told.joined(rows, wanted, reduce(and_, same), "leftsemi")
