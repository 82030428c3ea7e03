"""The dimension step against hand-written SQL for the same job, side by side in one run.

The job: a dimension of N customers (two tracked, four overwritten columns), five batches of M events in a row: 60 % change a
tracked column, 20 % are new customers, 20 % change nothing; optionally a share of late events. The hand-written SQL is the
plain in-order SCD2 (close the current version, insert the next); it gives wrong history for late events, and is timed with them
only to have something to divide by. Processor seconds stand beside those of the clock: on a machine that does other things
besides, they are what can be compared.

    python -m tests.bench.dimension            the whole table, and what a longer log and a larger dimension cost
    python -m tests.bench.dimension --one firn --keys 100000 --batch 10000 --late 0 --log 1     one measurement, as JSON
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

BATCHES = 5
SPEC = """
pipeline: bench
schedule: 1 hour
sources:
  customers:
    files: {prefix: bench/customers/, format: csv}
    key: [customer_id]
    effective_at: updated_at
    columns:
      customer_id: {type: integer}
      city:        {type: text}
      kind:        {type: text}
      name:        {type: text}
      email:       {type: text}
      phone:       {type: text}
      age:         {type: integer}
      updated_at:  {type: timestamp}
dimensions:
  dim_customer:
    from: customers
    tracked: [city, kind]
    overwritten: [name, email, phone, age]
