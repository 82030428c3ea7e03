"""Bring an account to the state where files can be dropped, and wait until the graph has dealt with them.

Used by the demo, by `firn online-retail` and by the flow tests; everything goes through the real clients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.place import ROOT, NotRunning, Place

BUCKET = "firn-landing"
WAIT_SECONDS = 300


def scripts(first: str, last: str) -> list[str]:
    """The administrator's scripts by number: scripts('01', '06')."""
    return [str(p) for p in sorted((ROOT / "setup_sql").glob("*.sql")) if first <= p.name[:2] <= last]


def run_scripts(place: Place, first: str, last: str) -> None:
    files = [word for script in scripts(first, last) for word in ("-f", script)]
    place.snow("sql", *files)


def set_up(place: Place) -> tuple[int, int]:
    """Roles, landing database, integration; bucket and role; stage, bronze tables, pipes; their events and what the role may read.

    The role needs the integration's external id and the pipes need the role, so `firn aws apply` comes twice: docs/real-account.md.
    Gives how many things each of the two changed.
    """
    run_scripts(place, "01", "03")
    bucket_and_role = wire(place)
    run_scripts(place, "04", "06")
    return bucket_and_role, wire(place)


def wire(place: Place) -> int:
    """What `firn aws apply --from-account` does, against the local S3 and IAM; gives how many things it changed."""
    from local.aws import applied

    return len(applied(place, ["--from-account"]).changes)


def put_folder(place: Place, folder: Path) -> list[str]:
    """Upload every file below a folder under its own path, in name order; gives the keys."""
    s3, keys = place.s3().client("s3"), []
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = file.relative_to(folder).as_posix()
        s3.upload_file(str(file), BUCKET, key)
        keys.append(key)
    return keys


def install(place: Place) -> None:
    """`snow app run`, then the grants that let the application read bronze, and who hears of what went wrong."""
    place.snow("app", "run", "--connection", "local")
    run_scripts(place, "07", "10")


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
