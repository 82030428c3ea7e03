"""History that is right in any order: outcomes of events become versions, and versions are compared."""

from collections.abc import Mapping
from functools import reduce
from operator import and_, or_

import snowflake.snowpark.functions as F
from cleaning import snowpark_type
from history_events import is_partial, prefixed, same, types_of
from snowflake.snowpark import Column, DataFrame, Window
from snowflake.snowpark.types import DataType
from specs import Dimension, Source
from told import distinct, joined, told, united

# What is known of a version that an event met on the short way, see history_fast; elsewhere NULL.
MET = {"durable_key": "integer", "version_key": "integer", "is_altered": "boolean"}
# What becomes of a version: is_change (it is written or taken out; NULL: neither), is_added, is_removed, first_pair_no.
CHANGE = {**dict.fromkeys(("is_change", "is_added", "is_removed"), "boolean"), "first_pair_no": "integer"}
UNTOLD: Mapping[str, DataType] = {}  # types that nobody told: the client asks the server


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
    of_all = Window.partition_by(*key)
    was_absent = F.coalesce(F.lag("is_deleted").over(in_time), F.lit(True))
    own = [*key, *dimension.values, "effective_at", "is_deleted", "batch_no"]
    lived = rows.select(*[F.col(column) for column in (*own, "known_from")], *living(dimension, source))
    compared = lived.select(
        *[held(column, dimension).alias(column) if column in (*dimension.tracked, *dimension.version) else F.col(column) for column in own],
        (~F.col("is_deleted") & (was_absent | changes(dimension))).alias("begins"),
        (F.col("is_deleted") & ~was_absent).alias("ends"),
        F.lead("effective_at").over(in_time).is_null().alias("is_last"),
        F.max(F.col("known_from")).over(of_all).alias("known_from"),
        F.max(F.col("living_at")).over(of_all).alias("latest_at"),
        F.min(F.col("living_at")).over(of_all).alias("first_at"),
        *[F.min(F.col(f"said_{column}_at")).over(of_all).alias(f"first_{column}_at") for column in dimension.original],
    )
    is_boundary = F.col("begins") | F.col("ends")
    bounded = compared.select(
        *[F.col(column) for column in (*own, "begins", "ends", "is_last", "known_from", "latest_at", "first_at")],
        *[F.iff(F.col("effective_at") == F.col(at), F.col(column), F.lit(None)).alias(f"of_{name}") for name, (column, at) in givers(dimension).items()],
        F.iff(is_boundary, F.col("effective_at"), F.lit(None)).alias("boundary_at"),
    )
    if dimension.version:
        bounded = bounded.with_column("run_no", F.count(F.col("boundary_at")).over(in_time))
    opens = is_boundary if dimension.keeps_deletions else F.col("begins")
    played = bounded.select(
        *[F.col(column) for column in (*key, *dimension.tracked)],
        *[last_inside(column, dimension).alias(column) for column in dimension.version],
        *[F.first_value(F.col(f"of_{name}"), True).over(everywhere(dimension)).alias(name) for name in dimension.of_key],
        *([F.col("is_deleted")] if dimension.keeps_deletions else []),
        F.col("effective_at").alias("valid_from"),
        F.lead("boundary_at", 1, None, True).over(in_time).alias("valid_to"),
        opens.alias("opens"),
        (F.col("batch_no") > F.lit(since)).alias("is_new"),
        (is_boundary | gives_values(dimension)).alias("shows"),
        F.col("is_last"),
        F.col("is_deleted").alias("is_gone"),
        F.col("known_from"),
        *[F.lit(None).cast(snowpark_type("integer")).alias(name) for name in ("durable_key", "version_key")],
        F.lit(False).alias("is_altered"),
    )
    return told(played.select(*[F.col(column) for column in stage_columns(dimension)]), types_of(dimension, source))


def stage_columns(dimension: Dimension) -> tuple[str, ...]:
    """The columns of a history in hand, in the order of its stage table."""
    marks = ("opens", "is_new", "shows", "is_last", "is_gone", "known_from")
    return (*dimension.key, *dimension.attributes, "valid_from", "valid_to", *marks, *MET)


