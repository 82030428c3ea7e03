"""The short way: a key whose new events are all newer than everything known of it needs only its last version.

Its versions before the last one stand; the last one, as an event of its own, and the new events give the rest.  The
answer is the same as that of the journal, which late keys still go through.
"""

import snowflake.snowpark.functions as F
from cleaning import snowpark_type
from history_events import event_types, has_key, of_keys, prefixed, same
from snowflake.snowpark import Column, DataFrame, Window
from specs import Dimension, Source


def is_possible(dimension: Dimension, source: Source, since: int) -> bool:
    """Whether the last version tells all that must be known of a key.

    It does not where events reach keys they do not name (truncations, snapshots), where absence has to be remembered
    value by value, and where a deletion is a version of its own.
    """
    reaches_others = bool(source.truncate_when) or source.is_snapshot
    return since > 0 and not (reaches_others or source.remembers_absence or dimension.keeps_deletions)


def arrivals(events: DataFrame, dimension: Dimension, since: int) -> DataFrame:
    """The keys of new events, each with the first instant it is spoken of: new_<key>, new_at."""
    new = events.filter((F.col("batch_no") > F.lit(since)) & has_key(dimension.key))
    first = new.group_by(*dimension.key).agg(F.min(F.col("effective_at")).alias("new_at"))
    return first.select(*[F.col(column).alias(f"new_{column}") for column in dimension.key], F.col("new_at"))


def late_keys(events: DataFrame, dimension: Dimension, since: int, floor: Column) -> DataFrame:
    """Keys with a new event that is not newer than all events known of them, as touched_….

    `floor`, the first instant of all new events, lets the warehouse pass over the older part of the journal.
    """
    key = dimension.key
    old = events.filter((F.col("batch_no") <= F.lit(since)) & (F.col("effective_at") >= floor)).select(*key, "effective_at")
    not_older = same(key, [f"new_{column}" for column in key]) & (F.col("effective_at") >= F.col("new_at"))
    known = old.join(arrivals(events, dimension, since), on=not_older, how="leftsemi")
    return prefixed(known, key, "touched").distinct()


def last_versions(current: DataFrame, events: DataFrame, dimension: Dimension, since: int) -> DataFrame:
    """The last version of each key that has new events; a member that only facts have spoken of has none."""
    key = dimension.key
    newest = Window.partition_by(*key).order_by(F.col("valid_from").desc())
    real = of_keys(current.filter(~F.col("is_inferred")), arrivals(events, dimension, since), key, "new")
    return real.with_column("age_rank", F.row_number().over(newest)).filter(F.col("age_rank") == F.lit(1))


def seeds(last: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """The last versions as events: what they began with, and for those that ended, the tombstone that ended them."""

    def spoken(versions: DataFrame, at: str, is_deleted: bool) -> DataFrame:
        given = {column: F.col(column) for column in (*dimension.key, *dimension.values)}
        given |= {"effective_at": F.col(at), "is_deleted": F.lit(is_deleted), "batch_no": F.lit(0)}
        made = [given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in event_types(source).items()]
        return versions.select(*made, F.col("valid_from").alias("known_from"))

    ended = last.filter(F.col("valid_to").is_not_null())
    return spoken(last, "valid_from", False).union_all(spoken(ended, "valid_to", True))


def journal(
    events: DataFrame, current: DataFrame, dimension: Dimension, source: Source, since: int, floor: Column
) -> DataFrame:
    """What the versions of the touched keys are made of: of late keys all events, of the others seeds and new events.

    Gives: events with known_from: where the versions in question begin; NULL where all are
    """
    key = dimension.key
    columns = [F.col(name) for name in event_types(source)]
    late = late_keys(events, dimension, since, floor)
    last = of_keys(last_versions(current, events, dimension, since), late, key, how="leftanti")
    known = last.select(*[F.col(column).alias(f"known_{column}") for column in key], F.col("valid_from").alias("known_from"))
    new = events.filter((F.col("batch_no") > F.lit(since)) & has_key(key)).select(*columns)
    in_order = of_keys(new, late, key, how="leftanti")
    placed = in_order.join(known, on=same(key, [f"known_{column}" for column in key]), how="left")
    nowhere = F.lit(None).cast(snowpark_type(source.sequence_type)).alias("known_from")
    whole = of_keys(events, late, key).select(*columns, nowhere)
    return whole.union_all(placed.select(*columns, F.col("known_from"))).union_all(seeds(last, dimension, source))
