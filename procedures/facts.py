"""Facts: the last word on each grain, pointing to the versions that were valid at its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_

import calendars
import snowflake.snowpark.functions as F
import told
from cleaning import latest_per_key, snowpark_type, sql_column
from snowflake.snowpark import Column, DataFrame
from snowflake.snowpark.types import DataType
from specs import Dimension, Fact, Lookup

UNKNOWN, GAP, EARLY = -1, -2, -3
BEGINNING = datetime(1900, 1, 1)  # standing and inferred members are valid from here
UNTOLD: Mapping[str, DataType] = {}  # types that nobody told: the client asks the server
STANDING_MEMBERS = {
    UNKNOWN: "the fact names no key, or no time to look it up at",
    GAP: "the key was deleted at the time of the fact",
    EARLY: "the fact is older than the first version of the key",
}


@dataclass(frozen=True)
class Reach:
    """How far a dimension's changed windows reach; without a `last`, one of them has no end."""

    first: datetime
    last: datetime | None


def names_grain(fact: Fact) -> Column:
    """Events that name their fact."""
    return reduce(and_, [F.col(column).is_not_null() for column in fact.grain])


def is_gone(fact: Fact) -> Column:
    """Whether an event says that there is no fact: a tombstone, or a row the fact's `where` leaves out."""
    is_kept = F.coalesce(sql_column(fact.where), F.lit(False)) if fact.where else F.lit(True)
    return F.col("is_deleted") | ~is_kept


def grains_of(rows: DataFrame, fact: Fact) -> DataFrame:
    """The grains of these rows, each once, as touched_…."""
    return told.distinct(rows.select(*[F.col(column).alias(f"touched_{column}") for column in fact.grain]))


def in_windows(facts: DataFrame, changed: DataFrame, fact: Fact, since: int, reaches: Mapping[str, Reach]) -> DataFrame:
    """The grains of facts that may point elsewhere, since a dimension changed: touched_….

    Reads:  facts    the fact table as it stands
            changed  dimension, durable_key, changed_from, changed_to, batch_no (control.changed_window)
            reaches  the dimensions that have windows newer than batch `since`, and from when to when these are
    A fact that points to no version is looked at again wherever its key changed: a first version that came late turns
    what was early into a gap, at times that are in no window.  The range of time stands beside the windows because it
    lets the warehouse pass over the parts of the fact that none of them reaches; so does the list of the keys of facts
    that point to no version.
    """
    parts = []
    for lookup in fact.lookups:
        if lookup.dimension not in reaches:
            continue
        reach, at = reaches[lookup.dimension], F.col(lookup.as_of)
        newer = changed.filter((F.col("dimension") == F.lit(lookup.dimension)) & (F.col("batch_no") > F.lit(since)))
        windows = newer.select("durable_key", "changed_from", "changed_to")
        columns = dict.fromkeys([*fact.grain, lookup.durable_key, lookup.version_key, lookup.as_of])
        pointing = facts.select(*[F.col(column) for column in columns])
        of_key = F.col(lookup.durable_key) == F.col("durable_key")
        inside = (at >= F.col("changed_from")) & (F.col("changed_to").is_null() | (at < F.col("changed_to")))
        near = at >= F.lit(reach.first)
        if reach.last is not None:
            near &= at < F.lit(reach.last)
        # Inner joins: the few windows choose the facts to be read; a fact found twice is one grain all the same.
        parts.append(grains_of(told.joined(pointing.filter(near), windows, of_key & inside, "inner"), fact))
        nowhere = pointing.filter(F.col(lookup.version_key).in_(UNKNOWN, GAP, EARLY))
        parts.append(grains_of(told.joined(nowhere, windows, of_key, "inner"), fact))
    return told.distinct(told.united(*parts))


def outcomes(
    events: DataFrame, grains: DataFrame, fact: Fact, content_columns: Sequence[str], since: int, finer: Sequence[str] = ()
) -> DataFrame:
    """The latest event of each touched grain, as `shaped`."""
    same_grain = reduce(and_, [F.col(column) == F.col(f"touched_{column}") for column in fact.grain])
    return shaped(latest_per_key(told.joined(events, grains, same_grain, "leftsemi"), fact.grain, content_columns, finer), fact, since)


