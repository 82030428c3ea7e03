"""Quarantined rows as frames: as bronze gave them, with corrections, and what would become of them now."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import names
import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
from expressions import unknown
from snowflake.snowpark import Column, DataFrame
from specs import Column as SourceColumn
from specs import Source

PLACE = ("content_key", "row_number")  # what a row of a source is known by


class CorrectionRefused(ValueError):
    """A correction that names no column of the source, or gives it something that no file could hold."""


def values_now() -> Column:
    """A row's values as received, with the corrections made since."""
    return F.coalesce(F.col("corrected_values"), F.col("row_values"))


def checks_now() -> Column:
    """The checks a row failed when it was last looked at."""
    return F.coalesce(F.col("newest_checks"), F.col("failed_checks"))


def of_source(rows: DataFrame, pipeline: str, source: str, status: str) -> DataFrame:
    """The rows of one source that have a status: waiting, released or discarded."""
    own = (F.col("pipeline") == F.lit(pipeline)) & (F.col("source") == F.lit(source))
    return rows.filter(own & (F.col("status") == F.lit(status)))


def meant(which: str) -> Column:
    """Rows that failed a check of this name, or the one row with this quarantine_id."""
    failed = F.array_contains(F.to_variant(F.lit(which)), checks_now())
    return failed | (F.col("quarantine_id") == F.lit(which))


def as_bronze(rows: DataFrame, source: Source) -> DataFrame:
    """Rows of the quarantine as a load would take them from bronze: their texts, or the record, under their old place.

    Bronze itself is not asked: it may have been swept.  A column the row was received without is NULL, as in bronze;
    of a record the keys it did not have stay absent.
    """
    if source.format == "json":
        values = [values_now().alias("record")]
    else:
        stored = dict.fromkeys(column.received_as or column.name for column in source.columns if not column.expression)
        values = [values_now()[name].cast(T.StringType()).alias(name) for name in stored]
    return rows.select(
        *[F.col(name).alias(f"_{name}") for name in names.PROVENANCE], *values, F.lit(False).alias("is_repeat")
    )


def decided(rows: DataFrame, waiting: DataFrame) -> DataFrame:
    """What became of each waiting row.

    Reads:  rows with their outcome, as `with_outcome` gives them or the stage table holds them
    Gives:  quarantine_id, waited_for, now_outcome (event, duplicate, quarantined), now_failed; checks with commas between
    """
    now = rows.select(
        *[F.col(name).alias(f"now_{name}") for name in (*PLACE, "outcome")], F.col("failed_checks").alias("now_failed")
    )
    before = waiting.select(
        F.col("quarantine_id"), as_text(checks_now()).alias("waited_for"), *[F.col(name) for name in PLACE]
    )
    same = (F.col("content_key") == F.col("now_content_key")) & (F.col("row_number") == F.col("now_row_number"))
    return before.join(now, on=same, how="inner").select("quarantine_id", "waited_for", "now_outcome", "now_failed")


def as_array(checks: Column) -> Column:
    """The names of checks, written with commas between, as an array; an empty text is no check."""
    return F.iff(checks == F.lit(""), F.array_construct(), F.split(checks, F.lit(",")))


def as_text(checks: Column) -> Column:
    """The names in an array with commas between."""
    return F.array_to_string(checks, F.lit(","))


def corrections(source: Source, values: Any) -> list[tuple[SourceColumn, str]]:
    """Columns and their new values, each as JSON; raises CorrectionRefused where no file could have said so.

    `values` is an object, or its text, from names of columns to what the file should have held: a text, a number, a
    Boolean, or null; for a column of type variant anything.
    """
    given = read(values)
    known = {column.name: column for column in source.columns if not column.expression}
    checked: list[tuple[SourceColumn, str]] = []
    for name, value in given.items():
        column = known.get(str(name).lower())
        if column is None:
            derived = {column.name for column in source.columns if column.expression}
            reason = f"`{name}` is derived; correct what it is derived from." if name in derived else ""
            raise CorrectionRefused(f"{source.name}: {reason or unknown('column', str(name).lower(), known)}")
        if isinstance(value, (Mapping, list)) and column.type != "variant":
            raise CorrectionRefused(f"{source.name}.{name}: found {json.dumps(value)}, expected a text, as a file would hold it.")
        checked.append((column, as_json(value, source)))
    return checked


def read(values: Any) -> Mapping[str, Any]:
    """The object a caller gave, be it as an object or as text."""
    found = values
    if isinstance(values, str):
        try:
            found = json.loads(values, parse_float=str)
        except ValueError as error:
            raise CorrectionRefused(f"the values are no JSON ({error}); expected {{\"column\": \"value as received\"}}") from error
    if not isinstance(found, Mapping) or not found:
        raise CorrectionRefused(f"found {json.dumps(found, default=str)}, expected {{\"column\": \"value as received\"}}")
    return found


def as_json(value: Any, source: Source) -> str:
    """A value as JSON: as it is in a record; in a file of rows all are texts.

    >>> as_json(30, Source("orders", "", "csv", (), "", ())), as_json(None, Source("orders", "", "csv", (), "", ()))
    ('"30"', 'null')
    """
    if source.format == "json" or value is None or isinstance(value, str):
        return json.dumps(value)
    return json.dumps(json.dumps(value))


def place_of(column: SourceColumn, source: Source) -> tuple[str, ...]:
    """The keys under which a column's value stands in the values as received."""
    own = (column.received_as or column.name,)
    return (column.path or own) if source.format == "json" else own


def value_at(values: Column, keys: Sequence[str]) -> Column:
    for key in keys:
        values = values[key]
    return values


def with_value(values: Column, keys: Sequence[str], value: Column) -> Column:
    """The object with a value at a place; what is no object there becomes one."""
    key, *rest = keys
    inner = with_value(values[key], rest, value) if rest else value
    held = F.coalesce(F.as_object(values), F.object_construct())
    return F.object_insert(held, F.lit(key), inner, F.lit(True))
