"""History that is right in any order: versions rebuilt from the journal of the touched keys.

An event is a row of silver: key, effective_at, is_deleted, values, batch_no.  Nothing here depends on the order in
which events arrived: the same events give the same versions, whatever the batches were.
"""

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

import snowflake.snowpark.functions as F
from cleaning import precedence, snowpark_type
from snowflake.snowpark import DataFrame, Window
from specs import Dimension


def touched_keys(events: DataFrame, key: Sequence[str], since: int) -> DataFrame:
    """The keys that have events newer than batch `since`; rows without a key have no history."""
    named = reduce(and_, [F.col(column).is_not_null() for column in key])
    newer = events.filter((F.col("batch_no") > F.lit(since)) & named)
    return newer.select(*[F.col(column).alias(f"touched_{column}") for column in key]).distinct()


def journal(events: DataFrame, key: Sequence[str], since: int) -> DataFrame:
    """All events, old and new, of the touched keys."""
    touched = touched_keys(events, key, since)
    same_key = reduce(and_, [F.col(column) == F.col(f"touched_{column}") for column in key])
    return events.join(touched, on=same_key, how="leftsemi")


def instants(events: DataFrame, key: Sequence[str], content_columns: Sequence[str]) -> DataFrame:
    """One event per key and instant: a tombstone wins, then the greatest content (semantics, rules 2 and 3)."""
    same_instant = Window.partition_by(*key, "effective_at").order_by(*precedence(content_columns))
    ranked = events.with_column("instant_rank", F.row_number().over(same_instant))
    return ranked.filter(F.col("instant_rank") == F.lit(1)).drop("instant_rank")


def marked(events: DataFrame, dimension: Dimension, since: int) -> DataFrame:
    """Events, one per instant, with the part each one plays in the history of its key.

    Gives:  key, tracked columns, overwritten columns (each with the latest value known of the key), valid_from,
            valid_to (the next event that opens or closes a version; NULL while there is none), opens (a version
            begins here), is_new (newer than batch `since`), shows (opens, closes or gives the overwritten values)
    A version opens when a tracked column differs, null-safely, from the event before, or when there was no living
    event before.  An event that opens and closes nothing is still the one the next is compared with (rule 15).
    """
    if dimension.on_delete == "ignore":
        events = events.filter(~F.col("is_deleted"))
    in_time = Window.partition_by(*dimension.key).order_by("effective_at")
    latest_first = Window.partition_by(*dimension.key).order_by(F.col("is_deleted"), F.col("effective_at").desc())
    was_absent = F.coalesce(F.lag("is_deleted").over(in_time), F.lit(True))
    differs = reduce(
        or_,
        [~F.col(column).equal_null(F.lag(column).over(in_time)) for column in dimension.tracked],
        F.lit(False),
    )
    compared = events.select(
        *[F.col(column) for column in (*dimension.key, *dimension.tracked)],
        *[F.first_value(F.col(column)).over(latest_first).alias(column) for column in dimension.overwritten],
        F.col("effective_at"),
        F.col("is_deleted"),
        (~F.col("is_deleted") & (was_absent | differs)).alias("opens"),
        (F.col("is_deleted") & ~was_absent).alias("closes"),
        (~F.col("is_deleted") & (F.row_number().over(latest_first) == F.lit(1))).alias("is_latest"),
        (F.col("batch_no") > F.lit(since)).alias("is_new"),
    )
    bounded = compared.with_column(
        "boundary_at", F.iff(F.col("opens") | F.col("closes"), F.col("effective_at"), F.lit(None))
    )
    next_boundary = F.lead("boundary_at", 1, None, True).over(in_time)
    gives_values = F.col("is_latest") if dimension.overwritten else F.lit(False)
    return bounded.select(
        *[F.col(column) for column in (*dimension.key, *dimension.tracked, *dimension.overwritten)],
        F.col("effective_at").alias("valid_from"),
        next_boundary.alias("valid_to"),
        F.col("opens"),
        F.col("is_new"),
        (F.col("opens") | F.col("closes") | gives_values).alias("shows"),
    )


def versions(rows: DataFrame, dimension: Dimension) -> DataFrame:
    """The versions among marked events, one row each: key, values, valid_from, valid_to, is_current."""
    return rows.filter(F.col("opens")).select(
        *[F.col(column) for column in (*dimension.key, *dimension.tracked, *dimension.overwritten)],
        F.col("valid_from"),
        F.col("valid_to"),
        F.col("valid_to").is_null().alias("is_current"),
        F.lit(False).alias("is_inferred"),
    )


def windows(before: DataFrame, after: DataFrame, dimension: Dimension) -> DataFrame:
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
    moment = snowpark_type("timestamp")
    spans = changed.select(
        *[F.coalesce(F.col(f"new_{column}"), F.col(f"old_{column}")).alias(column) for column in key],
        begins.cast(moment).alias("changed_from"),
        ends.cast(moment).alias("changed_to"),
    )
    same_key = reduce(and_, [F.col(column) == F.col(f"member_{column}") for column in key])
    pointed_at = spans.join(members, on=same_key, how="inner")
    return pointed_at.select("durable_key", "changed_from", "changed_to").distinct()