def shaped(events: DataFrame, fact: Fact, since: int) -> DataFrame:
    """What events say of their facts.

    Gives: the columns taken from silver, the measures, is_gone and is_new (the event is newer than batch `since`)
    """
    return events.select(
        *[F.col(column) for column in fact.from_source()],
        *[
            sql_column(measure.expression).cast(snowpark_type(measure.type)).alias(measure.name)
            for measure in fact.measures
        ],
        is_gone(fact).alias("is_gone"),
        (F.col("batch_no") > F.lit(since)).alias("is_new"),
    )


def standing(facts: DataFrame, fact: Fact) -> DataFrame:
    """Facts as they stand, as `shaped`: their keys are to be found again."""
    own = [*fact.from_source(), *(measure.name for measure in fact.measures)]
    return facts.select(*[F.col(column) for column in own], F.lit(False).alias("is_gone"), F.lit(False).alias("is_new"))


def members(versions: DataFrame, dimension: Dimension, prefix: str) -> DataFrame:
    """One row per natural key: its durable key and when it is first known."""
    named = versions.filter(reduce(and_, [F.col(column).is_not_null() for column in dimension.key]))
    grouped = named.group_by(*dimension.key).agg(
        F.min(F.col(dimension.durable_key)).alias(f"{prefix}_member_key"),
        F.min(F.col("valid_from")).alias(f"{prefix}_known_from"),
    )
    return grouped.select(
        *[F.col(column).alias(f"{prefix}_by_{column}") for column in dimension.key],
        F.col(f"{prefix}_member_key"),
        F.col(f"{prefix}_known_from"),
    )


def unseen_keys(rows: DataFrame, versions: DataFrame, lookup: Lookup, dimension: Dimension) -> DataFrame:
    """Keys that facts name and the dimension has never seen, under the dimension's names for them."""
    named = reduce(and_, [F.col(column).is_not_null() for column in lookup.by])
    wanted = rows.filter(named).select(
        *[F.col(by).alias(f"wanted_{column}") for by, column in zip(lookup.by, dimension.key, strict=True)]
    ).distinct()
    seen = versions.select(*dimension.key)
    same = reduce(and_, [F.col(f"wanted_{column}") == F.col(column) for column in dimension.key])
    missing = wanted.join(seen, on=same, how="leftanti")
    return missing.select(*[F.col(f"wanted_{column}").alias(column) for column in dimension.key])


def found(
    rows: DataFrame, fact: Fact, dimensions: Mapping[str, tuple[Dimension, DataFrame]], types: Mapping[str, DataType] = UNTOLD
) -> DataFrame:
    """Facts with the versions valid at their lookups' times, where there are such: valid_from <= t < valid_to.

    A fact that finds none points to UNKNOWN; what names a key is `placed` afterwards, being rare.
    """
    plain = [*fact.from_source(), *(measure.name for measure in fact.measures), "is_gone", "is_new"]
    rows = told.told(rows, types)
    for lookup in fact.lookups:
        dimension, versions = dimensions[lookup.name]
        rows = told.joined(rows, spans(versions, lookup, dimension), is_valid(lookup, dimension), "left")
    ends = {lookup.durable_key: f"{lookup.name}_durable" for lookup in fact.lookups}
    ends |= {lookup.version_key: f"{lookup.name}_found" for lookup in fact.lookups}
    return rows.select(
        *[F.col(column) for column in plain],
        *[F.coalesce(F.col(found_), F.lit(UNKNOWN)).alias(key) for key, found_ in ends.items()],
        *([calendars.date_key(F.col(fact.at)).alias("date_key")] if fact.calendar else []),
    )


def spans(versions: DataFrame, lookup: Lookup, dimension: Dimension) -> DataFrame:
    """Versions under a lookup's names: key, interval, durable key and version key."""
    name = lookup.name
    return versions.select(
        *[F.col(column).alias(f"{name}_at_{column}") for column in dimension.key],
        F.col("valid_from").alias(f"{name}_from"),
        F.col("valid_to").alias(f"{name}_to"),
        F.col(dimension.durable_key).alias(f"{name}_durable"),
        F.col(dimension.version_key).alias(f"{name}_found"),
    )


def is_valid(lookup: Lookup, dimension: Dimension) -> Column:
    """Whether a version of `spans` is the fact's key's, at the fact's time."""
    name, at = lookup.name, F.col(lookup.as_of)
    pairs = zip(lookup.by, dimension.key, strict=True)
    of_key = reduce(and_, [F.col(by) == F.col(f"{name}_at_{column}") for by, column in pairs])
    return of_key & (at >= F.col(f"{name}_from")) & (F.col(f"{name}_to").is_null() | (at < F.col(f"{name}_to")))


