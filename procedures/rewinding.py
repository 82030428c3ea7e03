"""A source set back on purpose: rows that arrived after a moment are taken again from bronze, under the spec of now.

The ledger says what was taken, so setting LETS back alone would take nothing.  A rewind takes the entries back with the
events and the waiting rows they made, and loads them again, all in one transaction: nobody sees silver without them.  What
is made of silver looks at everything again in the next run; what no event speaks of any more is taken out here.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import and_
from typing import Any

import applying
import fact_step
import history_events
import loading
import measures
import names
import snowflake.snowpark.functions as F
import watermark
import writing
from runlog import AccountsUnbalanced, StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column, DataFrame
from specs import Dimension, Fact, Source

PLACE = names.PROVENANCE  # one row of one load of one file


class RewindRefused(RuntimeError):
    """Rows that were to be taken again are no longer in bronze; nothing was changed."""

    error_class = "contract"

    def __init__(self, source: str, to_at: datetime, lost: int, total: int, last_lost_at: datetime) -> None:
        self.source, self.to_at, self.lost, self.total, self.last_lost_at = source, to_at, lost, total, last_lost_at
        super().__init__(
            f"{source}: of {total} rows taken after {to_at}, {lost} are no longer in bronze, where the sweep deletes what is past "
            f"retention; the newest of them arrived at {last_lost_at}. Nothing was changed. Rewind to that moment or a later one, "
            f"or leave them as they are. Their files are in control.ledger and, when the sweep has folded it, in control.file_ledger; to send "
            f"one again does not help, as it is known by its content."
        )


def rewind(run: Run, name: str, to_at: datetime, dry_run: bool = False) -> dict[str, Any]:
    """Takes rows of a source with `_loaded_at` > `to_at` again; with `dry_run`, says what that would change.

    Rows of the quarantine that somebody has corrected, released or discarded stay as they were decided.
    """
    source, session = run.pipeline.source(name), run.session
    result = StepResult(f"rewind {name}", utc_now())
    with writing.transaction(session) as opened:
        turn = run.turn(result)
        refuse_lost(run, source, to_at)
        undone = undo(run, source, to_at, result.started_at)
        mark = set_lets(run, source, to_at)
        loading.take(run, source, mark, turn.batch_no, result)
        if result.read < undone["events"] + undone["waiting"]:  # a sweep came between: on the local account it cannot be kept out
            raise AccountsUnbalanced(result.step, {**undone, "taken again": result.read})
        removed = {
            **{item.name: forget_keys(run, item, source) for item in run.pipeline.dimensions if item.source == name},
            **{item.name: forget_grains(run, item, source, turn.batch_no) for item in run.pipeline.facts if item.source == name},
        }
        again = downstream(run, source)
        for step in again:
            applying.set_back(session, run.pipeline.name, step)
        taken = {key: getattr(result, key) for key in ("read", "written", "duplicate", "quarantined")}
        report = {"source": name, "to": str(to_at), "dry_run": dry_run, "undone": undone, "taken": taken, "removed": removed, "next_run": again}
        report["lets_from"] = None if mark.lets is None else str(mark.lets)
        if dry_run:
            opened.keep = False
        else:
            settle(run, source, result, report)
    return report


def settle(run: Run, source: Source, result: StepResult, report: dict[str, Any]) -> None:
    """Moves the load's mark to the newest row taken, and writes the log; both commit with the rows."""
    result.lets_to = result.lets_to or run.mark(source.step).lets
    counts = (result.read, result.written, result.duplicate, result.superseded, result.quarantined, result.held)
    own = (run.session, run.pipeline.name, source.step)
    watermark.advance(*own, batch_no=result.batch_no or 0, run_id=run.run_id, now=utc_now(), lets=result.lets_to, counts=counts)
    result.deleted = report["undone"]["events"]
    result.detail = {**result.detail, **report}
    run.log(result.balanced())


def later(rows: DataFrame, to_at: datetime) -> DataFrame:
    return rows.filter(F.col("loaded_at") > F.lit(to_at))


def quarantine_of(run: Run, source: Source) -> DataFrame:
    own = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(source.name))
    return run.session.table(loading.QUARANTINE).filter(own)


def is_decided() -> Column:
    """Whether a hand has touched a row of the quarantine."""
    return (F.col("status") != F.lit("waiting")) | F.col("corrected_values").is_not_null()


def places(rows: DataFrame, prefix: str) -> DataFrame:
    return rows.select(*[F.col(name).alias(f"{prefix}_{name}") for name in PLACE])


def same_place(prefix: str) -> Column:
    return reduce(and_, [F.col(name) == F.col(f"{prefix}_{name}") for name in PLACE])


def undecided(run: Run, source: Source, rows: DataFrame) -> DataFrame:
    """Rows whose place in the quarantine, if it has one, nobody has decided upon."""
    decided = places(quarantine_of(run, source).filter(is_decided()), "decided")
    return rows.join(decided, on=same_place("decided"), how="leftanti")