def living(dimension: Dimension, source: Source) -> list[Column]:
    """When a key was spoken of as living, and when an original column was first spoken of, as columns to look among."""
    dead = F.col("is_deleted")
    silent = {column: dead | F.col(f"unsaid_{column}") if is_partial(dimension, source) else dead for column in dimension.original}
    return [
        F.iff(dead, F.lit(None), F.col("effective_at")).alias("living_at"),
        *[F.iff(unsaid, F.lit(None), F.col("effective_at")).alias(f"said_{column}_at") for column, unsaid in silent.items()],
    ]


def givers(dimension: Dimension) -> dict[str, tuple[str, str]]:
    """For each column that is equal on all versions of a key: the column that gives its value, and when."""
    latest = {column: column for column in dimension.overwritten} | {f"current_{column}": column for column in dimension.current}
    given = {name: (column, "latest_at") for name, column in latest.items()}
    return given | {column: (column, f"first_{column}_at") for column in dimension.original}


def everywhere(dimension: Dimension) -> Window:
    """All events of a key; in the order of time, so that one sort serves this and the rest."""
    in_time = Window.partition_by(*dimension.key).order_by("effective_at")
    return in_time.rows_between(Window.UNBOUNDED_PRECEDING, Window.UNBOUNDED_FOLLOWING)


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


def last_inside(column: str, dimension: Dimension) -> Column:
    """The last value between two boundaries; a deletion keeps the one it began with."""
    newest_first = Window.partition_by(*dimension.key, "run_no").order_by(F.col("effective_at").desc())
    last = F.first_value(F.col(column)).over(newest_first)
    return F.iff(F.col("is_deleted"), F.col(column), last) if dimension.keeps_deletions else last


def gives_values(dimension: Dimension) -> Column:
    """Events that show in columns that open no version: the latest living one, or the first."""
    gives = F.lit(False)
    if dimension.overwritten or dimension.current:
        gives |= ~F.col("is_deleted") & (F.col("effective_at") == F.col("latest_at"))
    if dimension.original:
        gives |= ~F.col("is_deleted") & (F.col("effective_at") == F.col("first_at"))
    if dimension.version:
        run = Window.partition_by(*dimension.key, "run_no").order_by(F.col("effective_at").desc())
        gives |= ~F.col("is_deleted") & (F.row_number().over(run) == F.lit(1))
    return gives


def versions(rows: DataFrame, dimension: Dimension, types: Mapping[str, DataType] = UNTOLD) -> DataFrame:
    """The versions among marked events, one row each: key, attributes, valid_from, valid_to, is_current."""
    opened = rows.filter(F.col("opens")).select(
        *[F.col(column) for column in (*dimension.key, *dimension.attributes)],
        F.col("valid_from"),
        F.col("valid_to"),
        F.col("valid_to").is_null().alias("is_current"),
        F.lit(False).alias("is_inferred"),
    )
    return told(opened, types)


