"""Which rows of bronze a load takes, and the record that it took them.

A row is known by its place in a file's content, (content_key, row_number), and taken once.  LETS says where to look;
the ledger says what is done.  Arrival stamps are not commit order, so looking starts an overlap before LETS.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import names
import snowflake.snowpark.functions as F
from snowflake.snowpark import Column, DataFrame, Row, Session, Window
from specs import Source

CONTROL, LEDGER, HAND = "control.parameter_control", "control.ledger", "control.loads_in_hand"
FILES = "control.file_ledger"  # see filing
ENTRY = (
    *("pipeline", "source", "file_name", "content_key", "loaded_at", "first_row", "last_row", "row_count"),
    *("is_duplicate", "batch_no", "taken_at", "event_count", "quarantined_count"),
)
LOAD = ("file_name", "content_key", "loaded_at")  # one load of one file
BEGINNING = datetime(1900, 1, 1)


@dataclass(frozen=True)
class Mark:
    """A step's row in parameter_control: LETS, and the last batch it has seen."""

    lets: datetime | None
    late_from: datetime | None
    last_batch: int


@dataclass(frozen=True)
class Lock:
    """The pipeline's turn: taken with its next batch number, given back by the end of the transaction.

    `marks` says where each step stands, by its name.
    """

    batch_no: int
    marks: Mapping[str, Mark]

    def mark(self, step: str) -> Mark:
        """Where a step stands; a step that never ran stands at the beginning."""
        return self.marks.get(step, Mark(None, None, 0))


@dataclass(frozen=True)
class Hand:
    """The loads of files a batch takes, counted in bronze before their rows are read.

    `rows` is what bronze holds of them and the ledger has not; `late` of these lie below LETS less the overlap; `plain`
    says that nothing of their content was ever taken and no two of them have the same.
    """

    loads: int
    rows: int
    late: int
    plain: bool


def take_turn(session: Session, pipeline: str, run_id: str, now: datetime) -> Lock:
    """Takes the turn, and reads where every step stands."""
    lock(session, pipeline, run_id, now)
    rows = session.sql(f"SELECT step, lets, late_from, last_batch FROM {CONTROL} WHERE pipeline = ?", params=[pipeline]).collect()
    marks = {row["STEP"]: Mark(row["LETS"], row["LATE_FROM"], int(row["LAST_BATCH"] or 0)) for row in rows}
    return Lock(marks["pipeline"].last_batch, marks)


def lock(session: Session, pipeline: str, run_id: str, now: datetime) -> None:
    """Takes the pipeline's control row, first of all: a second runner waits here until this transaction ends."""
    updated = session.sql(
        f"UPDATE {CONTROL} SET last_batch = last_batch + 1, run_id = ?, updated_at = ? "
        "WHERE pipeline = ? AND step = 'pipeline'",
        params=[run_id, now, pipeline],
    ).collect()
    if not updated or not updated[0][0]:
        raise PipelineUnknown(pipeline)


def touched_sql(table: str, period: str) -> str:
    """The turn's batch, the last batch a KPI has seen, and what was touched since, in numbers.  Bound: pipeline, its step.

    >>> print(touched_sql("control.touched_monthly", "month"))
    SELECT turn.last_batch AS batch_no, own.last_batch AS since, COUNT(touched.batch_no) AS touched_count,
        COUNT(touched.month) AS dated_count, MIN(touched.month) AS first_period, MAX(touched.month) AS last_period
    FROM control.parameter_control AS turn
    INNER JOIN control.parameter_control AS own ON own.pipeline = turn.pipeline
    LEFT JOIN control.touched_monthly AS touched ON touched.batch_no > own.last_batch
    WHERE turn.pipeline = ? AND turn.step = 'pipeline' AND own.step = ?
    GROUP BY turn.last_batch, own.last_batch
    """
    dated = f"touched.{names.identifier(period)}" if period else "CAST(NULL AS DATE)"
    return f"""SELECT turn.last_batch AS batch_no, own.last_batch AS since, COUNT(touched.batch_no) AS touched_count,
    COUNT({dated}) AS dated_count, MIN({dated}) AS first_period, MAX({dated}) AS last_period
FROM {CONTROL} AS turn
INNER JOIN {CONTROL} AS own ON own.pipeline = turn.pipeline
LEFT JOIN {names.qualified(*table.split("."))} AS touched ON touched.batch_no > own.last_batch
WHERE turn.pipeline = ? AND turn.step = 'pipeline' AND own.step = ?
GROUP BY turn.last_batch, own.last_batch"""


