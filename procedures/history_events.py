"""What the events of a key say, one after the other: the journal of the touched keys, put in order.

An event is a row of silver: key, effective_at, is_deleted, values, batch_no.  Nothing here depends on the order in
which events arrived: the same events give the same outcomes, whatever the batches were.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_

import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
from cleaning import content, is_absent, precedence, snowpark_type
from snowflake.snowpark import Column, DataFrame, Window
from specs import Dimension, Source
from told import distinct, joined, told, united


def has_key(key: Sequence[str]) -> Column:
    """Rows without a key have no history: truncations, and what was there before a column became the key."""
    return reduce(and_, [F.col(column).is_not_null() for column in key])


def same(left: Sequence[str], right: Sequence[str]) -> Column:
    """Keys are equal when they are in every column; columns are never put together (semantics, rule 7)."""
    return reduce(and_, [F.col(a) == F.col(b) for a, b in zip(left, right, strict=True)])


def prefixed(rows: DataFrame, columns: Sequence[str], prefix: str) -> DataFrame:
    return rows.select(*[F.col(column).alias(f"{prefix}_{column}") for column in columns])


def of_keys(rows: DataFrame, keys: DataFrame, key: Sequence[str], prefix: str = "touched", how: str = "leftsemi") -> DataFrame:
    """The rows whose key is among `keys`; with `leftanti`, the others."""
    return joined(rows, keys, same(key, [f"{prefix}_{column}" for column in key]), how)


def touched_keys(events: DataFrame, key: Sequence[str], since: int, source: Source) -> DataFrame:
    """The keys whose history may have changed since batch `since`, as touched_….

    Those of new events; with a new truncation, all keys that are older; of a snapshot, all keys of its scope, as
    one that is missing from the new extract has no new event.
    """
    is_new = F.col("batch_no") > F.lit(since)
    named = events.filter(has_key(key))
    touched = named.filter(is_new).select(*key)
    if source.truncate_when:
        truncations = events.filter(is_new & F.col("is_truncate")).agg(F.max(F.col("effective_at")).alias("gone_at"))
        gone = told(truncations, {"gone_at": snowpark_type(source.sequence_type)})
        older = joined(named, gone, F.col("effective_at") <= F.col("gone_at"), "leftsemi")
        touched = united(touched, older.select(*key))
    if source.is_snapshot:
        touched = united(touched, in_scope(named, named.filter(is_new), source).select(*key))
    return distinct(prefixed(touched, key, "touched"))


def in_scope(events: DataFrame, new: DataFrame, source: Source) -> DataFrame:
    """Events of the scopes that have new extracts; without a scope, every extract is of everything."""
    if not source.snapshot_scope:
        return events
    scopes = [F.col(column).equal_null(F.col(f"new_{column}")) for column in source.snapshot_scope]
    return joined(events, distinct(prefixed(new, source.snapshot_scope, "new")), reduce(and_, scopes), "leftsemi")


def journal(events: DataFrame, key: Sequence[str], since: int, source: Source) -> DataFrame:
    """All events, old and new, of the touched keys; all there are when nothing was seen before."""
    if since <= 0:
        return as_journal(events.filter(has_key(key)), source)
    return as_journal(of_keys(events, touched_keys(events, key, since, source), key), source)


def as_journal(events: DataFrame, source: Source) -> DataFrame:
    """Events with what the engine reads of them, and known_from: whole histories begin where they begin."""
    known_from = F.lit(None).cast(snowpark_type(source.sequence_type)).alias("known_from")
    return events.select(*[F.col(name) for name in event_types(source)], known_from)


def with_truncations(rows: DataFrame, events: DataFrame, key: Sequence[str], source: Source) -> DataFrame:
    """A truncation is a tombstone for each key with an event no later; remembered for the late ones (rule 18)."""
    if not source.truncate_when:
        return rows
    marked = rows.with_column("kind_order", F.lit(1))
    sequence = ("effective_at", *source.finer)
    truncations = prefixed(events.filter(F.col("is_truncate")), sequence, "truncate")
    first = told(
        rows.group_by(*key).agg(F.min(F.col("effective_at")).alias("first_at")),
        {**event_types(source), "first_at": snowpark_type(source.sequence_type)},
    )
    gone = joined(first, truncations, F.col("first_at") <= F.col("truncate_effective_at"), "inner")
    tombstone = {
        **{column: F.col(column) for column in key},
        **{column: F.col(f"truncate_{column}") for column in sequence},
        "is_deleted": F.lit(True),
        "is_truncate": F.lit(True),
        "batch_no": F.lit(0),
        "kind_order": F.lit(0),
    }
    types = {**event_types(source), "known_from": snowpark_type(source.sequence_type), "kind_order": snowpark_type("integer")}
    return with_rows(marked, gone, types, tombstone)


def types_of(dimension: Dimension, source: Source) -> dict[str, T.DataType]:
    """The type of every column that frames of a dimension's history have: a name means one thing in all of them."""
    declared, moment = source.types(), source.sequence_type
    own = {
        **declared,
        **dimension.attribute_types(declared),
        **source.marks,
        **dict.fromkeys(("effective_at", "valid_from", "valid_to", "known_from", "old_to", "new_at"), moment),
        **dict.fromkeys(("is_deleted", "is_current", "is_inferred", "is_gone"), "boolean"),
        **dict.fromkeys(("is_change", "is_added", "is_removed"), "boolean"),
        **dict.fromkeys(("opens", "is_new", "shows", "is_last", "is_altered"), "boolean"),
        **dict.fromkeys((dimension.durable_key, dimension.version_key, "durable_key", "version_key"), "integer"),
        **dict.fromkeys(("pair_no", "first_pair_no", "batch_no", "highest_key", "event_count", "version_count", "counted_version"), "integer"),
        **{"loaded_at": "timestamp", "key_fault": "text"},
    }
    return {column: snowpark_type(kind) for column, kind in own.items()}


