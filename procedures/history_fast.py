"""The short way: a key whose new events are all newer than everything known of it needs only its current version.

Its versions before that one stand; the current one, as an event of its own, and the new events give the rest.  A key
with one new event, as most have, needs no order at all: the event beside the current version says everything.  Late
keys, and those whose last version has ended, still go through the journal; the answer is the same.
"""

from functools import reduce
from operator import or_
from typing import NamedTuple

import history
import history_events
import snowflake.snowpark.functions as F
from cleaning import snowpark_type
from history_events import event_types, has_key, is_partial, prefixed, same, types_of
from snowflake.snowpark import Column, DataFrame
from specs import Dimension, Source
from told import distinct, joined, told, united


class Arrived(NamedTuple):
    """What is new for a dimension: events that name a key, their keys and instants, truncations, and the first instant;

    and how many times a key was found whose history has to be read again, see `read_again`.
    """

    events: int
    keys: int
    instants: int
    truncations: int
    floor: object
    read_again: int = 0


def is_possible(dimension: Dimension, source: Source, since: int) -> bool:
    """Whether the last version tells all that must be known of a key.

    It does not where events reach keys they do not name (truncations, snapshots), where absence has to be remembered
    value by value, and where a deletion is a version of its own.
    """
    reaches_others = bool(source.truncate_when) or source.is_snapshot
    return since > 0 and not (reaches_others or source.remembers_absence or dimension.keeps_deletions)


def are_alone(dimension: Dimension, source: Source, new: Arrived) -> bool:
    """Whether every key has one new event, later than all known of it: as in most batches of a feed that keeps its order."""
    return new.read_again == 0 and new.events == new.keys and not is_partial(dimension, source)


def arrivals(events: DataFrame, dimension: Dimension, source: Source, since: int, new: Arrived) -> DataFrame:
    """The keys of new events, each with the first instant it is spoken of and how often: new_<key>, new_at, event_count."""
    rows, key, types = newer(events, dimension, since), [F.col(column).alias(f"new_{column}") for column in dimension.key], types_of(dimension, source)
    if new.events == new.keys:
        alone = rows.select(*key, F.col("effective_at").alias("new_at"), F.lit(1).alias("event_count"))
        return told(alone, {**types, **{f"new_{column}": types[column] for column in dimension.key}})
    first = rows.group_by(*dimension.key).agg(F.min(F.col("effective_at")).alias("new_at"), F.count(F.lit(1)).alias("event_count"))
    return told(first, types).select(*key, F.col("new_at"), F.col("event_count"))


def newer(events: DataFrame, dimension: Dimension, since: int) -> DataFrame:
    return events.filter((F.col("batch_no") > F.lit(since)) & has_key(dimension.key))


def late_keys(events: DataFrame, arrived: DataFrame, dimension: Dimension, since: int, floor: Column) -> DataFrame:
    """Keys with a new event that is not newer than all events known of them.

    `floor`, the first instant of all new events, lets the warehouse pass over the older part of the journal.
    """
    key = dimension.key
    old = events.filter((F.col("batch_no") <= F.lit(since)) & (F.col("effective_at") >= floor)).select(*key, "effective_at")
    not_older = same(key, [f"new_{column}" for column in key]) & (F.col("effective_at") >= F.col("new_at"))
    return joined(old, arrived, not_older, "inner").select(*key)


