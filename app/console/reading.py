"""What the console asks of the account: every statement is here, bounded, and with its values bound.

Times are TIMESTAMP_NTZ in UTC, as everywhere in Firn.  All functions give a DataFrame with lower-case columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import names
import pandas as pd
from shown import now, opened
from snowflake.snowpark.exceptions import SnowparkSQLException

RUNS, ROWS, VERSIONS, KPI_ROWS, EXAMPLES = 50, 200, 500, 5_000, 5
COUNTS = ("read", "written", "duplicate", "superseded", "quarantined", "held")


def asked(session: Any, sql: str, params: Iterable[Any] = ()) -> pd.DataFrame:
    """The rows of a query; a query without rows still has its columns."""
    frame = session.sql(sql, params=list(params))
    rows = frame.collect()
    if rows:
        return pd.DataFrame([row.as_dict() for row in rows]).rename(columns=str.lower)
    return pd.DataFrame(columns=[column.strip('"').lower() for column in frame.columns])


def specs(session: Any) -> pd.DataFrame:
    """pipeline, version, spec (its text), applied_at: one row per pipeline applied."""
    return asked(session, f"SELECT pipeline, version, spec, applied_at FROM control.pipeline_spec WHERE is_current ORDER BY pipeline LIMIT {ROWS}")


def summary(session: Any, pipeline: str) -> dict[str, Any]:
    """The day in numbers: rows its loads read and quarantined, runs with a failed step; the last run's status and when it was said."""
    since = now() - timedelta(hours=24)
    day = asked(
        session,
        "SELECT COALESCE(SUM(IFF(step LIKE 'load %', rows_read, 0)), 0) AS rows_read, "
        "COALESCE(SUM(IFF(step LIKE 'load %', rows_quarantined, 0)), 0) AS quarantined, "
        "COUNT(DISTINCT IFF(status = 'failed', run_id, NULL)) AS failed_runs "
        "FROM control.pipeline_log WHERE pipeline = ? AND ended_at > ? LIMIT 1",
        [pipeline, since],
    ).iloc[0]
    lock = asked(session, "SELECT status, updated_at FROM control.parameter_control WHERE pipeline = ? AND step = 'pipeline' LIMIT 1", [pipeline])
    return {**day.to_dict(), **(lock.iloc[0].to_dict() if len(lock) else {"status": None, "updated_at": None})}


