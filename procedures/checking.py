"""The library of checks on frames: conditions of a row, of its file, and of what came before it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, or_

import snowflake.snowpark.functions as F
import told
from snowflake.snowpark import Column, DataFrame, Window
from snowflake.snowpark.types import DataType
from spec_columns import OF_FILES, OF_SILVER, constant
from specs import Check, Source

FILE = ("file_name", "content_key", "loaded_at")
NEVER = 10**15  # above any row's number
ARRIVAL = ("loaded_at", "file_name", "row_number", "content_key")


def condition(check: Check, types: Mapping[str, str]) -> Column:
    """What must be TRUE of a row.

    Reads: columns of these types, file_name, content_key, loaded_at, effective_at, and what `with_references` adds
    """
    columns = [F.col(name) for name in check.columns]
    kind = types.get(check.columns[0], "text") if check.columns else "text"
    if check.test == "required":
        return reduce(and_, [column.is_not_null() for column in columns])
    if check.test == "not_in_future":
        return columns[0] <= F.col("loaded_at")
    if check.test == "one_of":
        return columns[0].in_([F.lit(constant(str(value), kind)) for value in check.values])
    if check.test == "between":
        return within(columns[0], [None if end is None else constant(end, kind) for end in check.values])
    if check.test == "matches":
        return columns[0].rlike(F.lit(f"^({check.values[0]})$"))
    if check.test == "length":
        return within(F.length(columns[0]), [None if end is None else int(end) for end in check.values])
    if check.test == "row_count":
        rows = F.count(F.lit(1)).over(Window.partition_by(*FILE))
        return within(rows, [None if end is None else int(end) for end in check.values])
    if check.test == "freshness":
        newest = F.max(F.col("effective_at")).over(Window.partition_by(*FILE))
        return newest >= F.dateadd("second", F.lit(-int(str(check.values[0]))), F.col("loaded_at"))
    if check.test == "references":
        return F.col(f"{check.name}_known").is_not_null()
    raise AssertionError(check.test)


def within(value: Column, ends: list) -> Column:
    """Both ends belong to it; NULL is without end."""
    low, high = ends
    if low is None or high is None:
        return value >= F.lit(low) if low is not None else value <= F.lit(high)
    return value.between(F.lit(low), F.lit(high))


def is_of_file(check: Check) -> bool:
    """Whether a check judges a file, tombstones and all."""
    return check.test in OF_FILES


def without_file_checks(source: Source) -> Source:
    """The source as its single rows are judged."""
    return replace(source, checks=tuple(check for check in source.checks if not is_of_file(check)))


def of_rows(source: Source) -> Source:
    """The source with the checks that need nothing but their row."""
    return replace(source, checks=tuple(check for check in source.checks if check.test not in (*OF_FILES, *OF_SILVER)))


def with_references(rows: DataFrame, source: Source, others: Mapping[str, DataFrame], types: Mapping[str, DataType]) -> DataFrame:
    """Rows with `<check>_known`: the value as another source's living events have it, NULL where none does.

    `others` are silver tables by source.  A reference is judged once, when its row is loaded; the load of the other
    source comes before, in every run.
    """
    given = rows
    for check in source.checks:
        if check.test == "references":
            other, column = str(check.values[0]), str(check.values[1])
            living = others[other].filter(~F.col("is_deleted")).select(F.col(column).alias(f"{check.name}_known"))
            value = types[check.columns[0]]
            held = told.remembered(living, [f"{check.name}_known"], {f"{check.name}_known": value})
            known = told.distinct(asked_for(held, (f"{check.name}_known",), given, (check.columns[0],), {check.columns[0]: value}))
            rows = rows.join(known, on=F.col(check.columns[0]) == F.col(f"{check.name}_known"), how="left")
    return rows


def with_owners(
    rows: DataFrame, silver: DataFrame, source: Source, columns: tuple[str, ...], types: Mapping[str, DataType]
) -> DataFrame:
    """Checked rows with what the `unique` checks found: their names join failed_checks or warned_checks.

    Values belong to the key that brought them first: to the one in silver, else to the first row that passes all
    other checks, in the order of arrival.  A row of another key fails, however the rows fall into batches, and also
    when that key has other values by now.  Values with a NULL among them belong to nobody.
    """
    given = rows
    binding = sorted((check for check in source.checks if check.test == "unique"), key=lambda check: check.otherwise == "warn")
    for check in binding:
        used = tuple(dict.fromkeys((*source.key, *check.columns)))
        living = told.remembered(silver.filter(~F.col("is_deleted")).select(*[F.col(name) for name in used]), used, types)
        rows = with_owner(rows, asked_for(living, check.columns, given, check.columns, types), source, check, columns)
    return rows


def asked_for(
    silver: DataFrame, held: Sequence[str], batch: DataFrame, given: Sequence[str], types: Mapping[str, DataType]
) -> DataFrame:
    """Rows of silver whose values the batch names: what is grouped and joined then grows with the batch, not with history."""
    asked = {f"asked_{place}": name for place, name in enumerate(given)}
    values = batch.select(*[F.col(name).alias(to) for to, name in asked.items()])
    known = told.remembered(values, list(asked), {to: types[name] for to, name in asked.items()})
    return told.joined(silver, told.distinct(known), reduce(and_, [F.col(a) == F.col(b) for a, b in zip(held, asked, strict=True)]), "leftsemi")


def with_owner(rows: DataFrame, living: DataFrame, source: Source, check: Check, columns: tuple[str, ...]) -> DataFrame:
    low = {name: f"{check.name}_low_{name}" for name in source.key}
    high = {name: f"{check.name}_high_{name}" for name in source.key}
    held = {name: f"{check.name}_of_{name}" for name in check.columns}
    owners = living.group_by(*check.columns).agg(
        *[F.min(F.col(name)).alias(low[name]) for name in source.key],
        *[F.max(F.col(name)).alias(high[name]) for name in source.key],
    )
    owners = owners.select(*[F.col(name).alias(held[name]) for name in check.columns], *[F.col(x) for x in (*low.values(), *high.values())])
    same = reduce(and_, [F.col(name) == F.col(held[name]) for name in check.columns])
    claims = (F.col("failed_checks") == F.lit("")) & ~F.col("is_deleted") & ~F.col("is_repeat")
    if source.truncate_when:
        claims &= ~F.col("is_truncate")
    arrival = Window.partition_by(*check.columns).order_by(*[F.col(name) for name in ARRIVAL])
    numbered = rows.with_column("arrival_no", F.row_number().over(arrival))
    marked = numbered.with_column("claim_no", F.iff(claims, F.col("arrival_no"), F.lit(None)))
    first = Window.partition_by(*check.columns).order_by(F.col("claim_no").asc_nulls_last(), F.col("arrival_no"))
    joined = marked.join(owners, on=same, how="left")
    in_batch = F.col("arrival_no") > F.coalesce(F.first_value(F.col("claim_no")).over(first), F.lit(NEVER))
    known = F.col(low[source.key[0]]).is_not_null()
    others_in_batch = [~F.col(name).equal_null(F.first_value(F.col(name)).over(first)) for name in source.key]
    others_in_silver = [(F.col(name) != F.col(low[name])) | (F.col(name) != F.col(high[name])) for name in source.key]
    is_given = reduce(and_, [F.col(name).is_not_null() for name in check.columns]) & ~F.col("is_deleted")
    taken = F.iff(known, F.coalesce(reduce(or_, others_in_silver), F.lit(True)), in_batch & reduce(or_, others_in_batch))
    target = "warned_checks" if check.otherwise == "warn" else "failed_checks"
    words = F.trim(F.concat(F.col(target), F.iff(is_given & taken, F.lit(f",{check.name}"), F.lit(""))), F.lit(","))
    return joined.select(*[words.alias(target) if name == target else F.col(name) for name in columns])