def take_turn_of(session: Session, pipeline: str, step: str, touched: str, period: str, run_id: str, now: datetime) -> Row:
    """Takes the turn, and reads for one KPI what `touched_sql` gives."""
    lock(session, pipeline, run_id, now)
    return session.sql(touched_sql(touched, period), params=[pipeline, step]).collect()[0]


class PipelineUnknown(LookupError):
    """No pipeline of this name has been applied."""

    error_class = "contract"

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        super().__init__(f"No pipeline `{pipeline}` is applied here. To apply one: CALL config.apply_packaged('retail')")


def control_row(session: Session, pipeline: str, step: str) -> Row | None:
    found = session.sql(
        f"SELECT lets, late_from, last_batch FROM {CONTROL} WHERE pipeline = ? AND step = ?", params=[pipeline, step]
    ).collect()
    return found[0] if found else None


def mark(session: Session, pipeline: str, step: str) -> Mark:
    """Where a step stands; a step that never ran stands at the beginning."""
    row = control_row(session, pipeline, step)
    return Mark(row["LETS"], row["LATE_FROM"], int(row["LAST_BATCH"] or 0)) if row else Mark(None, None, 0)


def advance(
    session: Session,
    pipeline: str,
    step: str,
    *,
    batch_no: int,
    run_id: str,
    now: datetime,
    lets: datetime | None,
    counts: Sequence[int] = (0, 0, 0, 0, 0, 0),
) -> None:
    """Moves a step's mark; commits with the rows.  LETS never goes back.

    `counts` are the batch's rows: read, written, duplicate, superseded, quarantined, held.
    """
    session.sql(
        f"UPDATE {CONTROL} SET last_batch = ?, run_id = ?, updated_at = ?, late_from = NULL, status = 'succeeded', "
        "lets = IFF(lets IS NULL OR lets < ?, ?, lets), rows_read = ?, rows_written = ?, rows_duplicate = ?, "
        "rows_superseded = ?, rows_quarantined = ?, rows_held = ? WHERE pipeline = ? AND step = ?",
        params=[batch_no, run_id, now, lets, lets, *counts, pipeline, step],
    ).collect()


def floor_of(session_mark: Mark, source: Source) -> datetime:
    """Bronze rows that arrived at or before this moment are not looked for again."""
    if session_mark.lets is None:
        return BEGINNING
    floor = session_mark.lets - source.overlap
    return min(floor, session_mark.late_from) if session_mark.late_from else floor


def waiting(bronze: DataFrame, ledger: DataFrame, pipeline: str, source: Source, floor: datetime) -> DataFrame:
    """Loads of files of which bronze holds more rows than the ledger has entered.

    A narrow scan: counts per load decide, and only the loads found here have their rows looked at.
    Gives: waiting_file, waiting_content, waiting_at, row_count (of bronze)
    """
    held = bronze.filter(F.col("_loaded_at") > F.lit(floor)).group_by("_file_name", "_content_key", "_loaded_at")
    counts = held.agg(F.count(F.lit(1)).alias("row_count")).select(
        F.col("_file_name").alias("waiting_file"),
        F.col("_content_key").alias("waiting_content"),
        F.col("_loaded_at").alias("waiting_at"),
        F.col("row_count"),
    )
    own = entries(ledger, pipeline, source).filter(F.col("loaded_at") > F.lit(floor))
    entered = own.group_by(*LOAD).agg(F.sum(F.col("row_count")).alias("entered_count"))
    same_load = (
        (F.col("waiting_file") == F.col("file_name"))
        & (F.col("waiting_content") == F.col("content_key"))
        & (F.col("waiting_at") == F.col("loaded_at"))
    )
    compared = counts.join(entered, on=same_load, how="left")
    return compared.filter(F.col("row_count") > F.coalesce(F.col("entered_count"), F.lit(0))).select(
        "waiting_file", "waiting_content", "waiting_at", "row_count"
    )


