"""Bring an account to the state where files can be dropped, and wait until the graph has dealt with them.

Used by the demo, by `firn online-retail` and by the flow tests; everything goes through the real clients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ingest import wiring
from local.place import ROOT, NotRunning, Place

BUCKET = "firn-landing"
WAIT_SECONDS = 300


def scripts(first: str, last: str) -> list[str]:
    """The administrator's scripts by number: scripts('01', '06')."""
    return [str(p) for p in sorted((ROOT / "setup_sql").glob("*.sql")) if first <= p.name[:2] <= last]


def run_scripts(place: Place, first: str, last: str) -> None:
    files = [word for script in scripts(first, last) for word in ("-f", script)]
    place.snow("sql", *files)


def set_up(place: Place) -> None:
    """Bucket, roles, landing database, stage, bronze tables and pipes; then the bucket's events to the pipes' queue."""
    s3 = place.s3().client("s3")
    wiring.make_bucket(s3, BUCKET)
    run_scripts(place, "01", "06")
    for prefix, queue in pipe_queues(place):
        wiring.send_events(s3, BUCKET, queue, prefix)


def pipe_queues(place: Place) -> list[tuple[str, str]]:
    """(prefix, queue) of every pipe, read from the account as an administrator would."""
    with place.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW PIPES IN ACCOUNT")
        names = [c.name.lower() for c in cursor.description]
        pipes = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [(prefix_in(pipe["definition"]), pipe["notification_channel"]) for pipe in pipes]


def prefix_in(definition: str) -> str:
    """The path below the stage in a pipe's COPY: `… FROM @db.schema.stage/crm/customers/ …` → 'crm/customers/'."""
    place = definition[definition.index("@") :].split()[0].rstrip(");")
    return place.partition("/")[2]


def install(place: Place) -> None:
    """`snow app run`, then the grants that let the application read bronze."""
    place.snow("app", "run", "--connection", "local")
    run_scripts(place, "07", "07")


def query(place: Place, sql: str, params: Any = None) -> list[dict[str, Any]]:
    """Rows as dictionaries with lower-case names."""
    with place.connect(database="FIRN", paramstyle="qmark") as connection, connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [c.name.lower() for c in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def wait_until(done: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> float:
    """Wait for a condition; gives the seconds it took. Says what was awaited when it does not come."""
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > seconds:
            raise NotRunning(f"waited {seconds:.0f} s for: {what}. See the account's log, and: firn sql \"select * from control.pipeline_log order by started_at desc\"")
        time.sleep(0.25)
    return time.monotonic() - start


def rows_entered(place: Place, pipeline: str) -> dict[str, int]:
    """Rows of bronze that the ledger has, by source."""
    rows = query(place, "SELECT source, SUM(row_count) AS row_count FROM firn.control.ledger WHERE pipeline = ? GROUP BY source", [pipeline])
    return {row["source"]: int(row["row_count"]) for row in rows}


def is_settled(place: Place, pipeline: str) -> bool:
    """The numbers were looked at after the last load that took anything."""
    steps = query(
        place,
        "SELECT step, MAX(started_at) AS ran_at, MAX(IFF(status = 'succeeded', started_at, NULL)) AS wrote_at "
        "FROM firn.control.pipeline_log WHERE pipeline = ? GROUP BY step",
        [pipeline],
    )
    loads = [step["wrote_at"] for step in steps if step["step"].startswith("load ") and step["wrote_at"]]
    numbers = [step["ran_at"] for step in steps if step["step"].startswith("measure ")]
    return bool(loads and numbers) and min(numbers) > max(loads)


def drop_and_wait(place: Place, pipeline: str, expected: dict[str, int]) -> float:
    """Wait until the graph has taken so many rows of each source and has carried them through to the numbers."""
    return wait_until(
        lambda: all(rows_entered(place, pipeline).get(s, 0) >= n for s, n in expected.items()) and is_settled(place, pipeline),
        f"{pipeline}: {', '.join(f'{n} rows of {s}' for s, n in expected.items())} through the graph",
    )