def ended_keys(current: DataFrame, arrived: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Keys of new events that have versions, but no current one that events have spoken of: there is none to go on from."""
    key, types = dimension.key, {**types_of(dimension, source), "open_count": snowpark_type("integer")}
    # A join on unique keys, not a semi join: the few keys then choose the rows to be read.
    versions = joined(current.select(*key, "valid_to", "is_inferred"), arrived, same(key, [f"new_{column}" for column in key]), "inner")
    is_open = F.iff(F.col("valid_to").is_null() & ~F.col("is_inferred"), F.lit(1), F.lit(None))
    counted = told(versions.group_by(*key).agg(F.count(is_open).alias("open_count")), types)
    return counted.filter(F.col("open_count") == F.lit(0)).select(*key)


def read_again(events: DataFrame, current: DataFrame, dimension: Dimension, source: Source, since: int, new: Arrived) -> DataFrame:
    """The keys of new events that cannot take the short way, late or ended; a key may be there twice."""
    arrived = arrivals(events, dimension, source, since, new)
    late = late_keys(events, arrived, dimension, since, F.lit(new.floor))
    return united(late, ended_keys(current, arrived, dimension, source))


def standing(current: DataFrame) -> DataFrame:
    """Current versions that events have spoken of: a member that only facts have spoken of has said nothing."""
    return current.filter(F.col("valid_to").is_null() & ~F.col("is_inferred"))


def seeds(current: DataFrame, arrived: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """The current versions of the keys of new events, as events: what they began with, and known_from."""
    key = dimension.key
    touched = joined(standing(current), arrived, same(key, [f"new_{column}" for column in key]), "inner")
    given = {column: F.col(column) for column in (*key, *dimension.values)}
    given |= {"effective_at": F.col("valid_from"), "is_deleted": F.lit(False), "batch_no": F.lit(0)}
    made = [given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in event_types(source).items()]
    return told(touched.select(*made, F.col("valid_from").alias("known_from")), types_of(dimension, source))


def marked(events: DataFrame, current: DataFrame, dimension: Dimension, source: Source, since: int, new: Arrived) -> DataFrame:
    """The history in hand of the touched keys, as `history.marked` gives it.

    Of late and gone keys all events, of the others the current version and the new events; on these known_from says
    where the versions in question begin; where it is NULL, all are.
    """
    key, types = dimension.key, types_of(dimension, source)
    if are_alone(dimension, source, new):
        return marked_alone(newer(events, dimension, since), current, dimension, source)
    columns = [F.col(name) for name in event_types(source)]
    nowhere = F.lit(None).cast(snowpark_type(source.sequence_type)).alias("known_from")
    on_time, journals = arrivals(events, dimension, source, since, new), []
    if new.read_again:
        again = distinct(prefixed(read_again(events, current, dimension, source, since, new), key, "touched"))
        on_key = same(key, [f"touched_{column}" for column in key])
        journals.append(told(joined(events, again, on_key, "inner").select(*columns, nowhere), types))
        # Joins, not semi joins: within EXISTS the local engine would build its table of the dimension, not of the few keys.
        on_new = same([f"new_{column}" for column in key], [f"touched_{column}" for column in key])
        others = joined(on_time, again, on_new, "left").filter(F.col(f"touched_{key[0]}").is_null())
        on_time = others.select(*[f"new_{column}" for column in key], "event_count")
    if is_partial(dimension, source):
        ordered, alone = on_time, None
    else:
        ordered, alone = on_time.filter(F.col("event_count") > F.lit(1)), on_time.filter(F.col("event_count") == F.lit(1))

    def are_new(keys: DataFrame) -> DataFrame:
        return joined(newer(events, dimension, since), keys, same(key, [f"new_{column}" for column in key]), "inner")

    whole = journals[:]
    if alone is None or new.events > new.keys:
        journals += [told(are_new(ordered).select(*columns, nowhere), types), seeds(current, ordered, dimension, source)]
    if len(journals) == 1 or new.instants < new.events or is_partial(dimension, source):
        held = history_events.outcomes(united(*journals), events, dimension, source)
    else:  # without ties among new events there is nothing to choose between
        settled = [history_events.outcomes(rows, events, dimension, source, is_settled=rows not in whole) for rows in journals]
        held = united(*[told(rows, types) for rows in settled])
    in_hand = history.marked(held, dimension, source, since)
    return in_hand if alone is None else united(in_hand, marked_alone(are_new(alone), current, dimension, source))


def marked_alone(new: DataFrame, current: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Keys with one new event, later than all known of them: what `history.marked` would find, without putting in order.

    Gives one row for the event and one for the version it meets, if it changes that one: with its keys (durable_key is
    on both), and is_altered where the event gives it other values.  What it meets need not be read again.
    """
    if dimension.on_delete == "ignore":
        new = new.filter(~F.col("is_deleted"))
    met = beside_standing(new, current, dimension, source)
    is_met, lives = F.col("stands_version_key").is_not_null(), ~F.col("is_deleted")
    differs = reduce(or_, [~F.col(column).equal_null(F.col(f"stands_{column}")) for column in dimension.tracked], F.lit(False))
    begins, ends = lives & (~is_met | differs), ~lives & is_met
    on_both = given_to_key(dimension, lives, is_met)
    kept = {column: F.iff(lives & ~begins, F.col(column), F.col(f"stands_{column}")) for column in dimension.version}
    altered = reduce(or_, [~given.equal_null(F.col(f"stands_{column}")) for column, given in on_both.items()], F.lit(False))
    altered_inside = reduce(or_, [~given.equal_null(F.col(f"stands_{column}")) for column, given in kept.items()], F.lit(False))
    gives = lives if dimension.overwritten or dimension.current or dimension.version else lives & ~is_met if dimension.original else F.lit(False)
    plain = met.select(
        *[F.col(column) for column in (*dimension.key, *dimension.tracked, *dimension.version)],
        *[F.col(f"stands_{column}") for column in dimension.tracked],
        *[given.alias(f"kept_{column}") for column, given in kept.items()],
        *[given.alias(f"given_{column}") for column, given in on_both.items()],
        *[F.col(column) for column in ("effective_at", "is_deleted", "is_standing", "stands_from", "stands_durable_key", "stands_version_key")],
        begins.alias("begins"),
        (begins | ends).alias("is_boundary"),
        (begins | ends | gives).alias("shows"),
        (is_met & altered).alias("is_altered"),
        (is_met & altered_inside).alias("is_altered_inside"),
    )
    stands = F.col("is_standing")
    told_of = plain.filter(~stands | F.col("is_boundary") | F.col("is_altered") | F.col("is_altered_inside"))
    sides = {
        **{column: F.iff(stands, F.col(f"stands_{column}"), F.col(column)) for column in dimension.tracked},
        **{column: F.iff(stands, F.col(f"kept_{column}"), F.col(column)) for column in dimension.version},
        **{column: F.col(f"given_{column}") for column in on_both},
        "valid_from": F.iff(stands, F.col("stands_from"), F.col("effective_at")),
        "valid_to": F.iff(stands & F.col("is_boundary"), F.col("effective_at"), F.lit(None)),
        "opens": stands | F.col("begins"),
        "is_new": ~stands,
        "shows": stands | F.col("shows"),
        "is_last": ~stands,
        "is_gone": ~stands & F.col("is_deleted"),
        "known_from": F.col("stands_from"),
        "durable_key": F.col("stands_durable_key"),
        "version_key": F.iff(stands, F.col("stands_version_key"), F.lit(None)),
        "is_altered": F.col("is_altered") | stands & F.col("is_altered_inside"),
    }
    return told(told_of.select(*[sides.get(name, F.col(name)).alias(name) for name in history.stage_columns(dimension)]), types_of(dimension, source))


def beside_standing(new: DataFrame, current: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Each event twice, as itself and, with is_standing, for the version it meets: its columns as stands_….

    Twice by a join with two rows rather than by UNION ALL: the warehouse then reads the dimension once.
    """
    own = {"from": "valid_from", "durable_key": dimension.durable_key, "version_key": dimension.version_key}
    given = {**{column: column for column in (*dimension.key, *dimension.attributes)}, **own}
    types = types_of(dimension, source)
    stood = standing(current).select(*[F.col(column).alias(f"stands_{name}") for name, column in given.items()])
    stood = told(stood, {f"stands_{name}": types[column] for name, column in given.items()})
    on_key = same(dimension.key, [f"stands_{column}" for column in dimension.key])
    rows = joined(new, stood, on_key, "left")
    sides = new.session.create_dataframe([[False], [True]], schema=["is_standing"])
    twice = joined(rows, told(sides, {"is_standing": snowpark_type("boolean")}), None, "cross")
    return twice.filter(~F.col("is_standing") | F.col("stands_version_key").is_not_null())


def given_to_key(dimension: Dimension, lives: Column, is_met: Column) -> dict[str, Column]:
    """The values that stand on all versions of a key after its one event: the latest of a living one, or the first."""
    latest = {column: column for column in dimension.overwritten} | {f"current_{column}": column for column in dimension.current}
    given = {name: F.iff(lives, F.col(column), F.col(f"stands_{column}")) for name, column in latest.items()}
    first = {column: F.iff(is_met, F.col(f"stands_{column}"), F.iff(lives, F.col(column), F.lit(None))) for column in dimension.original}
    return given | first


def is_changed() -> Column:
    """Of what `marked_alone` gives: versions that are added, that end, or that get other values."""
    return F.col("opens") & (F.col("version_key").is_null() | F.col("valid_to").is_not_null() | F.col("is_altered"))


def changes(met: DataFrame, current: DataFrame, dimension: Dimension, types: dict) -> DataFrame:
    """What changes of the versions that `marked_alone` met, and what it adds to their keys: as `history.pairs` gives it."""
    is_added = F.col("version_key").is_null()
    own = {
        "old_to": F.lit(None).cast(types["old_to"]),
        "is_added": is_added,
        "is_removed": F.lit(False),
        "first_pair_no": F.lit(None).cast(types["first_pair_no"]),
    }
    names = history.pair_columns(dimension)
    changed = told(met.filter(is_changed()).select(*[own.get(name, F.col(name)).alias(name) for name in names]), types)
    if not dimension.of_key:
        return changed
    return united(changed, older(met, current, dimension, types))


def older(met: DataFrame, current: DataFrame, dimension: Dimension, types: dict) -> DataFrame:
    """The versions before those met, where their key now has other values; as `history.pairs` gives them."""
    others = met.filter(F.col("is_last") & F.col("is_altered"))
    last = [*dimension.key, *dimension.of_key, "known_from"]
    touched = told(prefixed(others, last, "touched"), {f"touched_{column}": types[column] for column in last})
    differs = reduce(or_, [~F.col(column).equal_null(F.col(f"touched_{column}")) for column in dimension.of_key])
    before = same(dimension.key, [f"touched_{column}" for column in dimension.key]) & (F.col("valid_from") < F.col("touched_known_from"))
    own = {
        **{column: F.col(f"touched_{column}") for column in dimension.of_key},
        "version_key": F.col(dimension.version_key),
        "durable_key": F.col(dimension.durable_key),
        "old_to": F.col("valid_to"),
        "is_added": F.lit(False),
        "is_removed": F.lit(False),
        "first_pair_no": F.lit(None).cast(types["first_pair_no"]),
    }
    rows = joined(current, touched, before & differs, "inner")
    return told(rows.select(*[own.get(name, F.col(name)).alias(name) for name in history.pair_columns(dimension)]), types)
