"""What the console asks of the account: every statement is here, bounded, and with its values bound.

Times are TIMESTAMP_NTZ in UTC, as everywhere in Firn.  All functions give a DataFrame with lower-case columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import names
import pandas as pd

RUNS, ROWS, VERSIONS, KPI_ROWS = 50, 200, 500, 5_000
COUNTS = ("read", "written", "duplicate", "superseded", "quarantined", "held")


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def asked(session: Any, sql: str, params: Iterable[Any] = ()) -> pd.DataFrame:
    """The rows of a query; a query without rows still has its columns."""
    frame = session.sql(sql, params=list(params))
    rows = frame.collect()
    if rows:
        return pd.DataFrame([row.as_dict() for row in rows]).rename(columns=str.lower)
    return pd.DataFrame(columns=[column.strip('"').lower() for column in frame.columns])


def specs(session: Any) -> pd.DataFrame:
    """pipeline, version, spec (its text), applied_at: one row per pipeline applied."""
    return asked(session, "SELECT pipeline, version, spec, applied_at FROM control.pipeline_spec WHERE is_current ORDER BY pipeline")


def summary(session: Any, pipeline: str) -> dict[str, Any]:
    """The day in numbers: rows read and quarantined by loads, failed steps, the seconds the slowest source is behind."""
    since = now() - timedelta(hours=24)
    day = asked(
        session,
        "SELECT COALESCE(SUM(IFF(step LIKE 'load %', rows_read, 0)), 0) AS rows_read, "
        "COALESCE(SUM(IFF(step LIKE 'load %', rows_quarantined, 0)), 0) AS quarantined, COUNT_IF(status = 'failed') AS failed "
        "FROM control.pipeline_log WHERE pipeline = ? AND ended_at > ?",
        [pipeline, since],
    ).iloc[0]
    control = asked(
        session,
        "SELECT MAX(IFF(step = 'pipeline', status, NULL)) AS status, MAX(IFF(step = 'pipeline', updated_at, NULL)) AS updated_at, "
        "MIN(IFF(step LIKE 'load %', lets, NULL)) AS oldest_lets FROM control.parameter_control WHERE pipeline = ?",
        [pipeline],
    ).iloc[0]
    return {**day.to_dict(), **control.to_dict()}


def open_failures(session: Any, pipeline: str) -> pd.DataFrame:
    """Steps whose last word is a failure: run_id, step, ended_at, error, error_class."""
    return asked(
        session,
        "SELECT run_id, step, ended_at, error, error_class FROM ("
        "SELECT run_id, step, ended_at, error, error_class, status, ROW_NUMBER() OVER (PARTITION BY step ORDER BY ended_at DESC) AS age "
        "FROM control.pipeline_log WHERE pipeline = ? AND status IN ('failed', 'succeeded', 'nothing new')"
        f") WHERE age = 1 AND status = 'failed' ORDER BY ended_at DESC LIMIT {RUNS}",
        [pipeline],
    )


def runs(session: Any, pipeline: str, with_idle: bool) -> pd.DataFrame:
    """The last runs, newest first: run_id, started_at, ended_at, seconds, status, rows_read, quarantined."""
    idle = "" if with_idle else "HAVING COUNT_IF(status IN ('succeeded', 'failed')) > 0 "
    return asked(
        session,
        "SELECT run_id, MIN(started_at) AS started_at, MAX(ended_at) AS ended_at, "
        "DATEDIFF('millisecond', MIN(started_at), MAX(ended_at)) / 1000 AS seconds, "
        "CASE WHEN COUNT_IF(status = 'failed') > 0 THEN 'failed' WHEN COUNT_IF(status = 'succeeded') > 0 THEN 'succeeded' "
        "ELSE 'nothing new' END AS status, "
        "COALESCE(SUM(IFF(step LIKE 'load %', rows_read, 0)), 0) AS rows_read, COALESCE(SUM(rows_quarantined), 0) AS quarantined "
        f"FROM control.pipeline_log WHERE pipeline = ? GROUP BY run_id {idle}ORDER BY started_at DESC LIMIT {RUNS}",
        [pipeline],
    )


def steps(session: Any, pipeline: str, run_ids: list[str]) -> pd.DataFrame:
    """What each step of these runs did, in the order of time; begin and finish are left out."""
    marks = ", ".join("?" for _ in run_ids) or "NULL"
    counts = ", ".join(f"rows_{count}" for count in (*COUNTS, "inserted", "updated", "deleted"))
    return asked(
        session,
        f"SELECT run_id, step, status, started_at, ended_at, DATEDIFF('millisecond', started_at, ended_at) / 1000 AS seconds, {counts}, "
        "batch_no, lets_from, lets_to, error, error_class FROM control.pipeline_log "
        f"WHERE pipeline = ? AND step NOT IN ('begin', 'finish') AND run_id IN ({marks}) ORDER BY started_at LIMIT {RUNS * 40}",
        [pipeline, *run_ids],
    )


def freshness(session: Any, pipeline: str) -> pd.DataFrame:
    """Per source: LETS, when a batch was last taken, and what it held."""
    return asked(
        session,
        "SELECT step, lets, updated_at, status, rows_read, rows_quarantined FROM control.parameter_control "
        "WHERE pipeline = ? AND step <> 'pipeline' ORDER BY step",
        [pipeline],
    )


def waiting_by_check(session: Any, pipeline: str) -> pd.DataFrame:
    """Waiting rows per source and check they fail now: source, check_name, row_count, oldest_at, newest_at."""
    return asked(
        session,
        "SELECT quarantine.source AS source, failed.value::VARCHAR AS check_name, COUNT(*) AS row_count, "
        "MIN(quarantine.quarantined_at) AS oldest_at, MAX(quarantine.quarantined_at) AS newest_at "
        "FROM control.quarantine AS quarantine, "
        "LATERAL FLATTEN(input => COALESCE(quarantine.newest_checks, quarantine.failed_checks)) AS failed "
        "WHERE quarantine.pipeline = ? AND quarantine.status = 'waiting' GROUP BY 1, 2 "
        f"ORDER BY row_count DESC LIMIT {ROWS}",
        [pipeline],
    )


def quarantined_by_day(session: Any, pipeline: str) -> pd.DataFrame:
    """Rows put into quarantine per day and source in the last 30 days: day, source, row_count."""
    return asked(
        session,
        "SELECT DATE_TRUNC('day', quarantined_at) AS day, source, COUNT(*) AS row_count FROM control.quarantine "
        f"WHERE pipeline = ? AND quarantined_at > ? GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {RUNS * 40}",
        [pipeline, now() - timedelta(days=30)],
    )


def waiting_rows(session: Any, pipeline: str, source: str, check: str | None) -> pd.DataFrame:
    """Some waiting rows of a source, newest first, with file and line and the values in force."""
    of_check = "" if check is None else "AND ARRAY_CONTAINS(?::VARIANT, COALESCE(newest_checks, failed_checks)) "
    return asked(
        session,
        "SELECT quarantine_id, file_name, row_number, ARRAY_TO_STRING(COALESCE(newest_checks, failed_checks), ', ') AS failed_checks, "
        "TO_JSON(COALESCE(corrected_values, row_values)) AS row_values, corrected_values IS NOT NULL AS is_corrected, quarantined_at, run_id "
        f"FROM control.quarantine WHERE pipeline = ? AND source = ? AND status = 'waiting' {of_check}"
        f"ORDER BY quarantined_at DESC, file_name, row_number LIMIT {ROWS}",
        [pipeline, source, *([] if check is None else [check])],
    )


def versions(session: Any, dimension: str, key: dict[str, Any]) -> pd.DataFrame:
    """The versions of one key, oldest first."""
    order = "valid_from"
    return asked(session, f"SELECT * FROM {names.qualified('gold', dimension)} WHERE {equals(key)} ORDER BY {order} LIMIT {VERSIONS}", key.values())


def events(session: Any, source: str, key: dict[str, Any]) -> pd.DataFrame:
    """The events of one key in silver, as they became true."""
    return asked(
        session, f"SELECT * FROM {names.qualified('silver', source)} WHERE {equals(key)} ORDER BY effective_at LIMIT {VERSIONS}", key.values()
    )


def quarantined_of(session: Any, pipeline: str, source: str, key: dict[str, Any]) -> pd.DataFrame:
    """Rows of one key that ever failed a check."""
    column, value = next(iter(key.items()))
    return asked(
        session,
        "SELECT quarantine_id, file_name, row_number, ARRAY_TO_STRING(failed_checks, ', ') AS failed_checks, status, quarantined_at "
        "FROM control.quarantine WHERE pipeline = ? AND source = ? AND GET(COALESCE(corrected_values, row_values), ?)::VARCHAR = ? "
        f"ORDER BY quarantined_at LIMIT {ROWS}",
        [pipeline, source, column, str(value)],
    )


def equals(key: dict[str, Any]) -> str:
    return " AND ".join(f"{names.identifier(column)} = ?" for column in key)


def kpi(session: Any, table: str) -> pd.DataFrame:
    return asked(session, f"SELECT * FROM {names.qualified('gold', table)} ORDER BY 1, 2 LIMIT {KPI_ROWS}")


def seconds_by_day(session: Any, pipeline: str) -> pd.DataFrame:
    """Seconds each step took per day in the last 30 days, and how often it ran."""
    return asked(
        session,
        "SELECT DATE_TRUNC('day', started_at) AS day, step, SUM(DATEDIFF('millisecond', started_at, ended_at)) / 1000 AS seconds, "
        "COUNT(*) AS runs FROM control.pipeline_log WHERE pipeline = ? AND started_at > ? AND step NOT IN ('begin', 'finish') "
        f"GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {RUNS * 40}",
        [pipeline, now() - timedelta(days=30)],
    )


def binding(session: Any) -> pd.DataFrame:
    return asked(session, "SELECT database_name, schema_name, bound_at FROM control.binding LIMIT 1")


def tasks(session: Any) -> pd.DataFrame:
    """name, state, schedule of the application's tasks."""
    found = asked(session, "SHOW TASKS IN SCHEMA tasks")
    return found[[column for column in ("name", "state", "schedule") if column in found]]


def called(session: Any, procedure: str, *arguments: Any) -> Any:
    """What one of the application's procedures answers."""
    return session.call(names.qualified(*procedure.split(".")), *arguments)
