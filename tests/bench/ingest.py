"""How files get there: Postgres → S3 against the usual script, files and many small files from S3 into bronze.

The usual script is `fetchall`, the csv module, one upload: with psycopg2 where it is installed, else with psycopg 3.  Postgres, S3
(moto) and the account are on this machine and share it with what is measured.

    python -m tests.bench.ingest                          the tables
    python -m tests.bench.ingest --one csv.gz --rows 1000000    one way from Postgres, as JSON
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROWS, RUNS = 1_000_000, 3
BUCKET = "firn-landing"
TABLE = """
CREATE TABLE IF NOT EXISTS public.orders AS
SELECT n AS id, 'customer ' || n AS name, md5(n::text) AS note, n * 1.25 AS amount, n % 7 AS kind, 'Oslo' AS city, NULL::text AS region,
       '2024-01-01'::timestamptz + n * interval '1 second' AS updated_at
  FROM generate_series(1, %(rows)s) n
"""


# --- Postgres → S3


def firn_way(dsn: str, s3: Any, form: str) -> int:
    from ingest.extract import Job, connect, extract

    with connect(dsn) as connection:
        return extract(connection, s3, Job("public.orders", "updated_at", BUCKET, f"{form}/", format=form)).rows


def usual_way(dsn: str, s3: Any) -> int:
    try:
        import psycopg2 as driver
    except ImportError:
        import psycopg as driver
    with contextlib.closing(driver.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM public.orders")
        rows = cursor.fetchall()
        text = io.StringIO()
        csv.writer(text).writerows([[column[0] for column in cursor.description], *rows])
    s3.put_object(Bucket=BUCKET, Key="usual/orders.csv", Body=text.getvalue().encode())
    return len(rows)


def one_way(way: str, dsn: str, endpoint: str) -> dict[str, Any]:
    """Rows a second and peak memory of this process, which does nothing else."""
    from local.s3 import S3

    s3 = S3(endpoint).client("s3")
    start = time.perf_counter()
    rows = usual_way(dsn, s3) if way == "usual" else firn_way(dsn, s3, way)
    seconds = time.perf_counter() - start
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return {"rows_a_second": rows / seconds, "mb": int(peak) / 1024}


@contextlib.contextmanager
def postgres_and_s3(rows: int) -> Iterator[tuple[str, str]]:
    import psycopg

    from local import postgres
    from local import s3 as local_s3

    with tempfile.TemporaryDirectory() as folder, postgres.running(Path(folder) / "postgres") as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(TABLE.replace("%(rows)s", str(int(rows))))
        store = local_s3.start(Path(folder) / "s3")
        try:
            store.s3.client("s3").create_bucket(Bucket=BUCKET)
            yield server.dsn, store.endpoint
        finally:
            store.stop()


def from_postgres(rows: int, runs: int) -> None:
    """The ways in turn, so that what else the machine does meets all of them; the median of each."""
    found: dict[str, list[dict[str, Any]]] = {"usual": [], "csv.gz": [], "parquet": []}
    for _ in range(runs):
        with postgres_and_s3(rows) as (dsn, endpoint):
            for way, results in found.items():
                command = [sys.executable, "-W", "ignore", "-m", "tests.bench.ingest", "--one", way, "--dsn", dsn, "--endpoint", endpoint]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                results.append(json.loads(done.stdout))
    usual = median(one["rows_a_second"] for one in found["usual"])
    print(f"{'way':<24} {'rows/s':>10} {'times':>6} {'MB':>6}")
    for way, results in found.items():
        speed, memory = median(one["rows_a_second"] for one in results), max(one["mb"] for one in results)
        print(f"{way if way != 'usual' else 'fetchall + csv + upload':<24} {speed:>10,.0f} {speed / usual:>6.1f} {memory:>6.0f}")


# --- S3 → bronze


def bronze_account(folder: Path) -> tuple[Any, Any, Any]:
    """An account with the bronze table, pipe and stage of the retail orders, its poller, and its S3."""
    from local import s3 as local_s3
    from local import setup_sql
    from local.account import Account
    from local.pipes_poller import Poller, queue_arn
    from local.place import ROOT
    from local.setup_sql import spec_file

    store = local_s3.start(folder / "s3")
    client = store.s3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    account = Account(folder / "account", store.s3)
    session = account.session()
    formats = (ROOT / "setup_sql" / "04_file_formats_and_stage.sql").read_text()
    formats = formats.replace('<% bucket | default("firn-landing") %>', BUCKET).replace("USE ROLE firn_loader;", "")
    source = spec_file.parse((ROOT / "app" / "pipelines" / "retail.yml").read_text()).source("orders")
    for sql in (
        "CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze",
        "CREATE STORAGE INTEGRATION firn_landing_s3 TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE"
        f" STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/firn' STORAGE_ALLOWED_LOCATIONS = ('s3://{BUCKET}/')",
        *(one for one in formats.split(";\n") if "CREATE" in one or "ALTER STAGE" in one), setup_sql.table_sql(source).rstrip(";"), setup_sql.pipe_sql(source).rstrip(";"),
    ):  # fmt: skip
        if sql.strip():
            account.answer(session, sql.strip())
    rule = {"QueueArn": queue_arn(account), "Events": ["s3:ObjectCreated:*"]}
    client.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [rule]})
    return account, Poller(account), store


def order_lines(start: int, rows: int) -> bytes:
    head = "order_id,line_no,customer_id,sku,quantity,unit_price,currency,region,status,ordered_at,updated_at\n"
    lines = (f"O{i // 4},{i % 4},{i % 5000},SKU-{i % 900:05},{i % 9 + 1},{i % 500}.50,USD,emea,paid,2024-03-01 10:00:00,2024-03-01 11:00:00\n" for i in range(start, start + rows))
    return (head + "".join(lines)).encode()


def into_bronze(files: int, rows: int) -> dict[str, float]:
    """Seconds until every row is in bronze, from when all files are in S3 and their events in the queue."""
    with tempfile.TemporaryDirectory() as folder:
        account, poller, store = bronze_account(Path(folder))
        try:
            client = store.s3.client("s3")
            for number in range(files):
                client.put_object(Bucket=BUCKET, Key=f"shop/orders/{number:05}.csv", Body=order_lines(number * rows, rows))
            start = time.perf_counter()
            poller.drain()
            seconds = time.perf_counter() - start
            with account.duck.duck_conn.cursor() as cursor:
                (found,) = cursor.execute("SELECT count(*) FROM FIRN_LANDING.BRONZE.ORDERS").fetchone()
        finally:
            account.close()
            store.stop()
    if found != files * rows:
        raise SystemExit(f"{files} files of {rows} rows: {found} rows came")
    return {"seconds": seconds, "rows_a_second": found / seconds}


def generated(customers: int) -> dict[str, float]:
    """Seconds and processor seconds of a process of its own that makes the retail files."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ingest.generate", folder, "--customers", str(customers)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        megabytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 2**20
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "mb": megabytes}


def main(rows: int = ROWS, runs: int = RUNS) -> None:
    print(f"Postgres → S3: {rows:,} rows of 8 columns, {runs} runs, the median (wanted: 4 times, less than 200 MB)")
    from_postgres(rows, runs)
    print("\nS3 → bronze: files at once, by their events (wanted: 100,000 rows/s for files of 50,000 rows; 1,000 small files in 20 s)")
    print(f"{'files':>6} {'rows each':>10} {'seconds':>8} {'rows/s':>10}")
    for files, each in ((4, 50_000), (2, 200_000), (1000, 20)):
        found = into_bronze(files, each)
        print(f"{files:>6,} {each:>10,} {found['seconds']:>8.1f} {found['rows_a_second']:>10,.0f}")
    made = generated(rows)
    print(f"\nfirn generate: {rows:,} customers (wanted: 10 s): {made['seconds']:.1f} s, {made['cpu']:.1f} s of processor, {made['mb']:,.0f} MB of files")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=["usual", "csv.gz", "parquet"])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--dsn", default="")
    parser.add_argument("--endpoint", default="")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one_way(given.one, given.dsn, given.endpoint)))
    else:
        main(given.rows, given.runs)