def waiting_sql(bronze: str) -> str:
    """Notes the loads that `waiting` speaks of; each takes the pipeline, the source and the floor as they come.

    The rows of bronze count one each, what the ledger has entered counts against them, and what is left is waiting.

    >>> print(waiting_sql("landing.bronze.items"))
    INSERT INTO control.loads_in_hand (pipeline, source, waiting_file, waiting_content, waiting_at, row_count, is_plain)
    WITH counted AS (
        SELECT _file_name AS file_name, _content_key AS content_key, _loaded_at AS loaded_at, 1 AS row_count
        FROM landing.bronze.items
        WHERE _loaded_at > ?
        UNION ALL
        SELECT file_name, content_key, loaded_at, -row_count
        FROM control.ledger
        WHERE pipeline = ? AND source = ? AND loaded_at > ?
    ),
    waiting AS (
        SELECT file_name, content_key, loaded_at, SUM(row_count) AS row_count
        FROM counted
        GROUP BY file_name, content_key, loaded_at
        HAVING SUM(row_count) > 0
    )
    SELECT ?, ?, file_name, content_key, loaded_at, row_count, COUNT(*) OVER (PARTITION BY content_key) = 1
        AND content_key NOT IN (SELECT content_key FROM control.ledger WHERE pipeline = ? AND source = ?)
        AND content_key NOT IN (SELECT content_key FROM control.file_ledger WHERE pipeline = ? AND source = ?)
    FROM waiting
    """
    return f"""INSERT INTO {HAND} (pipeline, source, waiting_file, waiting_content, waiting_at, row_count, is_plain)
WITH counted AS (
    SELECT _file_name AS file_name, _content_key AS content_key, _loaded_at AS loaded_at, 1 AS row_count
    FROM {bronze}
    WHERE _loaded_at > ?
    UNION ALL
    SELECT file_name, content_key, loaded_at, -row_count
    FROM {LEDGER}
    WHERE pipeline = ? AND source = ? AND loaded_at > ?
),
waiting AS (
    SELECT file_name, content_key, loaded_at, SUM(row_count) AS row_count
    FROM counted
    GROUP BY file_name, content_key, loaded_at
    HAVING SUM(row_count) > 0
)
SELECT ?, ?, file_name, content_key, loaded_at, row_count, COUNT(*) OVER (PARTITION BY content_key) = 1
    AND content_key NOT IN (SELECT content_key FROM {LEDGER} WHERE pipeline = ? AND source = ?)
    AND content_key NOT IN (SELECT content_key FROM {FILES} WHERE pipeline = ? AND source = ?)
FROM waiting"""


def take_loads(session: Session, bronze: str, pipeline: str, source: Source, floor: datetime) -> int:
    """Takes the waiting loads in hand; gives their number."""
    own = (pipeline, source.name)
    noted = session.sql(waiting_sql(bronze), params=[floor, *own, floor, *own, *own, *own]).collect()
    return int(noted[0][0])


def in_hand(session: Session, pipeline: str, source: Source) -> DataFrame:
    return session.table(HAND).filter((F.col("pipeline") == F.lit(pipeline)) & (F.col("source") == F.lit(source.name)))


def counted(session: Session, pipeline: str, source: Source, lets: datetime | None) -> Hand:
    """The loads in hand in numbers."""
    late_below = BEGINNING if lets is None else lets - source.overlap
    row = session.sql(
        "SELECT COUNT(*) AS loads, SUM(row_count) AS row_count, SUM(IFF(waiting_at <= ?, row_count, 0)) AS late, "
        f"COUNT(IFF(is_plain, NULL, 1)) AS known FROM {HAND} WHERE pipeline = ? AND source = ?",
        params=[late_below, pipeline, source.name],
    ).collect()[0]
    return Hand(int(row["LOADS"]), int(row["ROW_COUNT"] or 0), int(row["LATE"] or 0), row["KNOWN"] == 0)


def let_go(session: Session, pipeline: str, source: Source, batch_no: int) -> int:
    """Lets go of the loads whose every row this batch has entered in the ledger; gives their number."""
    own = [pipeline, source.name]
    done = session.sql(
        f"DELETE FROM {HAND} USING (SELECT file_name, content_key, loaded_at, SUM(row_count) AS entered_count "
        f"FROM {LEDGER} WHERE pipeline = ? AND source = ? AND batch_no = ? GROUP BY file_name, content_key, loaded_at) "
        "WHERE pipeline = ? AND source = ? AND waiting_file = file_name AND waiting_content = content_key "
        "AND waiting_at = loaded_at AND row_count = entered_count",
        params=[*own, batch_no, *own],
    ).collect()
    return int(done[0][0])


def drop_hand(session: Session, pipeline: str, source: Source) -> None:
    session.sql(f"DELETE FROM {HAND} WHERE pipeline = ? AND source = ?", params=[pipeline, source.name]).collect()


def entries(ledger: DataFrame, pipeline: str, source: Source) -> DataFrame:
    return ledger.filter((F.col("pipeline") == F.lit(pipeline)) & (F.col("source") == F.lit(source.name)))


def rows_of(bronze: DataFrame, loads: DataFrame) -> DataFrame:
    """Bronze's rows of these loads: waiting_file, waiting_content, waiting_at."""
    of_load = (
        (F.col("_file_name") == F.col("waiting_file"))
        & (F.col("_content_key") == F.col("waiting_content"))
        & (F.col("_loaded_at") == F.col("waiting_at"))
    )
    return bronze.join(loads, on=of_load, how="leftsemi")


