"""What the events of a key say, one after the other: the journal of the touched keys, put in order.

An event is a row of silver: key, effective_at, is_deleted, values, batch_no.  Nothing here depends on the order in
which events arrived: the same events give the same outcomes, whatever the batches were.
"""

from collections.abc import Sequence
from functools import reduce
from operator import and_

import snowflake.snowpark.functions as F
from cleaning import content, is_absent, precedence
from snowflake.snowpark import Column, DataFrame, Window
from specs import Dimension, Source


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
    return rows.join(keys, on=same(key, [f"{prefix}_{column}" for column in key]), how=how)


def touched_keys(events: DataFrame, key: Sequence[str], since: int, source: Source | None = None) -> DataFrame:
    """The keys whose history may have changed since batch `since`, as touched_….

    Those of new events; with a new truncation, all keys that are older; of a snapshot, all keys of its scope, as
    one that is missing from the new extract has no new event.
    """
    is_new = F.col("batch_no") > F.lit(since)
    named = events.filter(has_key(key))
    touched = named.filter(is_new).select(*key)
    if source and source.truncate_when:
        truncations = events.filter(is_new & F.col("is_truncate")).select(F.max(F.col("effective_at")).alias("gone_at"))
        older = named.join(truncations, on=F.col("effective_at") <= F.col("gone_at"), how="leftsemi")
        touched = touched.union_all(older.select(*key))
    if source and source.is_snapshot:
        touched = touched.union_all(in_scope(named, prefixed(named.filter(is_new), source.snapshot_scope, "new"), source).select(*key))
    return prefixed(touched, key, "touched").distinct()


def in_scope(events: DataFrame, extracts: DataFrame, source: Source) -> DataFrame:
    """Events of the scopes that have new extracts; without a scope, every extract is of everything."""
    if not source.snapshot_scope:
        return events
    scopes = [F.col(column).equal_null(F.col(f"new_{column}")) for column in source.snapshot_scope]
    return events.join(extracts.distinct(), on=reduce(and_, scopes), how="leftsemi")


def journal(events: DataFrame, key: Sequence[str], since: int, source: Source | None = None) -> DataFrame:
    """All events, old and new, of the touched keys; all there are when nothing was seen before."""
    if since <= 0:
        return events.filter(has_key(key))
    return of_keys(events, touched_keys(events, key, since, source), key)


def with_truncations(rows: DataFrame, events: DataFrame, key: Sequence[str], source: Source) -> DataFrame:
    """A truncation is a tombstone for each key with an event no later; remembered for the late ones (rule 18)."""
    if not source.truncate_when:
        return rows
    marked = rows.with_column("kind_order", F.lit(1))
    taken = [*(column for column in sequence_columns(source)), "batch_no"]
    truncations = events.filter(F.coalesce(F.col("is_truncate"), F.lit(False))).select(
        *[F.col(column).alias(f"truncate_{column}") for column in taken]
    )
    first = rows.group_by(*key).agg(F.min(F.col("effective_at")).alias("first_at"))
    gone = first.join(truncations, on=F.col("first_at") <= F.col("truncate_effective_at"), how="inner")
    replaced = {
        **{column: F.col(column) for column in key},
        **{column: F.col(f"truncate_{column}") for column in sequence_columns(source)},
        "is_deleted": F.lit(True),
        "is_truncate": F.lit(True),
        "batch_no": F.lit(0),
        "kind_order": F.lit(0),
    }
    return with_rows(marked, gone, replaced)


def sequence_columns(source: Source) -> tuple[str, ...]:
    return ("effective_at", *source.finer)


def with_rows(rows: DataFrame, others: DataFrame, given: dict[str, Column]) -> DataFrame:
    """The rows, and one for each of the others: given columns, NULL in the rest."""
    types = {field.name.strip('"').lower(): field.datatype for field in rows.schema.fields}
    made = [given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in types.items()]
    return rows.select(*[F.col(name) for name in types]).union_all(others.select(*made))


def with_absences(rows: DataFrame, events: DataFrame, key: Sequence[str], source: Source) -> DataFrame:
    """Outcomes of a snapshot, and a tombstone where a key is missing from the next extract of its scope (rule 19).

    Not where the key was seen in another scope meanwhile: it moved.
    """
    if not source.is_snapshot:
        return rows
    place = [*source.snapshot_scope, "effective_at"]
    in_scope_of = Window.partition_by(*source.snapshot_scope or [F.lit(1)]).order_by("effective_at")
    extracts = events.select(*place).distinct()
    following = extracts.select(
        *[F.col(column).alias(f"extract_{column}") for column in place],
        F.lead("effective_at").over(in_scope_of).alias("next_extract_at"),
    )
    on_key = Window.partition_by(*key).order_by("effective_at")
    seen = rows.with_column("next_seen_at", F.lead("effective_at").over(on_key))
    here = reduce(and_, [F.col(column).equal_null(F.col(f"extract_{column}")) for column in place])
    missed = F.col("next_seen_at").is_null() | (F.col("next_seen_at") > F.col("next_extract_at"))
    gone = seen.join(following, on=here, how="inner").filter(~F.col("is_deleted") & missed & F.col("next_extract_at").is_not_null())
    tombstone = {
        **{column: F.col(column) for column in key},
        "effective_at": F.col("next_extract_at"),
        "is_deleted": F.lit(True),
        "batch_no": F.lit(0),
        "known_from": F.col("known_from"),
    }
    return with_rows(rows, gone, tombstone)


def newest_first(source: Source) -> list[Column]:
    """The order of a key's events, the one that counts first (rules 2 and 3)."""
    order = precedence(content(source), source.finer)
    if not source.truncate_when:
        return [F.col("effective_at").desc(), *order]
    # truncate < upsert < tombstone: a truncation is a tombstone that gives way to an upsert of its instant.
    kind = F.iff(F.col("kind_order") == F.lit(0), F.lit(0), F.iff(F.col("is_deleted"), F.lit(2), F.lit(1))).desc()
    finer, (_, *rest) = order[: len(source.finer)], order[len(source.finer) :]
    return [F.col("effective_at").desc(), *finer, kind, *rest]


def carried(events: DataFrame, dimension: Dimension, source: Source) -> DataFrame:
    """Events in which what was not said is what was said before (rules 22 and 23).

    Said is what is not NULL where NULLs are ignored, else what is not absent.  A tombstone says that nothing holds
    any more: values do not carry over it.  Gives: the events, their values filled in, and for original columns
    `unsaid_<column>`.
    """
    partial, remembers = dimension.ignore_nulls, source.remembers_absence
    if not (partial or remembers):
        return events
    key, kept = dimension.key, [name for name in events.columns_named if name not in dimension.values] if False else None
    raise NotImplementedError(kept)
