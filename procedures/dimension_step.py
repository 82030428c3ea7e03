"""The dimension step, and the rebuild: history made right in stage, compared, and written in one transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import history
import history_events
import history_fast
import snowflake.snowpark.functions as F
import writing
from cleaning import snowpark_type
from history_events import same
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column, DataFrame, Row, Session, Window
from specs import Dimension, Source

CHANGED_WINDOW = "control.changed_window"
EXAMPLES = 10


class HistoryBroken(RuntimeError):
    """The versions of some keys contradict each other; nothing was written.  `faults` are (key, what is wrong)."""

    error_class = "guard"

    def __init__(self, dimension: str, faults: list[tuple[tuple[Any, ...], str]]) -> None:
        self.dimension, self.faults = dimension, faults
        shown = "; ".join(f"{', '.join(map(str, key))}: {fault}" for key, fault in faults[:EXAMPLES])
        super().__init__(
            f"{dimension}: the history of {len(faults)} key(s) would be wrong, nothing was written. {shown}. "
            f"To see what a rebuild would change: CALL core.rebuild('{dimension}', dry_run => TRUE)"
        )


@dataclass(frozen=True)
class Arrived:
    """What is new for a dimension: events that name a key, truncations, and the first instant they speak of."""

    events: int
    truncations: int
    floor: Any


def dimension(run: Run, name: str) -> StepResult:
    """Sets right the history of the keys that have new events."""
    target, session = run.pipeline.dimension(name), run.session
    source = run.pipeline.source(target.source)
    result = StepResult(target.step, utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        since = run.mark(target.step).last_batch
        silver, current = session.table(source.silver), session.table(target.table)
        new = arrived(silver, target, source, since)
        result.read = new.events + new.truncations
        if result.read == 0:
            opened.keep = False
        else:
            journal = journal_of(silver, current, target, source, since, new)
            fill(journal, silver, target, source, since)
            staged = session.table(target.stage)
            result.written = staged.filter(F.col("is_new") & F.col("shows")).count() + new.truncations
            result.superseded = result.read - result.written
            scope = scope_of(staged, target)
            changed = history.pairs(in_scope(current, scope, target), history.versions(staged, target), target)
            done = write(run, target, source, changed, scope, batch_no)
            refuse_broken(session, target, staged, of_scope(current, scope, target))
            writing.clear(session, target.stage)
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


def arrived(silver: DataFrame, target: Dimension, source: Source, since: int) -> Arrived:
    """Counts events newer than batch `since`."""
    named = history_events.has_key(target.key)
    truncates = F.col("is_truncate") if source.truncate_when else F.lit(False)
    row = (
        silver.filter(F.col("batch_no") > F.lit(since))
        .agg(
            F.count(F.iff(named, F.lit(1), F.lit(None))).alias("events"),
            F.count(F.iff(~named & truncates, F.lit(1), F.lit(None))).alias("truncations"),
            F.min(F.iff(named, F.col("effective_at"), F.lit(None))).alias("floor"),
        )
        .collect()[0]
    )
    return Arrived(row["EVENTS"], row["TRUNCATIONS"], row["FLOOR"])


def journal_of(
    silver: DataFrame, current: DataFrame, target: Dimension, source: Source, since: int, new: Arrived
) -> DataFrame:
    """The events the touched keys' versions are made of; by the short way where there is one."""
    if history_fast.is_possible(target, source, since):
        return history_fast.journal(silver, current, target, source, since, F.lit(new.floor))
    return history_events.journal(silver, target.key, since, source)


def fill(journal: DataFrame, silver: DataFrame, target: Dimension, source: Source, since: int) -> None:
    """Puts the history in hand into stage: what opens a version, what is new, and of each key the last event."""
    rows = history.marked(history_events.outcomes(journal, silver, target, source), target, source, since)
    writing.append(rows.filter(F.col("opens") | F.col("is_new") | F.col("is_last")), target.stage)


def scope_of(staged: DataFrame, target: Dimension) -> DataFrame:
    """One row per touched key: touched_<key>, touched_from (versions before it stand; NULL: none), last values."""
    last = staged.filter(F.col("is_last"))
    return last.select(
        *[F.col(column).alias(f"touched_{column}") for column in target.key],
        F.col("known_from").alias("touched_from"),
        *[F.col(column).alias(f"touched_{column}") for column in target.of_key],
    )


def of_scope(current: DataFrame, scope: DataFrame, target: Dimension) -> DataFrame:
    """All versions of the touched keys."""
    return history_events.of_keys(current, scope, target.key)