def pairs(before: DataFrame, after: DataFrame, dimension: Dimension, types: Mapping[str, DataType] = UNTOLD) -> DataFrame:
    """Each version as it stands beside the one that will begin at the same moment, where the two are not the same.

    Reads:  before  the versions as they stand, with their keys
            after   what `versions` gives
    Gives:  key, attributes, valid_from, valid_to as they will be; version_key (NULL for a version that is added),
            durable_key (NULL for a key without versions), old_to, is_added, is_removed, first_pair_no (a number of its
            key's own, from 1)
    A member that only facts have spoken of stays as long as its key has no version.
    """
    key = dimension.key
    kept_columns = (*dimension.attributes, "valid_to", "is_current", "is_inferred")
    old = prefixed(before, (*key, "valid_from", *kept_columns, dimension.durable_key, dimension.version_key), "old")
    new = prefixed(after, (*key, "valid_from", *kept_columns), "new")
    at_once = same([f"new_{c}" for c in (*key, "valid_from")], [f"old_{c}" for c in (*key, "valid_from")])
    beside = joined(new, old, at_once, "full").with_column("is_pair", F.lit(1))
    named = beside.select(
        *[F.coalesce(F.col(f"new_{column}"), F.col(f"old_{column}")).alias(column) for column in key],
        *[F.col(f"new_{column}").alias(column) for column in kept_columns],
        F.coalesce(F.col("new_valid_from"), F.col("old_valid_from")).alias("valid_from"),
        F.col("new_valid_from").alias("new_from"),
        F.col("old_valid_from").alias("old_from"),
        F.col("old_valid_to").alias("old_to"),
        F.col("old_is_inferred"),
        F.col(f"old_{dimension.durable_key}").alias("old_durable_key"),
        F.col(f"old_{dimension.version_key}").alias("version_key"),
        reduce(or_, [~F.col(f"new_{c}").equal_null(F.col(f"old_{c}")) for c in kept_columns]).alias("differs"),
        F.row_number().over(Window.order_by(F.lit(1))).alias("pair_no"),
    )
    of_key_ = Window.partition_by(*key)
    counted = named.select(
        *[F.col(column) for column in (*key, *dimension.attributes, "valid_from", "valid_to")],
        *[F.col(column) for column in ("version_key", "old_to", "old_is_inferred", "differs", "pair_no")],
        F.max(F.col("old_durable_key")).over(of_key_).alias("durable_key"),
        F.count(F.col("new_from")).over(of_key_).alias("version_count"),
        F.min(F.col("pair_no")).over(of_key_).alias("first_pair_no"),
        F.col("old_from").is_null().alias("is_added"),
        F.col("new_from").is_null().alias("is_removed"),
    )
    waits = F.col("is_removed") & F.col("old_is_inferred") & (F.col("version_count") == F.lit(0))
    unlike = F.col("is_added") | F.col("is_removed") | F.col("differs")
    changed = counted.filter(unlike & ~F.coalesce(waits, F.lit(False)))
    return told(changed.select(*[F.col(name) for name in pair_columns(dimension)]), types)


def pair_columns(dimension: Dimension) -> tuple[str, ...]:
    return (*dimension.key, *dimension.attributes, "valid_from", "valid_to", "version_key", "durable_key", "old_to", "is_added", "is_removed", "first_pair_no")


def windows(changed: DataFrame, sequence_type: str = "timestamp") -> DataFrame:
    """The times at which a key has another version, or none, or a first one (rule 35).

    Reads:  what `pairs` gives
    Gives:  durable_key, changed_from, changed_to (NULL: without end)
    A version that only ends elsewhere changes between its old end and its new one.  A key that had no version gives
    no row: no fact can point to it.
    """
    moved = F.col("is_added") | F.col("is_removed") | ~F.col("valid_to").equal_null(F.col("old_to"))
    known = changed.filter(moved & F.col("durable_key").is_not_null())
    # No end is later than any end; where one end is open, the other is the earlier.
    shortened = F.col("old_to").is_null() | (F.col("valid_to") < F.col("old_to"))
    earlier_end = F.iff(shortened, F.col("valid_to"), F.col("old_to"))
    later_end = F.iff(shortened, F.col("old_to"), F.col("valid_to"))
    begins = F.when(F.col("is_added") | F.col("is_removed"), F.col("valid_from")).otherwise(earlier_end)
    ends = F.when(F.col("is_added"), F.col("valid_to")).when(F.col("is_removed"), F.col("old_to")).otherwise(later_end)
    moment = snowpark_type(sequence_type)
    found = known.select(
        F.col("durable_key"), begins.cast(moment).alias("changed_from"), ends.cast(moment).alias("changed_to")
    )
    return distinct(told(found, {"durable_key": snowpark_type("integer"), "changed_from": moment, "changed_to": moment}))


