"""Up to where an extract may read, so that no transaction still open can put a row below that later.

Three ways: `xid`, `activity`, `overlap`.  Each gives an upper bound; an extract reads from its watermark (included) to the
bound (excluded), by a statement that starts after the bound was taken, and the bound becomes the next watermark.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import sql

from ingest.upload import Refused

WAYS = ("activity", "xid", "overlap")
TIMES = ("timestamp with time zone", "timestamp without time zone")
# A transaction's start is set a moment before pg_stat_activity shows it. Later than this it is always shown.
MARGIN = timedelta(seconds=1)

# The oldest row is decided by: every transaction below this number has ended, so its rows are there or never will be.
XMIN = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

# now() in a row is its transaction's start: rows older than the oldest open transaction can come no more.
# Autovacuum writes no rows of ours and may run for hours. Of a session hidden from this user everything is NULL, also its type.
OLDEST_OPEN = """
WITH others AS (
    SELECT xact_start, query FROM pg_stat_activity
     WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type IS DISTINCT FROM 'autovacuum worker'
)
SELECT least(min(xact_start), clock_timestamp() - %(margin)s) AT TIME ZONE 'UTC',
       min(xact_start) AT TIME ZONE 'UTC',
       count(*) FILTER (WHERE query = '<insufficient privilege>')
  FROM others
"""


@dataclass(frozen=True)
class Bound:
    """A value of the tracking column as text, and what keeps it from being later."""

    value: str
    held_by: str = ""


def upper_bound(connection: Any, by: str, column_type: str, zone: str, margin: timedelta = MARGIN) -> Bound:
    if by == "xid":
        return Bound(connection.execute(XMIN).fetchone()[0])
    if by == "overlap":
        moment, held_by = connection.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchone()[0], ""
    else:
        moment, held_by = oldest_open(connection, margin)
    if column_type == TIMES[0]:
        return Bound(f"{moment.isoformat(sep=' ', timespec='microseconds')}+00", held_by)
    # A timestamp without zone is read as the wall clock of `zone`.
    local = connection.execute("SELECT (%s::timestamp AT TIME ZONE 'UTC' AT TIME ZONE %s)", (moment, zone)).fetchone()[0]
    return Bound(local.isoformat(sep=" ", timespec="microseconds"), held_by)


def oldest_open(connection: Any, margin: timedelta) -> tuple[Any, str]:
    """Start of the oldest transaction open in this database, or a moment ago if none is older; refuses where that cannot be known."""
    is_tracked, is_replica, prepared = connection.execute(
        "SELECT current_setting('track_activities')::bool, pg_is_in_recovery(),"
        " (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())"
    ).fetchone()
    bound, oldest, hidden = connection.execute(OLDEST_OPEN, {"margin": margin}).fetchone()
    trouble = (
        "track_activities is off" if not is_tracked
        else "this is a replica, and the transactions run on the primary" if is_replica
        else f"{prepared} prepared transaction(s) hide when they began" if prepared
        else f"this user does not see the transactions of {hidden} other session(s): GRANT pg_read_all_stats TO it, or" if hidden
        else ""
    )  # fmt: skip
    if trouble:
        raise Refused(
            f"--by activity cannot tell which transactions are open: {trouble}{'' if hidden else '.'} use --by xid or --by overlap."
        )
    return bound, f"a transaction open since {oldest:%Y-%m-%d %H:%M:%S} UTC" if oldest and oldest <= bound else ""


def window(column: str, cast: str, lower: str | None, upper: str, overlap: timedelta | None = None) -> sql.Composed:
    """The condition on the tracking column, lower included and upper not.

    >>> print(window("updated_at", "timestamptz", "2024-03-01 00:00+00", "2024-03-02 00:00+00").as_string(None))
    "updated_at" >= '2024-03-01 00:00+00'::timestamptz AND "updated_at" < '2024-03-02 00:00+00'::timestamptz
    """
    # COPY takes no parameters: psycopg quotes the values. A placeholder would also trip over a % in the name of a column.
    name, kind = sql.Identifier(column), sql.SQL(cast)
    below = sql.SQL("{} < {}::{}").format(name, sql.Literal(upper), kind)
    if lower is None:
        return below
    back = sql.SQL(" - {}::interval").format(sql.Literal(f"{overlap.total_seconds()} seconds")) if overlap else sql.SQL("")
    return sql.SQL("{} >= {}::{}{} AND {}").format(name, sql.Literal(lower), kind, back, below)