def in_scope(current: DataFrame, scope: DataFrame, target: Dimension) -> DataFrame:
    """The versions that are in question: of a key that took the short way, only the last.

    `scope` has one row per key, so this is a semi join; written as one, the comparison of instants would have it look
    up every version of the dimension.
    """
    of_key = same(target.key, [f"touched_{column}" for column in target.key])
    in_question = F.col("touched_from").is_null() | (F.col("valid_from") >= F.col("touched_from"))
    own = (target.durable_key, target.version_key, *target.key, *target.attributes, "valid_from", "valid_to", "is_current", "is_inferred")
    return current.join(scope, on=of_key & in_question, how="inner").select(*own)


def write(
    run: Run, target: Dimension, source: Source, changed: DataFrame, scope: DataFrame | None, batch_no: int
) -> writing.Reconciled:
    """Notes the windows that changed, and makes the dimension's versions the ones in hand.

    A version that changes is taken out and put in again under its own key: for few rows of a large table that costs
    a fraction of a MERGE.
    """
    session, table = run.session, run.session.table(target.table)
    stamp = {"batch_no": F.lit(batch_no)}
    writing.append(numbered(changed, table, target, history.pair_columns(target)), target.changes)
    pairs = session.table(target.changes)
    count = pairs.agg(
        F.count(F.lit(1)).alias("pairs"),
        F.count(F.iff(F.col("is_added"), F.lit(1), F.lit(None))).alias("added"),
        F.count(F.iff(F.col("is_gone"), F.lit(1), F.lit(None))).alias("gone"),
    ).collect()[0]
    if source.sequence_type == "timestamp":
        windows = history.windows(pairs.filter(F.col("is_known"))).select(
            F.lit(run.pipeline.name).alias("pipeline"),
            F.lit(target.name).alias("dimension"),
            *[F.col(column) for column in ("durable_key", "changed_from", "changed_to")],
            F.lit(batch_no).alias("batch_no"),
        )
        writing.append(windows, CHANGED_WINDOW)
    updated = spread(session, target, scope, stamp) if scope is not None and target.of_key else 0
    standing = pairs.filter(~F.col("is_added")).select(F.col("version_key").alias("out_version_key"))
    taken = int(table.delete(F.col(target.version_key) == F.col("out_version_key"), standing).rows_deleted)
    if taken != count["PAIRS"] - count["ADDED"]:
        raise HistoryBroken(target.name, [((), f"{taken} versions were taken out, {count['PAIRS'] - count['ADDED']} were to be")])
    writing.append(desired(pairs.filter(~F.col("is_gone")), target, stamp), target.table)
    writing.clear(session, target.changes)
    return writing.Reconciled(count["ADDED"], taken - count["GONE"] + updated, count["GONE"])


def desired(pairs: DataFrame, target: Dimension, stamp: dict[str, Column]) -> DataFrame:
    """The versions as the dimension will hold them; those that stood before keep their version key."""
    columns = (*target.key, *target.attributes, "valid_from", "valid_to", "is_current", "is_inferred")
    return pairs.select(
        F.col("durable_key").alias(target.durable_key),
        F.iff(F.col("is_added"), F.col("next_version_key"), F.col("version_key")).alias(target.version_key),
        *[F.col(column) for column in columns],
        *[value.alias(column) for column, value in stamp.items()],
    )


def spread(session: Session, target: Dimension, scope: DataFrame, stamp: dict[str, Column]) -> int:
    """Gives versions that were not in question the values that stand on all versions of their key."""
    older = same(target.key, [f"touched_{column}" for column in target.key])
    older &= F.col("valid_from") < F.col("touched_from")
    differs = F.lit(False)
    for column in target.of_key:
        differs |= ~F.col(column).equal_null(F.col(f"touched_{column}"))
    values = {column: F.col(f"touched_{column}") for column in target.of_key}
    return int(session.table(target.table).update({**values, **stamp}, older & differs, scope).rows_updated)


def numbered(changed: DataFrame, table: DataFrame, target: Dimension, carried: tuple[str, ...]) -> DataFrame:
    """Changed versions with their keys: the durable key the natural key has, or the next; the next version key.

    Gives: `carried`, with durable_key filled in, next_version_key, is_known (the key had a version before)
    Only the holder of the pipeline's turn comes here, so no one else takes the same numbers.
    """
    highest = table.agg(
        F.greatest(F.coalesce(F.max(F.col(target.durable_key)), F.lit(0)), F.lit(0)).alias("highest_durable"),
        F.greatest(F.coalesce(F.max(F.col(target.version_key)), F.lit(0)), F.lit(0)).alias("highest_version"),
    )
    is_known = F.col("durable_key").is_not_null()
    rank = F.dense_rank().over(Window.partition_by(is_known).order_by(*target.key))
    number = F.row_number().over(Window.partition_by("is_added").order_by(*target.key, "valid_from"))
    joined = changed.join(highest, how="cross")
    return joined.select(
        *[F.col(column) for column in carried if column != "durable_key"],
        F.iff(is_known, F.col("durable_key"), rank + F.col("highest_durable")).alias("durable_key"),
        (number + F.col("highest_version")).alias("next_version_key"),
        is_known.alias("is_known"),
    )