def open_alerts(session: Any, pipeline: str) -> pd.DataFrame:
    """Alerts that are not over, the newest first: kind, subject, severity, message, happened_at."""
    return asked(
        session,
        "SELECT kind, subject, severity, message, happened_at FROM control.alerts AS raised WHERE pipeline = ? AND state = 'raised' "
        "AND NOT EXISTS (SELECT 1 FROM control.alerts AS over WHERE over.recovers = raised.alert_id) "
        f"ORDER BY happened_at DESC LIMIT {RUNS}",
        [pipeline],
    )


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
    """control.last_runs of a pipeline, newest first: run_id, started_at, ended_at, seconds, status, failed_steps, rows_read, rows_quarantined."""
    busy = "" if with_idle else "AND status <> 'nothing new' "
    return asked(
        session,
        "SELECT run_id, started_at, ended_at, seconds, status, failed_steps, rows_read, rows_quarantined FROM control.last_runs "
        f"WHERE pipeline = ? {busy}ORDER BY started_at DESC LIMIT {RUNS}",
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
    """control.freshness of a pipeline, what is late first: target, source, lets, late_from, loaded_at, lag_seconds, allowed_seconds, is_late."""
    return asked(
        session,
        "SELECT target, source, lets, late_from, loaded_at, lag_seconds, allowed_seconds, is_late FROM control.freshness "
        f"WHERE pipeline = ? ORDER BY is_late DESC, lag_seconds DESC NULLS FIRST, target LIMIT {ROWS}",
        [pipeline],
    )


def arrivals(session: Any, sources: list[str]) -> pd.DataFrame:
    """The newest arrival in bronze of each source: source, newest_at.  A MAX over one column, which Snowflake keeps of every partition."""
    place = binding(session).iloc[0]
    newest = [
        f"SELECT '{names.identifier(source)}' AS source, MAX(_loaded_at) AS newest_at "
        f"FROM {names.qualified(place['database_name'], place['schema_name'], source)}"
        for source in sources
    ]
    return asked(session, " UNION ALL ".join(newest) + f" LIMIT {ROWS}")


def waiting_by_check(session: Any, pipeline: str) -> pd.DataFrame:
    """Waiting rows per source and check they fail now: source, check_name, row_count, oldest_at, newest_at.

    Rows are counted by the set of their checks first: a million rows fail in few ways.
    """
    return asked(
        session,
        "WITH ways AS (SELECT source, TO_JSON(COALESCE(newest_checks, failed_checks)) AS checks, COUNT(*) AS row_count, "
        "MIN(quarantined_at) AS oldest_at, MAX(quarantined_at) AS newest_at FROM control.quarantine "
        "WHERE pipeline = ? AND status = 'waiting' GROUP BY 1, 2) "
        "SELECT ways.source AS source, failed.value::VARCHAR AS check_name, SUM(ways.row_count) AS row_count, "
        "MIN(ways.oldest_at) AS oldest_at, MAX(ways.newest_at) AS newest_at "
        "FROM ways, LATERAL FLATTEN(input => PARSE_JSON(ways.checks)) AS failed GROUP BY 1, 2 "
        f"ORDER BY row_count DESC, source, check_name LIMIT {ROWS}",
        [pipeline],
    )


def waiting_count(session: Any, pipeline: str) -> int:
    """Rows that wait; a row that fails two checks is one."""
    found = asked(session, "SELECT COUNT(*) AS n FROM control.quarantine WHERE pipeline = ? AND status = 'waiting' LIMIT 1", [pipeline])
    return int(found.iloc[0]["n"])


def quarantined_by_day(session: Any, pipeline: str) -> pd.DataFrame:
    """Rows that failed a check when they arrived, in the last 30 days: day, check_name (with its source), row_count.

    From what the loads wrote into the log, so that the quarantine is not read for it.
    """
    return asked(
        session,
        "SELECT DATE_TRUNC('day', entry.ended_at) AS day, SUBSTR(entry.step, 6) || ' · ' || failed.key AS check_name, "
        "SUM(failed.value::NUMBER) AS row_count FROM control.pipeline_log AS entry, LATERAL FLATTEN(input => entry.detail:failed_checks) AS failed "
        "WHERE entry.pipeline = ? AND entry.ended_at > ? AND entry.step LIKE 'load %' AND entry.rows_quarantined > 0 "
        f"GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {KPI_ROWS}",
        [pipeline, now() - timedelta(days=30)],
    )


def waiting_rows(session: Any, pipeline: str, source: str, check: str | None) -> pd.DataFrame:
    """Some waiting rows of a source, newest first, with file and line and the values in force (their first 8,000 characters)."""
    of_check = "" if check is None else "AND ARRAY_CONTAINS(?::VARIANT, COALESCE(newest_checks, failed_checks)) "
    return asked(
        session,
        "SELECT file_name, row_number, ARRAY_TO_STRING(COALESCE(newest_checks, failed_checks), ', ') AS failed_checks, "
        "LEFT(TO_JSON(COALESCE(corrected_values, row_values)), 8000) AS row_values, corrected_values IS NOT NULL AS is_corrected, "
        "quarantined_at, quarantine_id, run_id "
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


def newest_keys(session: Any, dimension: str, key: list[str]) -> pd.DataFrame:
    """A few keys of a dimension, those whose versions are the newest first."""
    columns = ", ".join(names.identifier(column) for column in key)
    return asked(session, f"SELECT {columns} FROM {names.qualified('gold', dimension)} WHERE is_current ORDER BY valid_from DESC LIMIT {EXAMPLES}")


def equals(key: dict[str, Any]) -> str:
    return " AND ".join(f"{names.identifier(column)} = ?" for column in key)


def kpi(session: Any, table: str) -> pd.DataFrame:
    return asked(session, f"SELECT * FROM {names.qualified('gold', table)} ORDER BY 1, 2 LIMIT {KPI_ROWS}")


def unbalanced(session: Any, pipeline: str) -> pd.DataFrame:
    """Steps of the whole log whose rows do not add up, the newest first: control.row_accounts where rows_unexplained is not 0."""
    counts = ", ".join(f"rows_{count}" for count in COUNTS)
    return asked(
        session,
        f"SELECT started_at, step, {counts}, rows_unexplained, run_id FROM control.row_accounts "
        f"WHERE pipeline = ? AND rows_unexplained <> 0 ORDER BY started_at DESC LIMIT {ROWS}",
        [pipeline],
    )


def accounts(session: Any, pipeline: str) -> pd.DataFrame:
    """The newest steps that moved rows, of control.row_accounts."""
    counts = ", ".join(f"rows_{count}" for count in COUNTS)
    return asked(
        session,
        f"SELECT started_at, step, {counts}, rows_unexplained, run_id FROM control.row_accounts "
        f"WHERE pipeline = ? ORDER BY started_at DESC LIMIT {ROWS}",
        [pipeline],
    )


def reconciliation(session: Any, pipeline: str) -> pd.DataFrame:
    """What the newest reconcile found, differences first: reconciled_at, part, comparison, expected_count, found_count, difference_count."""
    return asked(
        session,
        "SELECT reconciled_at, part, comparison, expected_count, found_count, difference_count, LEFT(TO_JSON(detail), 2000) AS detail "
        "FROM control.reconciliation WHERE pipeline = ? "
        "AND reconciled_at = (SELECT MAX(reconciled_at) FROM control.reconciliation WHERE pipeline = ?) "
        f"ORDER BY IFF(difference_count = 0, 1, 0), part, comparison LIMIT {ROWS}",
        [pipeline, pipeline],
    )


def seconds_by_day(session: Any, pipeline: str) -> pd.DataFrame:
    """Seconds each step took per day in the last 30 days, and how often it ran."""
    return asked(
        session,
        "SELECT DATE_TRUNC('day', started_at) AS day, step, SUM(DATEDIFF('millisecond', started_at, ended_at)) / 1000 AS seconds, "
        "COUNT(*) AS runs FROM control.pipeline_log WHERE pipeline = ? AND started_at > ? AND step NOT IN ('begin', 'finish') "
        f"GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {RUNS * 40}",
        [pipeline, now() - timedelta(days=30)],
    )


def credits_by_step(session: Any, pipeline: str) -> pd.DataFrame | None:
    """Per step in the last 30 days, from the account's own history: step, runs, statements, seconds, compute_credits, cloud_credits.

    None where the view is not there or not granted to the application, as it is until somebody decides so.
    """
    view = names.qualified(binding(session).iloc[0]["database_name"], "watch", "cost_by_step")
    try:
        return asked(
            session,
            "SELECT step, COUNT(DISTINCT run_id) AS runs, SUM(statement_count) AS statements, SUM(seconds) AS seconds, "
            "SUM(compute_credits) AS compute_credits, SUM(cloud_services_credits) AS cloud_credits "
            f"FROM {view} WHERE pipeline = ? AND first_at > ? GROUP BY step ORDER BY seconds DESC LIMIT {ROWS}",
            [pipeline, now() - timedelta(days=30)],
        )
    except SnowparkSQLException:
        return None


def binding(session: Any) -> pd.DataFrame:
    return asked(session, "SELECT database_name, schema_name, bound_at FROM control.binding LIMIT 1")


def tasks(session: Any) -> pd.DataFrame:
    """name, state, schedule of the application's tasks."""
    found = asked(session, f"SHOW TASKS IN SCHEMA tasks LIMIT {KPI_ROWS}")
    return found[[column for column in ("name", "state", "schedule") if column in found]]


def called(session: Any, procedure: str, *arguments: Any) -> Any:
    """What one of the application's procedures answers: the object its VARIANT holds."""
    return opened(session.call(names.qualified(*procedure.split(".")), *arguments))
