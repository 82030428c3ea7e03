"""The load step: one batch from bronze to silver; rows that fail a check go to quarantine."""

from collections import Counter
from datetime import datetime

import names
import snowflake.snowpark.functions as F
import watermark
import writing
from cleaning import judged, typed, with_outcome
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import DataFrame, Row
from specs import Source
from transforming import transformed

QUARANTINE = "control.quarantine"


class SourceStopped(RuntimeError):
    """A source failed more checks than its spec allows; nothing of the batch was written."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}. Nothing of this batch was loaded; its rows stay in bronze.")


def load(run: Run, name: str) -> StepResult:
    """Moves one batch from bronze to silver; rows that fail a check go to quarantine."""
    source, session = run.pipeline.source(name), run.session
    result = StepResult(source.step, utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        mark = run.mark(source.step)
        floor = watermark.floor_of(mark, source)
        ledger = session.table(watermark.LEDGER)
        if watermark.waiting(run.bronze(source), ledger, run.pipeline.name, source, floor).count() == 0:
            opened.keep = False
        else:
            batch = watermark.batch(run.bronze(source), ledger, run.pipeline.name, source, floor)
            silver = run.silver(source)
            rows = with_outcome(judged(transformed(typed(batch, source), source), source, silver), silver[source.name], source)
            writing.append(rows, source.stage)
            staged = session.table(source.stage)
            summary = summarise(staged)
            stop_where_asked(source, summary)
            writing.append(events(staged, source, batch_no), source.silver)
            if any(row["OUTCOME"] == "quarantined" for row in summary):
                writing.append(failing(staged, source, run, batch_no, result.started_at), QUARANTINE)
            watermark.enter(staged, run.pipeline.name, source, batch_no, result.started_at)
            writing.clear(session, source.stage)
            count_load(result, summary, mark)
            result.written = writing.count_of_batch(session, source.silver, batch_no)
            result.inserted = result.written
            return run.commit_with(result)
    return run.log(result.nothing_new())


def summarise(staged: DataFrame) -> list[Row]:
    """The batch in numbers: a row for each outcome and set of failed and warned checks."""
    return (
        staged.group_by("outcome", "failed_checks", "warned_checks", "stops", "is_repeat")
        .agg(F.count(F.lit(1)).alias("row_count"), F.max(F.col("loaded_at")).alias("newest"))
        .collect()
    )


def stop_where_asked(source: Source, summary: list[Row]) -> None:
    """Raises SourceStopped when a check with `otherwise: stop` failed, or the share of `stop_if` is passed."""
    fresh = [row for row in summary if not row["IS_REPEAT"]]
    stopping = Counter(row["FAILED_CHECKS"] for row in fresh if row["STOPS"])
    if stopping:
        raise SourceStopped(source.name, f"rows failed a check that stops the source: {', '.join(sorted(stopping))}")
    total = sum(row["ROW_COUNT"] for row in fresh)
    bad = sum(row["ROW_COUNT"] for row in fresh if row["OUTCOME"] == "quarantined")
    if source.stop_if is not None and total and bad / total > source.stop_if:
        raise SourceStopped(source.name, f"{bad} of {total} rows failed a check, more than {source.stop_if:.0%}")


def count_load(result: StepResult, summary: list[Row], mark: watermark.Mark) -> None:
    """Fills in what a load read and what became of it, check by check."""
    failed: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    for row in summary:
        result.read += row["ROW_COUNT"]
        if row["OUTCOME"] == "duplicate":
            result.duplicate += row["ROW_COUNT"]
        elif row["OUTCOME"] == "quarantined":
            result.quarantined += row["ROW_COUNT"]
            failed.update({check: row["ROW_COUNT"] for check in row["FAILED_CHECKS"].split(",")})
        if row["OUTCOME"] == "event" and row["WARNED_CHECKS"]:
            warned.update({check: row["ROW_COUNT"] for check in row["WARNED_CHECKS"].split(",")})
    result.lets_from = mark.lets
    result.lets_to = max([row["NEWEST"] for row in summary] + ([mark.lets] if mark.lets else []), default=mark.lets)
    result.detail = {"failed_checks": dict(failed), "warned_checks": dict(warned)}


def events(staged: DataFrame, source: Source, batch_no: int) -> DataFrame:
    """The batch's new events as silver holds them."""
    columns = [*(c.name for c in source.columns), "is_deleted", "effective_at", *source.marks, *names.PROVENANCE]
    passing = staged.filter(F.col("outcome") == F.lit("event"))
    return passing.select(*[F.col(column) for column in columns], F.lit(batch_no).alias("batch_no"))


def failing(staged: DataFrame, source: Source, run: Run, batch_no: int, now: datetime) -> DataFrame:
    """The batch's failing rows as the quarantine holds them."""
    place = F.concat(F.lit(f"{source.name}/"), F.col("content_key"), F.lit("/"), F.col("row_number").cast("string"))
    return staged.filter(F.col("outcome") == F.lit("quarantined")).select(
        place.alias("quarantine_id"),
        F.lit(run.pipeline.name).alias("pipeline"),
        F.lit(source.name).alias("source"),
        F.lit(run.run_id).alias("run_id"),
        F.lit(batch_no).alias("batch_no"),
        F.lit(run.spec_version).alias("spec_version"),
        *[F.col(name) for name in (*names.PROVENANCE, "row_values")],
        F.split(F.col("failed_checks"), F.lit(",")).alias("failed_checks"),
        F.lit(now).alias("quarantined_at"),
        F.lit("waiting").alias("status"),
    )