def with_keys(session: Session, rows: DataFrame, target: Dimension, stamp: dict[str, Column]) -> DataFrame:
    """New members of a dimension, for keys it does not know, with their keys."""
    columns = (*target.key, *target.attributes, "valid_from", "valid_to", "is_current", "is_inferred")
    no_key = F.lit(None).cast(snowpark_type("integer"))
    unknown = rows.select(
        *[F.col(column) for column in columns],
        *[no_key.alias(name) for name in ("durable_key", "version_key")],
        F.lit(True).alias("is_added"),
    )
    return desired(numbered(unknown, session.table(target.table), target, (*columns, "version_key", "is_added")), target, stamp)


def refuse_broken(session: Session, target: Dimension, staged: DataFrame, standing: DataFrame) -> None:
    """Raises HistoryBroken when what now stands cannot be true; the transaction then takes it back."""
    found = history.broken(standing, staged.filter(F.col("is_last")), target).collect()
    if found:
        raise HistoryBroken(target.name, [(tuple(row)[:-1], row["FAULT"]) for row in found])


def rebuild(run: Run, name: str, from_at: datetime | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Recomputes a dimension from silver; with `from_at`, the keys with an event then or later.

    Says which versions it adds, removes, moves (they end elsewhere) and alters (other values), and with `dry_run`
    leaves it at that.  After any history of batches all of them are 0.
    """
    target, session = run.pipeline.dimension(name), run.session
    source = run.pipeline.source(target.source)
    result = StepResult(f"rebuild {name}", utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        silver, current = session.table(source.silver), session.table(target.table)
        fill(journal_since(silver, target, source, from_at), silver, target, source, batch_no)
        staged = session.table(target.stage)
        scope = scope_of(staged, target) if from_at else None
        copies = remove_copies(session, target)
        members = current.filter(history_events.has_key(target.key) & (F.col(target.durable_key) > F.lit(0)))
        before = members if scope is None else in_scope(members, scope, target)
        changed = history.pairs(before, history.versions(staged, target), target)
        report = differences(changed, target)
        report["versions"]["removed"] += copies
        if dry_run or not any(report["versions"].values()):
            opened.keep = False
        else:
            done = write(run, target, source, changed, None, batch_no)
            refuse_broken(session, target, staged, before)
            writing.clear(session, target.stage)
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted + copies
            result.read = result.written = done.changed + copies
            result.detail = report
            run.log(result.balanced())
    return {"dimension": name, "dry_run": dry_run, **report}


def remove_copies(session: Session, target: Dimension) -> int:
    """Removes versions of a key that begin when another does; only a hand in the table can have made them."""
    table = session.table(target.table)
    of_version = Window.partition_by(*target.key, "valid_from").order_by(target.version_key)
    members = table.filter(history_events.has_key(target.key)).with_column("copy_no", F.row_number().over(of_version))
    copies = members.filter(F.col("copy_no") > F.lit(1)).select(F.col(target.version_key).alias("copy_key"))
    return int(table.delete(F.col(target.version_key) == F.col("copy_key"), copies).rows_deleted)


def journal_since(silver: DataFrame, target: Dimension, source: Source, from_at: datetime | None) -> DataFrame:
    whole = history_events.journal(silver, target.key, 0, source)
    if from_at is None:
        return whole
    recent = silver.filter((F.col("effective_at") >= F.lit(from_at)) & history_events.has_key(target.key))
    return history_events.of_keys(whole, writing.renamed(recent, target.key, "touched").distinct(), target.key)


def differences(changed: DataFrame, target: Dimension) -> dict[str, Any]:
    """Changed versions by kind, counted, and a few of them as examples."""
    kind = (
        F.when(F.col("is_added"), F.lit("added"))
        .when(F.col("is_gone"), F.lit("removed"))
        .when(~F.col("valid_to").equal_null(F.col("old_to")), F.lit("moved"))
        .otherwise(F.lit("altered"))
    )
    rows = changed.with_column("kind", kind).select(*target.key, "kind", "valid_from", "valid_to", "old_to").collect()
    counts = {word: sum(row["KIND"] == word for row in rows) for word in ("added", "removed", "moved", "altered")}
    return {"versions": counts, "examples": [shown(row, target) for row in rows[:EXAMPLES]]}


def shown(row: Row, target: Dimension) -> str:
    """A changed version in words."""
    values = {name.strip('"').lower(): value for name, value in row.as_dict().items()}
    key = ", ".join(str(values[column]) for column in target.key)
    moved = f", before {values['old_to'] or 'open'}" if values["kind"] == "moved" else ""
    return f"{values['kind']}: {key} from {values['valid_from']} to {values['valid_to'] or 'open'}{moved}"