"""
START = "TIMESTAMP '2024-01-01'"


def events_sql(keys: int, batch: int, number: int, late: float) -> str:
    """One batch's events: one per customer; batch 0 is the load of all keys.

    Late events lie half a day after the first event of their key, before everything else known of it.
    """
    if number == 0:
        return f"""
            SELECT i AS customer_id, 'city ' || (i % 1000) AS city, 'kind ' || (i % 5) AS kind, 'name ' || i AS name, 'mail' || i || '@example.org' AS email,
                   '+49 ' || i AS phone, i % 90 AS age, {START} AS changed_at FROM range({keys}) t(i)"""
    moved, fresh = int(batch * 0.6), int(batch * 0.2)
    first_new = keys + (number - 1) * fresh
    return f"""
        SELECT CASE WHEN i < {batch - fresh} THEN (i * 7919 + {number} * 104729) % {keys} ELSE {first_new} + i - {batch - fresh} END AS customer_id,
               'city ' || (customer_id % 1000) || CASE WHEN i < {moved} THEN ' {number}' ELSE '' END AS city,
               'kind ' || (customer_id % 5) AS kind, 'name ' || customer_id AS name, 'mail' || customer_id || '@example.org' AS email,
               '+49 ' || customer_id AS phone, customer_id % 90 AS age,
               CASE WHEN i % 1000 < {int(late * 1000)} AND i < {batch - fresh} THEN {START} + INTERVAL 12 HOUR + INTERVAL ({number}) MINUTE
                    ELSE {START} + INTERVAL ({number}) DAY END AS changed_at
        FROM range({batch}) t(i) QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY i) = 1"""


def firn(keys: int, batch: int, late: float, log: int = 1) -> dict[str, Any]:
    """`log`: how often each key was spoken of before, with nothing changed: a longer log of the same keys."""
    from tests.bench.account import Bench, peak_memory_mb

    columns = "customer_id, city, kind, name, email, phone, age"
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), SPEC)
        into_silver = f"""
            INSERT INTO firn.silver.customers BY NAME
            SELECT {columns}, changed_at AS updated_at, FALSE AS is_deleted, changed_at AS effective_at, now()::TIMESTAMP AS loaded_at,
                   'file ' || $number AS file_name, row_number() OVER () AS row_number, 'content ' || $number AS content_key, $number + 1 AS batch_no
            FROM ({{events}})"""
        bench.duck(into_silver.format(events=events_sql(keys, batch, 0, 0)), {"number": 0})
        lay_versions(bench, columns)
        for again in range(1, log):
            bench.duck(f"""
                INSERT INTO firn.silver.customers BY NAME
                SELECT * REPLACE (effective_at + INTERVAL ({again}) MINUTE AS effective_at, updated_at + INTERVAL ({again}) MINUTE AS updated_at, {-again} AS row_number)
                FROM firn.silver.customers WHERE row_number > 0 AND batch_no = 1""")
        runs = []
        for number in range(1, BATCHES + 1):
            batch_no = bench.duck("SELECT last_batch FROM firn.control.parameter_control WHERE pipeline = 'bench' AND step = 'pipeline'")[0][0]
            bench.duck(into_silver.format(events=events_sql(keys, batch, number, late)), {"number": int(batch_no)})
            bench.duck("UPDATE firn.control.parameter_control SET last_batch = last_batch + 1 WHERE pipeline = 'bench' AND step = 'pipeline'")
            runs.append(bench.step("bench", "dimension", "dim_customer"))
        found = bench.duck("SELECT count(*), count(*) FILTER (is_current), count(DISTINCT customer_id) FROM firn.gold.dim_customer WHERE customer_id IS NOT NULL")[0]
        bench.close()
    return {
        "seconds": [r["seconds"] for r in runs],
        "cpu": [r["cpu"] for r in runs],
        "statements": max(r["run"] for r in runs),
        "describes": max(r["described"] for r in runs),
        "memory": peak_memory_mb(),
        "rows": found,
    }


def lay_versions(bench: Any, columns: str) -> None:
    """The dimension as it stands after batch 0, laid down directly: it is the ground, not the job."""
    bench.duck(f"""
        INSERT INTO firn.gold.dim_customer BY NAME
        SELECT row_number() OVER () AS customer_key, row_number() OVER () AS customer_version_key, {columns}, effective_at AS valid_from,
               NULL::TIMESTAMP AS valid_to, TRUE AS is_current, FALSE AS is_inferred, 1 AS batch_no FROM firn.silver.customers""")
    bench.duck("UPDATE firn.control.parameter_control SET last_batch = 1 WHERE pipeline = 'bench'")
    bench.duck("CHECKPOINT firn")


def hand_written(keys: int, batch: int, late: float, log: int = 1) -> dict[str, Any]:
    from tests.bench.account import peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        con = duckdb.connect(str(Path(folder) / "dim.db"), config={"memory_limit": "2GB"})
        con.execute(f"CREATE TABLE dim AS SELECT *, i AS version_key, changed_at AS valid_from, NULL::TIMESTAMP AS valid_to, TRUE AS is_current FROM (SELECT *, row_number() OVER () AS i FROM ({events_sql(keys, batch, 0, 0)}))")
        con.execute("ALTER TABLE dim DROP i")
        con.execute("ALTER TABLE dim DROP changed_at")
        con.execute("CHECKPOINT")
        seconds, cpu = [], []
        for number in range(1, BATCHES + 1):
            con.execute(f"CREATE OR REPLACE TABLE batch AS {events_sql(keys, batch, number, late)}")
            start, spent = time.perf_counter(), time.process_time()
            con.execute("BEGIN")
            con.execute("""
                CREATE TEMP TABLE changed AS
                SELECT b.*, d.customer_id IS NULL AS is_new FROM batch b LEFT JOIN dim d ON d.customer_id = b.customer_id AND d.is_current
                WHERE d.customer_id IS NULL OR d.city IS DISTINCT FROM b.city OR d.kind IS DISTINCT FROM b.kind""")
            con.execute("UPDATE dim SET valid_to = c.changed_at, is_current = FALSE FROM changed c WHERE dim.customer_id = c.customer_id AND dim.is_current")
            con.execute("UPDATE dim SET name = b.name, email = b.email, phone = b.phone, age = b.age FROM batch b WHERE dim.customer_id = b.customer_id AND (dim.name, dim.email, dim.phone, dim.age) IS DISTINCT FROM (b.name, b.email, b.phone, b.age)")
            con.execute("""
                INSERT INTO dim SELECT customer_id, city, kind, name, email, phone, age, (SELECT max(version_key) FROM dim) + row_number() OVER (), changed_at, NULL, TRUE FROM changed""")
            con.execute("COMMIT")
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - spent)
            con.execute("DROP TABLE changed")
        found = con.execute("SELECT count(*), count(*) FILTER (is_current), count(DISTINCT customer_id) FROM dim").fetchone()
        con.close()
    return {"seconds": seconds, "cpu": cpu, "statements": 6, "describes": 0, "memory": peak_memory_mb(), "rows": found}


def measured(who: str, keys: int, batch: int, late: float, log: int = 1) -> dict[str, Any]:
    """In a process of its own, so that memory is its own."""
    settings = {"one": who, "keys": keys, "batch": batch, "late": late, "log": log}
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.dimension", *[str(word) for name, value in settings.items() for word in (f"--{name}", value)]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(measurement: dict[str, Any], what: str) -> float:
    return statistics.median(measurement[what])


def table(sizes: list[tuple[int, int, float]]) -> None:
    print("dimension    batch   late   firn s  hand s  ratio  firn cpu  hand cpu  ratio  statements  describes  firn MB  hand MB")
    for keys, batch, late in sizes:
        ours, theirs = measured("firn", keys, batch, late), measured("hand", keys, batch, late)
        times = "".join(
            f"  {median(ours, what):>{wide}.2f}  {median(theirs, what):>{wide}.2f}  {median(ours, what) / median(theirs, what):>5.1f}" for what, wide in (("seconds", 6), ("cpu", 8))
        )
        print(f"{keys:>9,}  {batch:>7,}  {late:>5.0%} {times}  {ours['statements']:>10}  {ours['describes']:>9}  {ours['memory']:>7.0f}  {theirs['memory']:>7.0f}", flush=True)
        if not late and ours["rows"] != theirs["rows"]:
            raise SystemExit(f"the two do not agree: {ours['rows']} and {theirs['rows']} (versions, current, keys)")


def growth(keys: int = 100_000, batch: int = 10_000) -> None:
    """The same batches against ten times the dimension, and against ten times the log of the same keys."""
    base = measured("firn", keys, batch, 0)
    grown = {f"a dimension of {10 * keys:,}": measured("firn", 10 * keys, batch, 0), "a log 10 times as long": measured("firn", keys, batch, 0, 10)}
    for what, found in grown.items():
        ratios = " and ".join(f"{median(found, kind) / median(base, kind):.1f} times the {name}" for kind, name in (("seconds", "seconds"), ("cpu", "processor seconds")))
        print(f"{batch:,} events against {what} of {keys:,} keys: {ratios}" if "log" in what else f"{batch:,} events against {what} instead of {keys:,} keys: {ratios}", flush=True)


SIZES = [(100_000, 10_000, 0), (1_000_000, 10_000, 0), (1_000_000, 100_000, 0), (1_000_000, 100_000, 0.1), (5_000_000, 10_000, 0), (5_000_000, 100_000, 0), (5_000_000, 100_000, 0.1)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=["firn", "hand"])
    parser.add_argument("--keys", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--late", type=float, default=0)
    parser.add_argument("--log", type=int, default=1, help="how often each key was spoken of before")
    parser.add_argument("--largest", type=int, default=5_000_000, help="leave out larger dimensions")
    arguments = parser.parse_args()
    if arguments.one:
        run = firn if arguments.one == "firn" else hand_written
        print(json.dumps(run(arguments.keys, arguments.batch, arguments.late, arguments.log)))
    else:
        table([size for size in SIZES if size[0] <= arguments.largest])
        growth()


if __name__ == "__main__":
    main()
