"""The permanent record of files: what was taken of each, kept when the ledger's rows and bronze's are long gone."""

from datetime import datetime

import snowflake.snowpark.functions as F
import watermark
from snowflake.snowpark import DataFrame, Session
from specs import Source

RANGE = ("pipeline", "source", *watermark.LOAD, "first_row", "last_row", "is_duplicate")


def places(session: Session) -> DataFrame:
    """Every range of places that was ever taken: the ledger's, and those folded into the files' record."""
    folded = session.table(watermark.FILES).filter(F.col("first_row").is_not_null())
    own = {"is_duplicate": F.lit(False), "loaded_at": F.col("last_loaded_at")}
    return session.table(watermark.LEDGER).select(*RANGE).union_all(folded.select(*[own.get(name, F.col(name)).alias(name) for name in RANGE]))


def fold(session: Session, bronze: str, pipeline: str, source: Source, before: datetime, now: datetime) -> int:
    """Folds the ledger's entries of swept files into one row per file and content; gives the number of entries folded.

    A file is folded when all its entries are of loads before a moment, none of their rows is left in bronze, and what was
    taken of it is one unbroken range: then the range says as much as the entries did, and a file that is sent again
    years later is known by it.  Runs inside the caller's transaction; `now` marks the rows it touches.
    """
    own = [pipeline, source.name]
    session.sql(fold_sql(bronze), params=[*own, before, *own, now, now]).collect()
    done = session.sql(
        f"DELETE FROM {watermark.LEDGER} USING (SELECT file_name AS folded_file, content_key AS folded_content FROM {watermark.FILES} "
        "WHERE pipeline = ? AND source = ? AND folded_at = ?) "
        "WHERE pipeline = ? AND source = ? AND loaded_at < ? AND file_name = folded_file AND content_key = folded_content",
        params=[*own, now, *own, before],
    ).collect()
    return int(done[0][0])


def fold_sql(bronze: str) -> str:
    """Merges what the ledger has of files that are gone from bronze into the files' record.

    Bound values: pipeline, source, the moment before which; pipeline, source; now, twice.
    """
    return f"""MERGE INTO {watermark.FILES} AS kept
USING (
    WITH gone AS (
        SELECT
            pipeline, source, file_name, content_key,
            MIN(IFF(is_duplicate, NULL, first_row)) AS first_row, MAX(IFF(is_duplicate, NULL, last_row)) AS last_row,
            SUM(IFF(is_duplicate, 0, row_count)) AS rows_taken, SUM(IFF(is_duplicate, row_count, 0)) AS rows_duplicate,
            MIN(taken_at) AS first_taken_at, MAX(taken_at) AS last_taken_at, MAX(loaded_at) AS last_loaded_at,
            IFF(COUNT(event_count) < COUNT(*), NULL, SUM(event_count)) AS event_count,
            IFF(COUNT(event_count) < COUNT(*), NULL, SUM(quarantined_count)) AS quarantined_count
        FROM {watermark.LEDGER}
        WHERE pipeline = ? AND source = ?
        GROUP BY pipeline, source, file_name, content_key
        HAVING MAX(loaded_at) < ?
    ),
    added AS (
        SELECT
            gone.pipeline, gone.source, gone.file_name, gone.content_key,
            LEAST(COALESCE(gone.first_row, earlier.first_row), COALESCE(earlier.first_row, gone.first_row)) AS first_row,
            GREATEST(COALESCE(gone.last_row, earlier.last_row), COALESCE(earlier.last_row, gone.last_row)) AS last_row,
            gone.rows_taken + COALESCE(earlier.rows_taken, 0) AS rows_taken,
            gone.rows_duplicate + COALESCE(earlier.rows_duplicate, 0) AS rows_duplicate,
            COALESCE(earlier.first_taken_at, gone.first_taken_at) AS first_taken_at,
            gone.last_taken_at, gone.last_loaded_at,
            gone.event_count + IFF(earlier.file_name IS NULL, 0, earlier.event_count) AS event_count,
            gone.quarantined_count + IFF(earlier.file_name IS NULL, 0, earlier.quarantined_count) AS quarantined_count
        FROM gone
        LEFT JOIN {watermark.FILES} AS earlier
            ON earlier.pipeline = gone.pipeline AND earlier.source = gone.source
            AND earlier.file_name = gone.file_name AND earlier.content_key = gone.content_key
        WHERE NOT EXISTS (
            SELECT 1 FROM {bronze} AS held WHERE held._file_name = gone.file_name AND held._content_key = gone.content_key
        )
    )
    SELECT * FROM added
    WHERE pipeline = ? AND source = ? AND rows_taken = COALESCE(last_row - first_row + 1, 0)
) AS folded
    ON kept.pipeline = folded.pipeline AND kept.source = folded.source
    AND kept.file_name = folded.file_name AND kept.content_key = folded.content_key
WHEN MATCHED THEN UPDATE SET
    first_row = folded.first_row, last_row = folded.last_row, rows_taken = folded.rows_taken,
    rows_duplicate = folded.rows_duplicate, last_taken_at = folded.last_taken_at, last_loaded_at = folded.last_loaded_at,
    event_count = folded.event_count, quarantined_count = folded.quarantined_count, folded_at = ?
WHEN NOT MATCHED THEN INSERT (
    pipeline, source, file_name, content_key, first_row, last_row, rows_taken, rows_duplicate, first_taken_at, last_taken_at,
    last_loaded_at, event_count, quarantined_count, folded_at
) VALUES (
    folded.pipeline, folded.source, folded.file_name, folded.content_key, folded.first_row, folded.last_row, folded.rows_taken,
    folded.rows_duplicate, folded.first_taken_at, folded.last_taken_at, folded.last_loaded_at,
    folded.event_count, folded.quarantined_count, ?
)"""