def event_types(source: Source) -> dict[str, T.DataType]:
    """What the engine reads of an event: all that makes it this event and no other, and its batch."""
    own = {"effective_at": source.sequence_type, "is_deleted": "boolean", **source.marks}
    types = source.types()
    named = {column: snowpark_type(own[column] if column in own else types[column]) for column in content(source)}
    return {**named, "batch_no": snowpark_type("integer")}


def with_rows(rows: DataFrame, others: DataFrame, types: Mapping[str, T.DataType], given: Mapping[str, Column]) -> DataFrame:
    """The rows, and one for each of the others: given columns, NULL in the rest."""
    made = [given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in types.items()]
    return united(told(rows.select(*[F.col(name) for name in types]), types), told(others.select(*made), types))


def with_absences(rows: DataFrame, events: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Outcomes of a snapshot, and a tombstone where a key is missing from the next extract of its scope (rule 19).

    Not where the key was seen in another scope meanwhile: it moved.
    """
    if not source.is_snapshot:
        return rows
    key, place = dimension.key, [*source.snapshot_scope, "effective_at"]
    in_scope_of = Window.partition_by(*source.snapshot_scope) if source.snapshot_scope else Window
    moment, types = snowpark_type(source.sequence_type), event_types(source)
    extracts = distinct(events.select(*place))
    following = extracts.select(
        *[F.col(column).alias(f"extract_{column}") for column in place],
        F.lead("effective_at").over(in_scope_of.order_by("effective_at")).alias("next_extract_at"),
    )
    following = told(following, {**{f"extract_{name}": kind for name, kind in types.items()}, "next_extract_at": moment})
    on_key = Window.partition_by(*key).order_by("effective_at")
    columns = dict.fromkeys([*key, *dimension.values, *source.snapshot_scope, "effective_at", "is_deleted", "batch_no", "known_from"])
    seen = told(
        rows.select(*[F.col(name) for name in columns], F.lead("effective_at").over(on_key).alias("next_seen_at")),
        {**types, "known_from": moment, "next_seen_at": moment},
    )
    here = reduce(and_, [F.col(column).equal_null(F.col(f"extract_{column}")) for column in place])
    missed = F.col("next_seen_at").is_null() | (F.col("next_seen_at") > F.col("next_extract_at"))
    gone = joined(seen, following, here, "inner").filter(~F.col("is_deleted") & missed & F.col("next_extract_at").is_not_null())
    tombstone = {
        **{column: F.col(column) for column in key},
        "effective_at": F.col("next_extract_at"),
        "is_deleted": F.lit(True),
        "batch_no": F.lit(0),
    }
    return with_rows(rows, gone, {name: moment if name == "known_from" else types[name] for name in columns}, tombstone)


def newest_first(source: Source) -> list[Column]:
    """The order of a key's events, the one that counts first (rules 2 and 3)."""
    order = precedence(content(source), source.finer)
    if not source.truncate_when:
        return [F.col("effective_at").desc(), *order]
    # truncate < upsert < tombstone: a truncation is a tombstone that gives way to an upsert of its instant.
    kind = F.iff(F.col("kind_order") == F.lit(0), F.lit(0), F.iff(F.col("is_deleted"), F.lit(2), F.lit(1))).desc()
    finer, (_, *rest) = order[: len(source.finer)], order[len(source.finer) :]
    return [F.col("effective_at").desc(), *finer, kind, *rest]


def outcomes(
    events: DataFrame, silver: DataFrame, dimension: Dimension, source: Source, is_settled: bool = False
) -> DataFrame:
    """The journal of some keys as one row per key and instant: what holds from then on.

    Reads:  events  the journal, with known_from
            silver  all events, where the source has truncations or is a snapshot
            is_settled  no key has two events of one instant
    Gives:  key, the dimension's values (carried on where events are partial), effective_at, is_deleted, batch_no,
            known_from and, for original columns of partial events, unsaid_<column>
    """
    if dimension.on_delete == "ignore":
        events = events.filter(~F.col("is_deleted"))
    else:
        events = with_truncations(events, silver, dimension.key, source)
    said = carried(events, dimension, source)
    held = kept(said if is_settled else instants(said, dimension, source), dimension, source)
    return held if dimension.on_delete == "ignore" else with_absences(held, silver, dimension, source)


def kept(events: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Only what the versions are made of."""
    columns = [*dimension.key, *dimension.values, *(source.snapshot_scope), "effective_at", "is_deleted", "batch_no", "known_from"]
    unsaid = [f"unsaid_{column}" for column in dimension.original] if is_partial(dimension, source) else []
    return events.select(*[F.col(column) for column in dict.fromkeys([*columns, *unsaid])])


def instants(events: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """One event per key and instant, the last of it: finer sequence, then tombstone, then content (rules 2 and 3).

    Content is what an event said; of partial events, whose values are filled in by now, the order was kept.
    """
    newest = [F.col("age_rank")] if is_partial(dimension, source) else newest_first(source)[1:]
    same_instant = Window.partition_by(*dimension.key, "effective_at").order_by(*newest)
    ranked = events.with_column("instant_rank", F.row_number().over(same_instant))
    return ranked.filter(F.col("instant_rank") == F.lit(1)).drop("instant_rank")


def is_partial(dimension: Dimension, source: Source) -> bool:
    return dimension.ignore_nulls or source.remembers_absence


def carried(events: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Events in which what was not said is what was said before (rules 22 and 23).

    Said is what is not NULL where NULLs are ignored, else what is not absent.  A tombstone says that nothing holds
    any more: values do not carry over it.  Gives the events, their values filled in, and for original columns
    `unsaid_<column>`: nothing was said of it since the key came to life.
    """
    if not is_partial(dimension, source):
        return events
    key, values = dimension.key, dimension.values
    others = [name for name in event_columns(source) if name not in values]
    by_age = Window.partition_by(*key).order_by(*newest_first(source))
    ranked = events.select(
        *[F.col(name) for name in others],
        *[F.iff(F.col("is_deleted"), F.lit(None), F.col(column)).alias(column) for column in values],
        *[F.iff(is_said(column, dimension, source), F.lit(1), F.lit(None)).alias(f"said_{column}") for column in values],
        F.iff(F.col("is_deleted"), F.lit(1), F.lit(None)).alias("ends_life"),
        F.row_number().over(by_age).alias("age_rank"),
    )
    # Counts over an order count up to here; local testing counts plain columns only.
    so_far = Window.partition_by(*key).order_by(F.col("age_rank").desc())
    lives = ranked.with_column("life", F.count(F.col("ends_life")).over(so_far))
    in_life = Window.partition_by(*key, "life").order_by(F.col("age_rank").desc())
    blocks = lives.select(
        *[F.col(name) for name in (*others, "age_rank", "life", *values)],
        *[F.count(F.col(f"said_{column}")).over(in_life).alias(f"block_{column}") for column in values],
    )

    def since_said(column: str) -> Column:
        block = Window.partition_by(*key, "life", f"block_{column}").order_by(F.col("age_rank").desc())
        return F.first_value(F.col(column)).over(block).alias(column)

    return blocks.select(
        *[F.col(name) for name in (*others, "age_rank")],
        *[since_said(column) for column in values],
        *[(F.col(f"block_{column}") == F.lit(0)).alias(f"unsaid_{column}") for column in dimension.original],
    )


def is_said(column: str, dimension: Dimension, source: Source) -> Column:
    """Whether an event says something of a column; a tombstone says nothing of any."""
    said = ~F.col("is_deleted")
    if dimension.ignore_nulls:
        said &= F.col(column).is_not_null()
    return said & ~is_absent(column) if source.remembers_absence else said


def event_columns(source: Source) -> list[str]:
    """The columns of a journal."""
    return [*content(source), "batch_no", "known_from", *(("kind_order",) if source.truncate_when else ())]