def plain_batch(bronze: DataFrame, loads: DataFrame, source: Source) -> DataFrame:
    """`batch` for loads of which nothing was taken and no two have the same content: every row of them, none a repeat."""
    return as_batch(rows_of(bronze, loads), source, F.lit(False))


def batch(bronze: DataFrame, loads: DataFrame, ledger: DataFrame, pipeline: str, source: Source) -> DataFrame:
    """The rows of bronze a load takes, with `is_repeat`: its place in its file's content was taken before.

    That is a re-sent file, under its own name or another, or one loaded twice; earlier in the same batch counts too.
    Reads of `ledger`: pipeline, source, the load, first_row, last_row, is_duplicate
    """
    rows = rows_of(bronze, loads)
    own = entries(ledger, pipeline, source)
    entered = own.select(
        *[F.col(name).alias(f"entered_{name}") for name in (*LOAD, "first_row", "last_row")]
    )
    is_entered = (
        (F.col("_file_name") == F.col("entered_file_name"))
        & (F.col("_content_key") == F.col("entered_content_key"))
        & (F.col("_loaded_at") == F.col("entered_loaded_at"))
        & F.col("_row_number").between(F.col("entered_first_row"), F.col("entered_last_row"))
    )
    taken = own.filter(~F.col("is_duplicate")).select(
        *[F.col(name).alias(f"taken_{name}") for name in ("content_key", "first_row", "last_row")]
    )
    is_taken = (F.col("_content_key") == F.col("taken_content_key")) & F.col("_row_number").between(
        F.col("taken_first_row"), F.col("taken_last_row")
    )
    fresh = rows.join(entered, on=is_entered, how="left").filter(F.col("entered_first_row").is_null())
    compared = fresh.join(taken, on=is_taken, how="left")
    same_place = Window.partition_by("_content_key", "_row_number").order_by("_loaded_at", "_file_name")
    is_repeat = F.col("taken_first_row").is_not_null() | (F.row_number().over(same_place) > F.lit(1))
    return as_batch(compared, source, is_repeat)


def as_batch(rows: DataFrame, source: Source, is_repeat: Column) -> DataFrame:
    """The columns of bronze that a source reads, where a row came from, and whether it was taken before."""
    stored = [column.received_as or column.name for column in source.columns if not column.expression]
    values = ["record"] if source.format == "json" else stored
    return rows.select(
        *[F.col(f"_{name}") for name in names.PROVENANCE],
        *[F.col(name) for name in dict.fromkeys(values)],
        is_repeat.alias("is_repeat"),
    )


def needed(source: Source) -> set[str]:
    """The columns a load reads from bronze."""
    values = {"record"} if source.format == "json" else {(c.received_as or c.name).lower() for c in source.columns if not c.expression}
    return values | {f"_{name}" for name in names.PROVENANCE}


def ranges(staged: DataFrame, pipeline: str, source: Source, batch_no: int, now: datetime) -> DataFrame:
    """Ledger rows for a batch: one for each unbroken run of row numbers of one load."""
    load = (*LOAD, "is_repeat")
    in_file = Window.partition_by(*load).order_by("row_number")
    runs = staged.select(
        *[F.col(name) for name in (*load, "row_number")],
        (F.col("row_number") - F.row_number().over(in_file)).alias("run_no"),
        F.iff(F.col("outcome") == F.lit("event"), F.lit(1), F.lit(0)).alias("is_event"),
        F.iff(F.col("outcome") == F.lit("quarantined"), F.lit(1), F.lit(0)).alias("is_quarantined"),
    )
    grouped = runs.group_by(*load, "run_no").agg(
        F.min(F.col("row_number")).alias("first_row"),
        F.max(F.col("row_number")).alias("last_row"),
        F.count(F.lit(1)).alias("row_count"),
        F.sum(F.col("is_event")).alias("event_count"),
        F.sum(F.col("is_quarantined")).alias("quarantined_count"),
    )
    return grouped.select(
        F.lit(pipeline).alias("pipeline"),
        F.lit(source.name).alias("source"),
        *[F.col(name) for name in LOAD],
        *[F.col(name) for name in ("first_row", "last_row", "row_count")],
        F.col("is_repeat").alias("is_duplicate"),
        F.lit(batch_no).alias("batch_no"),
        F.lit(now).alias("taken_at"),
        *[F.col(name) for name in ("event_count", "quarantined_count")],
    )
