"""The load step: one batch from bronze to silver; rows that fail a check go to quarantine."""

from collections import Counter
from datetime import datetime

import arrival
import duplicates
import filing
import names
import snowflake.snowpark.functions as F
import watermark
import writing
from cleaning import judged, screened, staged_columns, typed
from runlog import AccountsUnbalanced, StepResult
from runs import Run, utc_now
from snowflake.snowpark import DataFrame, Row
from specs import Source
from transforming import transformed

QUARANTINE = "control.quarantine"
QUARANTINED = (
    *("quarantine_id", "pipeline", "source", "run_id", "batch_no", "spec_version"),
    *names.PROVENANCE,
    *("row_values", "failed_checks", "quarantined_at", "status"),
)
ATTEMPTS = 3  # at reading loads that grow meanwhile


class SourceStopped(RuntimeError):
    """A source failed more checks than its spec allows; nothing of the batch was written."""

    error_class = "data"

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}. Nothing of this batch was loaded; its rows stay in bronze.")


def load(run: Run, name: str) -> StepResult:
    """Moves one batch from bronze to silver; rows that fail a check go to quarantine.

    Every count is taken where it happens: what is read in bronze, before a row is touched; what is written,
    quarantined or found to be there already, by the server when it does it.  They must add up.
    """
    source = run.pipeline.source(name)
    result = StepResult(source.step, utc_now())
    with writing.transaction(run.session) as opened:
        turn = run.turn(result)
        heard = arrival.consume(run, source)
        if take(run, source, turn.mark(source.step), turn.batch_no, result):
            result.detail |= heard.detail
            return run.commit_with(result)
        opened.keep = heard.is_consumed  # or the stream would start the graph again and again
    result.detail |= heard.detail
    return run.log(result.nothing_new())


def take(run: Run, source: Source, mark: watermark.Mark, batch_no: int, result: StepResult) -> bool:
    """Takes the batch that waits, inside the caller's transaction, and counts it; False when nothing waits."""
    session = run.session
    hand = fetch(run, source, mark, result)
    if hand is None:
        return False
    staged = session.table(source.stage)
    summary = summarise(staged)
    stop_where_asked(source, summary)
    count_load(result, hand, summary, mark)
    result.duplicate += duplicates.mark(session, source)
    result.written = result.inserted = writing.insert(session, events(staged, source, batch_no), source.silver, kept(source))
    if any(row["OUTCOME"] == "quarantined" for row in summary):
        rows = failing(staged, source, run, batch_no, result.started_at)
        result.quarantined = writing.insert(session, rows, QUARANTINE, QUARANTINED)
    settle(run, source, staged, hand, batch_no, result)
    return True


def fetch(run: Run, source: Source, mark: watermark.Mark, result: StepResult) -> watermark.Hand | None:
    """Fills the stage with the rows of the waiting loads, decided upon; None when nothing waits.

    A file may commit in parts: when a load has grown between being counted and being read, both are done again.
    """
    session, own = run.session, (run.pipeline.name, source)
    bronze = run.bronze(source)
    staged_count = 0
    for _ in range(ATTEMPTS):
        if watermark.take_loads(session, run.bronze_name(source), *own, watermark.floor_of(mark, source)) == 0:
            return None
        hand, loads = watermark.counted(session, *own, mark.lets), watermark.in_hand(session, *own)
        plain = hand.plain
        rows = watermark.plain_batch(bronze, loads, source) if plain else watermark.batch(bronze, loads, filing.places(session), *own)
        decided = screened(judged(transformed(typed(rows, source), source), source, run.silver(source)), source)
        staged_count = writing.insert(session, decided, source.stage, staged_columns(source))
        if staged_count == hand.rows:
            return hand
        writing.clear(session, source.stage)
        watermark.drop_hand(session, *own)
    raise AccountsUnbalanced(result.step, {"in bronze": hand.rows, "read": staged_count})


def settle(run: Run, source: Source, staged: DataFrame, hand: watermark.Hand, batch_no: int, result: StepResult) -> None:
    """Enters the batch in the ledger and empties the hands; raises AccountsUnbalanced when a load is not entered whole."""
    own = (run.pipeline.name, source)
    writing.insert(run.session, watermark.ranges(staged, *own, batch_no, result.started_at), watermark.LEDGER, watermark.ENTRY)
    writing.clear(run.session, source.stage)
    entered = watermark.let_go(run.session, *own, batch_no)
    if entered != hand.loads:
        raise AccountsUnbalanced(result.step, {"loads taken": hand.loads, "loads entered whole": entered})


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


def count_load(result: StepResult, hand: watermark.Hand, summary: list[Row], mark: watermark.Mark) -> None:
    """Fills in what a load read, and what its checks said."""
    failed: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    for row in summary:
        if row["OUTCOME"] == "duplicate":
            result.duplicate += row["ROW_COUNT"]
        elif row["OUTCOME"] == "quarantined":
            failed.update({check: row["ROW_COUNT"] for check in row["FAILED_CHECKS"].split(",")})
        elif row["WARNED_CHECKS"]:
            warned.update({check: row["ROW_COUNT"] for check in row["WARNED_CHECKS"].split(",")})
    result.read = hand.rows
    result.lets_from = mark.lets
    result.lets_to = max([row["NEWEST"] for row in summary] + ([mark.lets] if mark.lets else []), default=mark.lets)
    result.detail = {"failed_checks": dict(failed), "warned_checks": dict(warned), "loads": hand.loads, "late": hand.late}


def kept(source: Source) -> tuple[str, ...]:
    """The columns of silver, in its order."""
    return (*(c.name for c in source.columns), "is_deleted", "effective_at", *source.marks, *names.PROVENANCE, "batch_no")


def events(staged: DataFrame, source: Source, batch_no: int) -> DataFrame:
    """The batch's new events as silver holds them."""
    passing = staged.filter(F.col("outcome") == F.lit("event"))
    return passing.select(*[F.col(column) for column in kept(source)[:-1]], F.lit(batch_no).alias("batch_no"))


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
