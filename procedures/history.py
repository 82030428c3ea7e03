"""History that is right in any order: outcomes of events become versions, and versions are compared."""

from functools import reduce
from operator import and_, or_

import snowflake.snowpark.functions as F
from cleaning import snowpark_type
from history_events import is_partial, prefixed, same
from snowflake.snowpark import Column, DataFrame, Window
from specs import Dimension, Source

WHOLE = (Window.UNBOUNDED_PRECEDING, Window.UNBOUNDED_FOLLOWING)


def marked(rows: DataFrame, dimension: Dimension, source: Source, since: int) -> DataFrame:
    """Outcomes of events, one per key and instant, with the part each one plays in the history of its key.

    Gives:  key, attributes of a version, valid_from, valid_to (the next event that opens or closes a version; NULL
            while there is none), opens (a version begins here), is_new (newer than batch `since`), shows (opens,
            closes or gives values), is_last (of its key), is_gone (a tombstone), known_from
    A version opens when a tracked column differs, null-safely, from the event before, or when there was no living
    event before.  An event that opens and closes nothing is still the one the next is compared with (rule 15).
    Where deletions are versions, one begins with the values that held until then.
    """
    key, in_time = dimension.key, Window.partition_by(*dimension.key).order_by("effective_at")
    was_absent = F.coalesce(F.lag("is_deleted").over(in_time), F.lit(True))
    compared = rows.select(
        *[F.col(column) for column in key],
        *[held(column, dimension).alias(column) for column in (*dimension.tracked, *dimension.version)],
        *[constant.alias(column) for column, constant in of_key(dimension, source).items()],
        *[F.col(column) for column in ("effective_at", "is_deleted", "batch_no", "known_from")],
        (~F.col("is_deleted") & (was_absent | changes(dimension))).alias("begins"),
        (F.col("is_deleted") & ~was_absent).alias("ends"),
        F.row_number().over(living_newest_first(dimension)).alias("living_rank"),
        F.row_number().over(living_oldest_first(dimension, source)).alias("age_rank"),
        F.row_number().over(Window.partition_by(*key).order_by(F.col("effective_at").desc())).alias("last_rank"),
    )
    is_boundary = F.col("begins") | F.col("ends")
    bounded = compared.select(
        *[F.col(column) for column in compared_columns(dimension)],
        F.iff(is_boundary, F.col("effective_at"), F.lit(None)).alias("boundary_at"),
        *([runs(is_boundary, dimension).alias("run_no")] if dimension.version else []),
    )
    opens = is_boundary if dimension.keeps_deletions else F.col("begins")
    played = bounded.select(
        *[F.col(column) for column in (*key, *dimension.tracked)],
        *[last_inside(column, dimension).alias(column) for column in dimension.version],
        *[F.col(column) for column in dimension.of_key],
        *([F.col("is_deleted")] if dimension.keeps_deletions else []),
        F.col("effective_at").alias("valid_from"),
        F.lead("boundary_at", 1, None, True).over(in_time).alias("valid_to"),
        opens.alias("opens"),
        (F.col("batch_no") > F.lit(since)).alias("is_new"),
        (is_boundary | gives_values(dimension)).alias("shows"),
        (F.col("last_rank") == F.lit(1)).alias("is_last"),
        F.col("is_deleted").alias("is_gone"),
        F.col("known_from"),
    )
    return played.select(*[F.col(column) for column in stage_columns(dimension)])


def stage_columns(dimension: Dimension) -> tuple[str, ...]:
    """The columns of a history in hand, in the order of its stage table."""
    marks = ("opens", "is_new", "shows", "is_last", "is_gone", "known_from")
    return (*dimension.key, *dimension.attributes, "valid_from", "valid_to", *marks)


def compared_columns(dimension: Dimension) -> tuple[str, ...]:
    ranks = ("begins", "ends", "living_rank", "age_rank", "last_rank")
    return (
        *(*dimension.key, *dimension.tracked, *dimension.version, *dimension.of_key),
        *("effective_at", "is_deleted", "batch_no", "known_from", *ranks),
    )


def changes(dimension: Dimension) -> Column:
    """Whether a tracked column differs from the event before; NULL equals NULL."""
    in_time = Window.partition_by(*dimension.key).order_by("effective_at")
    differ = [~F.col(column).equal_null(F.lag(column).over(in_time)) for column in dimension.tracked]
    return reduce(or_, differ, F.lit(False))


def held(column: str, dimension: Dimension) -> Column:
    """The value an event leaves; for a deletion that is a version, the one that held until then."""
    if not dimension.keeps_deletions:
        return F.col(column)
    in_time = Window.partition_by(*dimension.key).order_by("effective_at")
    return F.iff(F.col("is_deleted"), F.lag(column).over(in_time), F.col(column))


def living_newest_first(dimension: Dimension) -> Window:
    return Window.partition_by(*dimension.key).order_by(F.col("is_deleted"), F.col("effective_at").desc())


def living_oldest_first(dimension: Dimension, source: Source, column: str = "") -> Window:
    """Living events, oldest first; where events are partial, first those that say something of a column."""
    unsaid = [F.col(f"unsaid_{column}")] if column and is_partial(dimension, source) else []
    return Window.partition_by(*dimension.key).order_by(F.col("is_deleted"), *unsaid, F.col("effective_at"))