def is_unplaced(lookup: Lookup) -> Column:
    """A fact that names a key and has found no version."""
    names_key = reduce(and_, [F.col(column).is_not_null() for column in lookup.by])
    return names_key & (F.col(lookup.version_key) == F.lit(UNKNOWN))


def placed(rows: DataFrame, grain: Sequence[str], lookup: Lookup, dimension: Dimension, versions: DataFrame) -> DataFrame:
    """The keys of facts that found no version at first, when inferred members have been made.

    A fact without a time points to UNKNOWN, one before the first version to EARLY, one at a time the key was gone to
    GAP; the durable key of its key stands all the same.  A fact without a key is not among `rows`.
    Gives: placed_<grain>, placed_<durable key>, placed_<version key>
    """
    named = [F.col(by).alias(f"named_{column}") for by, column in zip(lookup.by, dimension.key, strict=True)]
    of_rows = reduce(and_, [F.col(column) == F.col(f"named_{column}") for column in dimension.key])
    own = versions.join(rows.select(*named).distinct(), on=of_rows, how="leftsemi")
    same = reduce(
        and_, [F.col(by) == F.col(f"{lookup.name}_by_{column}") for by, column in zip(lookup.by, dimension.key, strict=True)]
    )
    known = rows.join(members(own, dimension, lookup.name), on=same, how="left")
    valid = known.join(spans(own, lookup, dimension), on=is_valid(lookup, dimension), how="left")
    durable, version = keys(lookup)
    return valid.select(
        *[F.col(column).alias(f"placed_{column}") for column in grain],
        durable.alias(f"placed_{lookup.durable_key}"),
        version.alias(f"placed_{lookup.version_key}"),
    )


def keys(lookup: Lookup) -> list[Column]:
    """The two key columns of a lookup, after its joins."""
    member, found = F.col(f"{lookup.name}_member_key"), F.col(f"{lookup.name}_found")
    is_early = F.col(lookup.as_of) < F.col(f"{lookup.name}_known_from")
    version = (
        F.when(member.is_null() | F.col(lookup.as_of).is_null(), F.lit(UNKNOWN))
        .when(found.is_not_null(), found)
        .when(is_early, F.lit(EARLY))
        .otherwise(F.lit(GAP))
    )
    return [F.coalesce(member, F.lit(UNKNOWN)).alias(lookup.durable_key), version.alias(lookup.version_key)]


def inferred_members(unseen: DataFrame, dimension: Dimension, types: Mapping[str, str]) -> DataFrame:
    """Versions for keys of which only facts have spoken: all time, no values, is_inferred."""
    empty = [
        F.lit(None).cast(snowpark_type(type_name)).alias(column)
        for column, type_name in dimension.attribute_types(types).items()
    ]
    return unseen.select(
        *[F.col(column) for column in dimension.key],
        *empty,
        F.lit(BEGINNING).alias("valid_from"),
        F.lit(None).cast(snowpark_type("timestamp")).alias("valid_to"),
        F.lit(True).alias("is_current"),
        F.lit(True).alias("is_inferred"),
    )


def forsaken(versions: DataFrame, dimension: Dimension, pointing: Sequence[tuple[DataFrame, Lookup]]) -> DataFrame:
    """Inferred members to which no fact points any more: what they were made for was corrected or deleted.

    Reads:  pointing  every fact table that looks into the dimension, with the lookup
    Gives:  forsaken_key, a version key
    """
    inferred = versions.filter(F.col("is_inferred"))
    left = inferred.select(F.col(dimension.durable_key).alias("inferred_key"), F.col(dimension.version_key).alias("forsaken_key"))
    own = inferred.select(F.col(dimension.durable_key).alias("own_key"))
    for table, lookup in pointing:
        # The few inferred members choose the facts; left to itself the anti join would first take in every fact there is.
        namings = table.select(F.col(lookup.durable_key).alias("named_key"))
        near = told.joined(namings, own, F.col("named_key") == F.col("own_key"), "leftsemi")
        left = told.joined(left, near, F.col("inferred_key") == F.col("named_key"), "leftanti")
    return left.select("forsaken_key")