def broken(standing: DataFrame, last: DataFrame, dimension: Dimension, types: Mapping[str, DataType] = UNTOLD) -> DataFrame:
    """Keys whose versions contradict each other or the last thing known of them (rule 20); none, or there is a fault.

    Reads:  standing  versions as they stand in the dimension
            last      of each key in question the last marked event: is_last
    Gives:  key, key_fault, version_count: of its versions with this fault those from known_from on, less members that
            only facts have spoken of; and one row without key and fault for all that are as they should be
    """
    key = dimension.key
    in_time = Window.partition_by(*key).order_by("valid_from", "version_no")
    asked = told(prefixed(last, (*key, "known_from"), "touched"), {f"touched_{column}": types[column] for column in (*key, "known_from") if column in types})
    in_question = joined(standing, asked, same(key, [f"touched_{column}" for column in key]), "inner")
    is_in_hand = ~F.col("is_inferred") & F.coalesce(F.col("valid_from") >= F.col("touched_known_from"), F.lit(True))
    numbered = in_question.with_columns(["version_no", "counted_version"], [F.col(dimension.version_key), F.iff(is_in_hand, F.lit(1), F.lit(None))])
    next_from = F.lead("valid_from").over(in_time)
    alike = reduce(and_, [F.col(c).equal_null(F.lead(c).over(in_time)) for c in dimension.state], F.lit(True))
    looked_at = numbered.select(
        *[F.col(column) for column in key],
        *[F.col(column) for column in ("valid_from", "valid_to", "is_current", "counted_version")],
        next_from.alias("next_from"),
        alike.alias("is_alike"),
        F.col("valid_to").is_null().alias("is_open"),
    )
    follows = F.col("next_from").is_not_null()
    # More than one current version shows as one of these: an end contradicts is_current, and without ends two overlap.
    fault = (
        F.when(F.col("is_current") != F.col("is_open"), F.lit("is_current and valid_to contradict each other"))
        .when(F.col("valid_to") <= F.col("valid_from"), F.lit("a version ends before it begins"))
        .when(follows & F.coalesce(F.col("valid_to") > F.col("next_from"), F.lit(True)), F.lit("two versions overlap"))
        .when(follows & (F.col("valid_to") == F.col("next_from")) & F.col("is_alike"), F.lit("a version repeats the one before"))
    )
    among = told(looked_at.select(*[F.col(column) for column in key], fault.alias("key_fault"), F.col("counted_version")), types)
    missed = told(not_last(standing, last, dimension), types).filter(F.col("key_fault").is_not_null())
    found = united(among, missed)
    faulty = [F.iff(F.col("key_fault").is_null(), F.lit(None), F.col(column)).alias(column) for column in key]
    grouped = told(found.select(*faulty, F.col("key_fault"), F.col("counted_version")), types).group_by(*key, "key_fault")
    return told(grouped.agg(F.count(F.col("counted_version")).alias("version_count")), types)


def not_last(standing: DataFrame, last: DataFrame, dimension: Dimension) -> DataFrame:
    """Keys whose current version is not their state after the last event: type 1 of the stream is type 2's present."""
    key, columns = dimension.key, (*dimension.tracked, *dimension.version, *dimension.of_key)
    current = prefixed(standing.filter(F.col("is_current") & ~F.col("is_inferred")), (*key, *columns), "stands")
    compared = joined(last, current, same(key, [f"stands_{column}" for column in key]), "left")
    is_there = F.col(f"stands_{key[0]}").is_not_null()
    differs = reduce(or_, [~F.col(column).equal_null(F.col(f"stands_{column}")) for column in columns], F.lit(False))
    fault = (
        F.when(~F.col("is_gone") & ~is_there, F.lit("no current version, though the key is there"))
        .when(~F.col("is_gone") & differs, F.lit("the current version is not the last state"))
        .when(F.col("is_gone") & is_there & F.lit(not dimension.keeps_deletions), F.lit("a current version, though the key is gone"))
    )
    uncounted = F.lit(None).cast(snowpark_type("integer")).alias("counted_version")
    return compared.select(*[F.col(column) for column in key], fault.alias("key_fault"), uncounted)