def refuse_lost(run: Run, source: Source, to_at: datetime) -> None:
    """Raises RewindRefused when a row to be taken again is no longer in bronze."""
    silver = later(run.session.table(source.silver), to_at).select(*PLACE)
    waiting = later(quarantine_of(run, source).filter(~is_decided()), to_at).select(*PLACE)
    made = undecided(run, source, silver.union_all(waiting))
    held = run.bronze(source).select(*[F.col(f"_{name}").alias(f"held_{name}") for name in PLACE])
    compared = made.join(held, on=same_place("held"), how="left")
    lost = F.col("held_file_name").is_null()
    found = compared.agg(
        F.count(F.lit(1)).alias("total"),
        F.count(F.iff(lost, F.lit(1), F.lit(None))).alias("lost"),
        F.max(F.iff(lost, F.col("loaded_at"), F.lit(None))).alias("last_lost_at"),
    ).collect()[0]
    if found["LOST"]:
        raise RewindRefused(source.name, to_at, found["LOST"], found["TOTAL"], found["LAST_LOST_AT"])


def undo(run: Run, source: Source, to_at: datetime, now: datetime) -> dict[str, int]:
    """Takes back what was made of later rows: events, waiting rows, and their entries.  Decided rows stay entered."""
    session = run.session
    decided = later(quarantine_of(run, source).filter(is_decided()), to_at)
    going = places(undecided(run, source, later(session.table(source.silver), to_at)), "going")
    events = session.table(source.silver).delete(same_place("going"), going).rows_deleted
    own = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(source.name)) & (F.col("loaded_at") > F.lit(to_at))
    waiting = session.table(loading.QUARANTINE).delete(own & ~is_decided()).rows_deleted
    entries = session.table(watermark.LEDGER).delete(own).rows_deleted
    kept = decided.select(
        *[F.col(name) for name in ("pipeline", "source", "file_name", "content_key", "loaded_at")],
        F.col("row_number").alias("first_row"),
        F.col("row_number").alias("last_row"),
        F.lit(1).alias("row_count"),
        F.lit(False).alias("is_duplicate"),
        F.col("batch_no"),
        F.lit(now).alias("taken_at"),
        F.lit(0).alias("event_count"),
        F.lit(1).alias("quarantined_count"),
    )
    decided_count = writing.insert(session, kept, watermark.LEDGER, watermark.ENTRY)
    return {"events": int(events), "waiting": int(waiting), "entries": int(entries), "decided_and_left": decided_count}


def set_lets(run: Run, source: Source, to_at: datetime) -> watermark.Mark:
    """LETS as it was when the newest entry left was taken, which may be folded by now; loads find what lies after it."""
    own = (run.pipeline.name, source.name, to_at)
    lets = run.session.sql(
        f"SELECT MAX(loaded_at) AS lets FROM (SELECT loaded_at FROM {watermark.LEDGER} WHERE pipeline = ? AND source = ? AND loaded_at <= ? "
        f"UNION ALL SELECT last_loaded_at FROM {watermark.FILES} WHERE pipeline = ? AND source = ? AND last_loaded_at <= ?)",
        params=[*own, *own],
    ).collect()[0]["LETS"]
    run.session.sql(
        f"UPDATE {watermark.CONTROL} SET lets = ? WHERE pipeline = ? AND step = ?", params=[lets, run.pipeline.name, source.step]
    ).collect()
    return run.mark(source.step)


def downstream(run: Run, source: Source) -> list[str]:
    """Steps that look at everything again: what is made of the source, and facts that look into its dimensions."""
    dimensions = {item.name for item in run.pipeline.dimensions if item.source == source.name}
    made = [item.step for item in run.pipeline.dimensions if item.source == source.name]
    return made + [
        item.step for item in run.pipeline.facts if item.source == source.name or {look.dimension for look in item.lookups} & dimensions
    ]


def without_events(run: Run, rows: DataFrame, source: Source, key: Sequence[str]) -> DataFrame:
    """Rows of gold whose key no event of silver names any more."""
    spoken_of = writing.renamed(run.session.table(source.silver), key, "spoken").distinct()
    return rows.join(spoken_of, on=writing.match(key, [f"spoken_{column}" for column in key]), how="leftanti")


def forget_keys(run: Run, dimension: Dimension, source: Source) -> int:
    """Takes out the versions of keys without events; a fact that still names one gives it an inferred member again."""
    table = run.session.table(dimension.table)
    members = table.filter(history_events.has_key(dimension.key) & ~F.col("is_inferred") & (F.col(dimension.durable_key) > F.lit(0)))
    gone = without_events(run, members, source, dimension.key).select(F.col(dimension.version_key).alias("gone_key"))
    return int(table.delete(F.col(dimension.version_key) == F.col("gone_key"), gone).rows_deleted)


def forget_grains(run: Run, fact: Fact, source: Source, batch_no: int) -> int:
    """Takes out facts without events, after noting for each KPI where they stood."""
    table = run.session.table(fact.table)
    gone = without_events(run, table, source, fact.grain)
    for kpi in run.pipeline.kpis:
        if kpi.fact == fact.name:
            columns = [F.col(column) for column in kpi.scope]
            writing.append(measures.touched(gone, kpi, fact).select(*columns, F.lit(batch_no).alias("batch_no")), kpi.touched)
    deleted = int(table.delete(writing.match(fact.grain, [f"gone_{name}" for name in fact.grain]), writing.renamed(gone, fact.grain, "gone")).rows_deleted)
    if deleted:
        fact_step.forget_members(run, fact)
    return deleted
