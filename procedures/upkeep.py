"""What a run does besides moving rows: it opens, sweeps bronze, and closes with a word on how it went."""

from datetime import datetime, timedelta
from typing import Any

import filing
import runlog
import snowflake.snowpark.functions as F
import turns
import watermark
import writing
from runlog import LOG, StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column
from specs import Source
from steps import CHANGED_WINDOW


def begin(run: Run, what: str = "run") -> dict[str, Any]:
    """Says in the log that the run has begun, and puts its id where a reader looks for what is going on."""
    if what == "run":
        set_status(run, "running")
    turns.begin(run.session, run.pipeline.name, run.run_id, run.spec_version, what=what, by=run.by, now=utc_now())
    return {"run_id": run.run_id, "pipeline": run.pipeline.name, "status": "running"}


def set_status(run: Run, status: str) -> None:
    run.session.sql(
        f"UPDATE {watermark.CONTROL} SET status = ?, run_id = ?, updated_at = ? WHERE pipeline = ? AND step = 'pipeline'",
        params=[status, run.run_id, utc_now(), run.pipeline.name],
    ).collect()


def finish(run: Run, what: str = "run") -> dict[str, Any]:
    """The run in a word, from the newest row of each step: failed when one failed, nothing new when none wrote anything."""
    newest = runlog.latest(run.session, run.run_id)[1]
    steps = {step: row for step, row in newest.items() if row["STATUS"] not in (turns.BEGUN, turns.ENDED)}
    statuses = {row["STATUS"] for row in steps.values()}
    status = next((word for word in ("failed", "succeeded") if word in statuses), "nothing new")
    failures = {step: row["ERROR"] for step, row in steps.items() if row["STATUS"] == "failed"}
    resume = f"CALL core.resume('{run.run_id}')" if failures else None
    detail = {"status": status, "failed": sorted(failures), "resume": resume}
    turns.end(run.session, run.pipeline.name, run.run_id, run.spec_version, detail=detail, now=utc_now())
    if what == "run":
        set_status(run, status)
    return {"run_id": run.run_id, "pipeline": run.pipeline.name, "status": status, "failures": failures, "resume": resume}


def sweep(run: Run) -> StepResult:
    """Deletes rows of bronze that are in the ledger and past retention; the rest of the old rows is held.

    Bronze is another database, so each source's DELETE commits on its own; to run it again changes nothing.
    """
    result = StepResult("sweep", utc_now())
    cutoff = result.started_at - run.pipeline.bronze_retention
    for source in run.pipeline.sources:
        old = run.bronze(source).filter(F.col("_loaded_at") < F.lit(cutoff)).count()
        if old:
            deleted = delete_taken(run, source, cutoff)
            result.read += old
            result.deleted += deleted
            result.detail[source.name] = {"deleted": deleted, "held": old - deleted}
        look_for_stragglers(run, source)
    result.written, result.held = result.deleted, result.read - result.deleted
    forget_old_log_rows(run, result.started_at)
    if result.deleted == 0:
        result.read = result.held = 0
        return run.log(result.nothing_new())
    with writing.transaction(run.session):
        run.take_turn(result)
        run.session.table(CHANGED_WINDOW).delete(used_windows(run))
        for source in run.pipeline.sources:
            filing.fold(run.session, run.bronze_name(source), run.pipeline.name, source, cutoff, result.started_at)
        return run.commit_with(result)


def delete_taken(run: Run, source: Source, cutoff: datetime) -> int:
    """Never by `<= LETS`: a row that came late under an old stamp would go unseen. Only what the ledger names goes."""
    ledger = watermark.entries(run.session.table(watermark.LEDGER), run.pipeline.name, source)
    taken = ledger.filter(F.col("loaded_at") < F.lit(cutoff)).select(
        *[F.col(name).alias(f"taken_{name}") for name in (*watermark.LOAD, "first_row", "last_row")]
    )
    is_taken = (
        (F.col("_loaded_at") < F.lit(cutoff))
        & (F.col("_file_name") == F.col("taken_file_name"))
        & (F.col("_content_key") == F.col("taken_content_key"))
        & (F.col("_loaded_at") == F.col("taken_loaded_at"))
        & F.col("_row_number").between(F.col("taken_first_row"), F.col("taken_last_row"))
    )
    return int(run.bronze(source).delete(is_taken, taken).rows_deleted)


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
