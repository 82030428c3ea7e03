"""The sweep: rows of bronze that were taken and are past retention go, a bounded number at a time; the log, the quarantine
and what facts have seen are kept as long as they are needed."""

from datetime import datetime, timedelta
from functools import reduce
from operator import and_

import filing
import loading
import snowflake.snowpark.functions as F
import watermark
import writing
from dimension_step import CHANGED_WINDOW
from runlog import LOG, StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column, DataFrame, Table, Window
from specs import Source

FILE = ("file_name", "content_key")


def sweep(run: Run) -> StepResult:
    """Deletes rows of bronze that are in the ledger and past retention; the rest of the old rows is held.

    What may go is decided while the turn is held, so that no load or rewind changes the ledger meanwhile.  Bronze is another
    database: each source's DELETE commits on its own and again asks the ledger; to run it again changes nothing.
    """
    result = StepResult("sweep", utc_now())
    cutoff = result.started_at - run.pipeline.bronze_retention
    held_back = {}
    if any(has_old(run, source, cutoff) for source in run.pipeline.sources):
        with writing.transaction(run.session) as opened:
            run.take_turn(result)
            held_back = {source.name: newest_to_go(run, source, cutoff) for source in run.pipeline.sources}
            opened.keep = False
    for source in run.pipeline.sources:
        last = held_back.get(source.name)
        if last is not None:
            old = old_rows(run, source, cutoff).count()
            deleted = delete_taken(run, source, last)
            result.read += old
            result.deleted += deleted
            result.detail[source.name] = {"deleted": deleted, "held": old - deleted}
        look_for_stragglers(run, source)
    result.written, result.held = result.deleted, result.read - result.deleted
    forget_old_log_rows(run, result.started_at)
    forgotten = forget_decided(run, result.started_at)
    if result.deleted or forgotten or has_old_entries(run, cutoff):
        with writing.transaction(run.session) as opened:
            run.take_turn(result)
            run.session.table(CHANGED_WINDOW).delete(used_windows(run))
            folded = [filing.fold(run.session, run.bronze_name(source), run.pipeline.name, source, cutoff, result.started_at) for source in run.pipeline.sources]
            if result.deleted or forgotten or any(folded):
                return run.commit_with(result)
            opened.keep = False
    result.read = result.held = 0
    return run.log(result.nothing_new())


def has_old_entries(run: Run, cutoff: datetime) -> bool:
    """Whether the ledger has entries to fold: also those of a sweep that died after its DELETE in bronze had committed."""
    of_pipeline = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("loaded_at") < F.lit(cutoff))
    return bool(run.session.table(watermark.LEDGER).filter(of_pipeline).limit(1).count())


def old_rows(run: Run, source: Source, cutoff: datetime) -> DataFrame:
    return run.bronze(source).filter(F.col("_loaded_at") < F.lit(cutoff))


def has_old(run: Run, source: Source, cutoff: datetime) -> bool:
    return bool(old_rows(run, source, cutoff).limit(1).count())


def newest_to_go(run: Run, source: Source, cutoff: datetime) -> datetime | None:
    """Rows that arrived up to this moment go now: the oldest loads, until they hold as many rows as one sweep may take.

    Loads of one moment go together, so that each sweep gets on; what is left goes with the next.
    """
    loads = old_rows(run, source, cutoff).group_by("_file_name", "_content_key", "_loaded_at").agg(F.count(F.lit(1)).alias("row_count"))
    whole = without_waiting(run, source, loads, "_").group_by("_loaded_at").agg(F.sum("row_count").alias("row_count"))
    so_far = F.sum("row_count").over(Window.order_by("_loaded_at")) - F.col("row_count")
    going = whole.select(F.col("_loaded_at").alias("loaded_at"), so_far.alias("before")).filter(F.col("before") < F.lit(run.pipeline.sweep_limit))
    return going.agg(F.max("loaded_at").alias("last")).collect()[0]["LAST"]


def without_waiting(run: Run, source: Source, rows: DataFrame, prefix: str) -> DataFrame:
    """Rows of loads that the ledger has whole.

    Of a load that came in parts and is not all taken nothing goes: what waits is found by its count, and would be no more.
    """
    ledger = run.session.table(watermark.LEDGER)
    waiting = watermark.waiting(run.bronze(source), ledger, run.pipeline.name, source, watermark.BEGINNING)
    own = (f"{prefix}file_name", f"{prefix}content_key", f"{prefix}loaded_at")
    same = [F.col(a) == F.col(b) for a, b in zip(own, ("waiting_file", "waiting_content", "waiting_at"), strict=True)]
    return rows.join(waiting, on=reduce(and_, same), how="leftanti")


