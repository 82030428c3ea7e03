"""The short way: a key whose new events are all newer than everything known of it needs only its current version.

Its versions before that one stand; the current one, as an event of its own, and the new events give the rest.  Late
keys, and those whose last version has ended, still go through the journal; the answer is the same.
"""

import history_events
import snowflake.snowpark.functions as F
from cleaning import snowpark_type
from history_events import event_types, has_key, is_partial, of_keys, prefixed, same, types_of
from snowflake.snowpark import Column, DataFrame
from specs import Dimension, Source
from told import distinct, joined, told, united


def is_possible(dimension: Dimension, source: Source, since: int) -> bool:
    """Whether the last version tells all that must be known of a key.

    It does not where events reach keys they do not name (truncations, snapshots), where absence has to be remembered
    value by value, and where a deletion is a version of its own.
    """
    reaches_others = bool(source.truncate_when) or source.is_snapshot
    return since > 0 and not (reaches_others or source.remembers_absence or dimension.keeps_deletions)


def arrivals(events: DataFrame, dimension: Dimension, source: Source, since: int) -> DataFrame:
    """The keys of new events, each with the first instant it is spoken of: new_<key>, new_at."""
    new = events.filter((F.col("batch_no") > F.lit(since)) & has_key(dimension.key))
    first = new.group_by(*dimension.key).agg(F.min(F.col("effective_at")).alias("new_at"))
    named = told(first, types_of(dimension, source))
    return named.select(*[F.col(column).alias(f"new_{column}") for column in dimension.key], F.col("new_at"))


def late_keys(events: DataFrame, dimension: Dimension, source: Source, since: int, floor: Column) -> DataFrame:
    """Keys with a new event that is not newer than all events known of them.

    `floor`, the first instant of all new events, lets the warehouse pass over the older part of the journal.
    """
    key = dimension.key
    old = events.filter((F.col("batch_no") <= F.lit(since)) & (F.col("effective_at") >= floor)).select(*key, "effective_at")
    not_older = same(key, [f"new_{column}" for column in key]) & (F.col("effective_at") >= F.col("new_at"))
    return joined(old, arrivals(events, dimension, source, since), not_older, "inner").select(*key)


def gone_keys(current: DataFrame, events: DataFrame, dimension: Dimension, source: Source, since: int) -> DataFrame:
    """Keys of new events whose last version has ended: there is no current version to go on from."""
    key, types = dimension.key, {**types_of(dimension, source), "open_count": snowpark_type("integer")}
    versions = of_keys(current.select(*key, "valid_to"), arrivals(events, dimension, source, since), key, "new")
    is_open = F.iff(F.col("valid_to").is_null(), F.lit(1), F.lit(None))
    counted = told(versions.group_by(*key).agg(F.count(is_open).alias("open_count")), types)
    return counted.filter(F.col("open_count") == F.lit(0)).select(*key)


def seeds(current: DataFrame, events: DataFrame, dimension: Dimension, source: Source, since: int) -> DataFrame:
    """The current versions of the keys of new events, as events: what they began with, and known_from.

    A member that only facts have spoken of has said nothing.
    """
    key = dimension.key
    standing = current.filter(F.col("valid_to").is_null() & ~F.col("is_inferred"))
    # A join on unique keys, not a semi join: the few keys then choose the rows to be read.
    touched = joined(standing, arrivals(events, dimension, source, since), same(key, [f"new_{column}" for column in key]), "inner")
    given = {column: F.col(column) for column in (*key, *dimension.values)}
    given |= {"effective_at": F.col("valid_from"), "is_deleted": F.lit(False), "batch_no": F.lit(0)}
    made = [given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in event_types(source).items()]
    return told(touched.select(*made, F.col("valid_from").alias("known_from")), types_of(dimension, source))


def outcomes(
    events: DataFrame, current: DataFrame, dimension: Dimension, source: Source, since: int, floor: Column, has_ties: bool
) -> DataFrame:
    """What the versions of the touched keys are made of: of late and gone keys all events, of the others seeds and new events.

    Gives: one row per key and instant, as `history_events.outcomes`; on a seed known_from says where the versions in
    question begin; where it is NULL, all are.  Without ties among new events there is nothing to choose between.
    """
    key, types = dimension.key, types_of(dimension, source)
    columns = [F.col(name) for name in event_types(source)]
    nowhere = F.lit(None).cast(snowpark_type(source.sequence_type)).alias("known_from")
    late = late_keys(events, dimension, source, since, floor)
    read_again = distinct(prefixed(united(late, gone_keys(current, events, dimension, source, since)), key, "touched"))
    new = events.filter((F.col("batch_no") > F.lit(since)) & has_key(key))
    whole = told(of_keys(events, read_again, key).select(*columns, nowhere), types)
    in_order = told(of_keys(new, read_again, key, how="leftanti").select(*columns, nowhere), types)
    standing = of_keys(seeds(current, events, dimension, source, since), prefixed(late, key, "touched"), key, how="leftanti")
    if has_ties or is_partial(dimension, source):
        return history_events.outcomes(united(whole, in_order, standing), events, dimension, source)
    settled = [history_events.outcomes(rows, events, dimension, source, is_settled=rows is not whole) for rows in (whole, in_order, standing)]
    return united(*[told(rows, types) for rows in settled])