def of_key(dimension: Dimension, source: Source) -> dict[str, Column]:
    """The values that are equal on all versions of a key: the latest, or the first, that a living event gave."""
    latest = {column: column for column in dimension.overwritten}
    latest |= {f"current_{column}": column for column in dimension.current}
    first = {
        column: F.first_value(F.col(column)).over(living_oldest_first(dimension, source, column))
        for column in dimension.original
    }
    values = {
        name: F.first_value(F.col(column)).over(living_newest_first(dimension)) for name, column in latest.items()
    } | first
    return {name: values[name] for name in dimension.of_key}


def runs(is_boundary: Column, dimension: Dimension) -> Column:
    """A number for the events from one boundary to the next."""
    so_far = Window.partition_by(*dimension.key).order_by("effective_at")
    here = so_far.rows_between(Window.UNBOUNDED_PRECEDING, Window.CURRENT_ROW)
    return F.count(F.iff(is_boundary, F.lit(1), F.lit(None))).over(here)


def last_inside(column: str, dimension: Dimension) -> Column:
    """The last value between two boundaries; a deletion keeps the one it began with."""
    run = Window.partition_by(*dimension.key, "run_no").order_by("effective_at").rows_between(*WHOLE)
    last = F.last_value(F.col(column)).over(run)
    return F.iff(F.col("is_deleted"), F.col(column), last) if dimension.keeps_deletions else last


def gives_values(dimension: Dimension) -> Column:
    """Events that show in columns that open no version: the latest living one, or the first."""
    gives = F.lit(False)
    if dimension.overwritten or dimension.current:
        gives |= ~F.col("is_deleted") & (F.col("living_rank") == F.lit(1))
    if dimension.original:
        gives |= ~F.col("is_deleted") & (F.col("age_rank") == F.lit(1))
    if dimension.version:
        run = Window.partition_by(*dimension.key, "run_no").order_by(F.col("effective_at").desc())
        gives |= ~F.col("is_deleted") & (F.row_number().over(run) == F.lit(1))
    return gives


def versions(rows: DataFrame, dimension: Dimension) -> DataFrame:
    """The versions among marked events, one row each: key, attributes, valid_from, valid_to, is_current."""
    return rows.filter(F.col("opens")).select(
        *[F.col(column) for column in (*dimension.key, *dimension.attributes)],
        F.col("valid_from"),
        F.col("valid_to"),
        F.col("valid_to").is_null().alias("is_current"),
        F.lit(False).alias("is_inferred"),
    )


def windows(before: DataFrame, after: DataFrame, dimension: Dimension, sequence_type: str = "timestamp") -> DataFrame:
    """The times at which a key has another version, or none, or a first one (rule 35).

    Reads:  before  key, durable key, valid_from, valid_to: the versions as they stand
            after   key, valid_from, valid_to: the versions as they will be
    Gives:  durable_key, changed_from, changed_to (NULL: without end)
    A version that only ends elsewhere changes between its old end and its new one.  A key that had no version gives
    no row: no fact can point to it.
    """
    key, durable_key = dimension.key, dimension.durable_key
    old = before.select(
        *[F.col(column).alias(f"old_{column}") for column in key],
        F.col("valid_from").alias("old_from"),
        F.col("valid_to").alias("old_to"),
    )
    new = after.select(
        *[F.col(column).alias(f"new_{column}") for column in key],
        F.col("valid_from").alias("new_from"),
        F.col("valid_to").alias("new_to"),
    )
    members = before.select(
        *[F.col(column).alias(f"member_{column}") for column in key], F.col(durable_key).alias("durable_key")
    ).distinct()
    same = [F.col(f"new_{column}") == F.col(f"old_{column}") for column in key]
    pairs = new.join(old, on=reduce(and_, same, F.col("new_from") == F.col("old_from")), how="full")
    is_new, is_old = F.col("old_from").is_null(), F.col("new_from").is_null()
    changed = pairs.filter(is_new | is_old | ~F.col("new_to").equal_null(F.col("old_to")))
    # No end is later than any end; where one end is open, the other is the earlier.
    shortened = F.col("old_to").is_null() | (F.col("new_to") < F.col("old_to"))
    earlier_end = F.iff(shortened, F.col("new_to"), F.col("old_to"))
    later_end = F.iff(shortened, F.col("old_to"), F.col("new_to"))
    begins = F.when(is_new, F.col("new_from")).when(is_old, F.col("old_from")).otherwise(earlier_end)
    ends = F.when(is_new, F.col("new_to")).when(is_old, F.col("old_to")).otherwise(later_end)
    moment = snowpark_type(sequence_type)
    spans = changed.select(
        *[F.coalesce(F.col(f"new_{column}"), F.col(f"old_{column}")).alias(column) for column in key],
        begins.cast(moment).alias("changed_from"),
        ends.cast(moment).alias("changed_to"),
    )
    same_key = reduce(and_, [F.col(column) == F.col(f"member_{column}") for column in key])
    pointed_at = spans.join(members, on=same_key, how="inner")
    return pointed_at.select("durable_key", "changed_from", "changed_to").distinct()