def delete_taken(run: Run, source: Source, last: datetime) -> int:
    """Never by `<= LETS`: a row that came late under an old stamp would go unseen. Only what the ledger names goes."""
    ledger = watermark.entries(run.session.table(watermark.LEDGER), run.pipeline.name, source)
    old = without_waiting(run, source, ledger.filter(F.col("loaded_at") <= F.lit(last)), "")
    taken = old.select(*[F.col(name).alias(f"taken_{name}") for name in (*watermark.LOAD, "first_row", "last_row")])
    is_taken = (
        (F.col("_loaded_at") <= F.lit(last))
        & (F.col("_file_name") == F.col("taken_file_name"))
        & (F.col("_content_key") == F.col("taken_content_key"))
        & (F.col("_loaded_at") == F.col("taken_loaded_at"))
        & F.col("_row_number").between(F.col("taken_first_row"), F.col("taken_last_row"))
    )
    return int(run.bronze(source).delete(is_taken, taken).rows_deleted)


def forget_decided(run: Run, now: datetime) -> int:
    """Takes rows out of the quarantine that were released or discarded longer ago than its retention.

    A row that waits is never taken out: it was promised that nothing is lost.  The ledger counts a forgotten row among the
    events when it became one, so that silver still balances.
    """
    table = run.session.table(loading.QUARANTINE)
    old = (
        (F.col("pipeline") == F.lit(run.pipeline.name))
        & (F.col("status") != F.lit("waiting"))
        & (F.col("decided_at") < F.lit(now - run.pipeline.quarantine_retention))
    )
    if not table.filter(old).count():
        return 0
    with writing.transaction(run.session):
        watermark.take_turn(run.session, run.pipeline.name, run.run_id, now)
        gone = table.filter(old).select(
            *[F.col(name).alias(f"gone_{name}") for name in ("source", *watermark.LOAD, "row_number")],
            F.iff(F.col("released_as") == F.lit("event"), F.lit(1), F.lit(0)).alias("gone_event"),
        )
        ledger = run.session.table(watermark.LEDGER)
        ranges = ledger.filter((F.col("pipeline") == F.lit(run.pipeline.name)) & ~F.col("is_duplicate")).select(
            *[F.col(name).alias(f"of_{name}") for name in ("source", *watermark.LOAD, "first_row", "last_row")]
        )
        same = [F.col(f"gone_{name}") == F.col(f"of_{name}") for name in ("source", *watermark.LOAD)]
        inside = reduce(and_, [*same, F.col("gone_row_number").between(F.col("of_first_row"), F.col("of_last_row"))])
        in_range = gone.join(ranges, on=inside, how="inner")
        lower_counts(ledger, in_range, ("source", *watermark.LOAD, "first_row"), "of", ~F.col("is_duplicate"), run)
        lower_counts(run.session.table(watermark.FILES), gone.join(ranges, on=inside, how="leftanti"), ("source", *FILE), "gone", F.lit(True), run)
        return int(table.delete(old).rows_deleted)


def lower_counts(entries: Table, gone: DataFrame, keys: tuple[str, ...], prefix: str, which: Column, run: Run) -> None:
    """Counts rows that leave the quarantine no longer as waiting there, and those that became events as events."""
    counts = gone.group_by(*[f"{prefix}_{name}" for name in keys]).agg(
        F.count(F.lit(1)).alias("gone_count"), F.sum("gone_event").alias("gone_events")
    )
    own = [F.col(name) == F.col(f"{prefix}_{name}") for name in keys]
    entries.update(
        {
            "quarantined_count": F.col("quarantined_count") - F.col("gone_count"),
            "event_count": F.col("event_count") + F.col("gone_events"),
        },
        reduce(and_, [*own, F.col("pipeline") == F.lit(run.pipeline.name), which]),
        counts,
    )


def look_for_stragglers(run: Run, source: Source) -> None:
    """Rows that landed below LETS less overlap were missed: the next load starts early enough to take them."""
    mark = run.mark(source.step)
    if mark.lets is None:
        return
    ledger = run.session.table(watermark.LEDGER)
    missed = watermark.waiting(run.bronze(source), ledger, run.pipeline.name, source, watermark.BEGINNING)
    floor = mark.lets - source.overlap
    oldest = missed.filter(F.col("waiting_at") <= F.lit(floor)).select(F.min(F.col("waiting_at")).alias("oldest"))
    found = oldest.collect()[0]["OLDEST"]
    if found is not None:
        run.session.sql(
            f"UPDATE {watermark.CONTROL} SET late_from = ? WHERE pipeline = ? AND step = ?",
            params=[found - timedelta(seconds=1), run.pipeline.name, source.step],
        ).collect()


def used_windows(run: Run) -> Column:
    """Changed windows that every fact of the pipeline has seen."""
    seen = [run.mark(fact.step).last_batch for fact in run.pipeline.facts]
    return (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("batch_no") < F.lit(min(seen, default=0)))


def forget_old_log_rows(run: Run, now: datetime) -> None:
    """Idle runs leave a row per step every few seconds: they are worth a day, the others their retention."""
    run.session.sql(
        f"DELETE FROM {LOG} WHERE pipeline = ? AND (ended_at < ? OR (ended_at < ? AND "
        "(status = 'nothing new' OR (status IN ('begun', 'ended') AND run_id NOT IN "
        f"(SELECT run_id FROM {LOG} WHERE status IN ('failed', 'succeeded'))))))",
        params=[run.pipeline.name, now - run.pipeline.log_retention, now - timedelta(days=1)],
    ).collect()
