"""The load step against hand-written SQL for the same work, side by side in one run.

The job: a batch of rows in bronze, 12 text columns, cast and cleaned, 6 checks of which one is a Python function over batches of
rows, exact duplicates found, rows to silver or quarantine, ledger and LETS moved. The hand-written SQL does the casts, the checks
(a regular expression in the place of the Python function), the duplicates and the two inserts.

    python -m tests.bench.load          the table
    python -m tests.bench.load --one firn --rows 1000000 --history 0     one measurement, as JSON
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

SPEC = """
pipeline: bench
schedule: 1 hour
sources:
  orders:
    files: {prefix: bench/orders/, format: csv}
    key: [order_id, line_no]
    effective_at: updated_at
    columns:
      order_id:   {type: text, clean: [trim]}
      line_no:    {type: integer}
      email:      {type: text, clean: [trim, lower, empty_to_null]}
      sku:        {type: text, clean: [trim, upper]}
      quantity:   {type: integer}
      unit_price: {type: "number(12,2)"}
      currency:   {type: text, clean: [trim, upper]}
      region:     {type: text, clean: [trim, lower], default: unknown}
      status:     {type: text, clean: [trim, lower], map: {canceled: cancelled}}
      note:       {type: text, clean: [trim, empty_to_null]}
      ordered_at: {type: timestamp}
      updated_at: {type: timestamp}
    checks:
      email_is_valid: is_email(email)
      quantity_is_positive: quantity > 0
      price_is_not_negative: unit_price >= 0
      currency_is_given: length(currency) = 3
      status_is_known: status in ('paid', 'open', 'cancelled')
      ordered_before_updated: ordered_at <= updated_at
"""
TEXTS = "order_id, line_no, email, sku, quantity, unit_price, currency, region, status, note, ordered_at, updated_at"


def bronze_sql(rows: int, number: int) -> str:
    """Rows as they come: text, padded, 1 % bad e-mails, 1 % quantities of zero, 1 % exact duplicates."""
    return f"""
        SELECT ' O{number}-' || (i // 4) AS order_id, (i % 4)::VARCHAR AS line_no,
               CASE WHEN i % 100 = 3 THEN 'nobody' ELSE 'Mail' || i % 50000 || '@example.org' END AS email, 'sku' || i % 5000 AS sku,
               (CASE WHEN i % 100 = 5 THEN 0 ELSE i % 9 + 1 END)::VARCHAR AS quantity, (i % 500) || '.50' AS unit_price, 'usd' AS currency, ' EMEA' AS region,
               CASE WHEN i % 3 = 0 THEN 'paid' ELSE 'canceled' END AS status, '' AS note, '2024-01-01 10:00:00' AS ordered_at, '2024-01-01 11:00:00' AS updated_at,
               'file {number}' AS _file_name, n + 1 AS _row_number, 'content {number}' AS _content_key, now()::TIMESTAMP AS _modified_at,
               TIMESTAMP '2024-06-01' + INTERVAL ({number}) MINUTE AS _loaded_at
        FROM (SELECT n, CASE WHEN n % 100 = 9 THEN n - 1 ELSE n END AS i FROM range({rows}) t(n))"""


def firn(rows: int, history: int) -> dict[str, Any]:
    """`history` rows lie in bronze, ledger and silver already, taken by earlier loads."""
    from tests.bench.account import Bench, peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), SPEC)
        admin = bench.account.session()
        for sql in ("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze"):
            bench.account.answer(admin, sql)
        register_is_email(bench)
        columns = [f"{c} VARCHAR" for c in TEXTS.split(", ")] + ["_file_name VARCHAR", "_row_number NUMBER", "_content_key VARCHAR", "_modified_at TIMESTAMP_NTZ", "_loaded_at TIMESTAMP_NTZ"]
        bench.account.answer(admin, f"CREATE TABLE firn_landing.bronze.orders ({', '.join(columns)})")
        for number in range(history // rows if history else 0):
            bench.duck(f"INSERT INTO firn_landing.bronze.orders BY NAME {bronze_sql(rows, number)}")
            bench.step("bench", "load", "orders")
        bench.duck(f"INSERT INTO firn_landing.bronze.orders BY NAME {bronze_sql(rows, 1000)}")
        busy = bench.step("bench", "load", "orders")
        idle = bench.step("bench", "load", "orders")
        found = bench.duck("SELECT (SELECT count(*) FROM firn.silver.orders), (SELECT count(*) FROM firn.control.quarantine)")[0]
        bench.close()
    return {
        "seconds": busy["seconds"], "cpu": busy["cpu"], "statements": busy["run"], "describes": busy["described"], "counts": busy["counts"], "rows": found,
        "idle_seconds": idle["seconds"], "idle_statements": idle["run"] + idle["described"], "memory": peak_memory_mb(),
    }  # fmt: skip


def register_is_email(bench: Any) -> None:
    """The application's own function, from the application's own file."""
    import validity

    def over_arrow(column: pa.ChunkedArray) -> pa.Array:
        return pa.array(validity.is_email(pd.DataFrame({0: column.to_pandas()})), type=pa.bool_(), from_pandas=True)

    bench.account.duck.duck_conn.create_function("bench_is_email", over_arrow, ["VARCHAR"], "BOOLEAN", type="arrow", null_handling="special")
    bench.account.duck.resolve_function = lambda connection, parts: "bench_is_email" if parts[-1] == "IS_EMAIL" else None


def hand_written(rows: int, history: int) -> dict[str, Any]:
    from tests.bench.account import peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        con = duckdb.connect(str(Path(folder) / "load.db"), config={"memory_limit": "2GB"})
        con.execute(f"CREATE TABLE bronze AS {bronze_sql(rows, 1000)}")
        con.execute("CREATE TABLE silver (order_id VARCHAR, line_no BIGINT, email VARCHAR, sku VARCHAR, quantity BIGINT, unit_price DECIMAL(12,2), currency VARCHAR, region VARCHAR, status VARCHAR, note VARCHAR, ordered_at TIMESTAMP, updated_at TIMESTAMP, file_name VARCHAR, row_number BIGINT)")
        con.execute("CREATE TABLE quarantine (file_name VARCHAR, row_number BIGINT, failed VARCHAR[], row_values JSON)")
        con.execute("CHECKPOINT")
        start, spent = time.perf_counter(), time.process_time()
        con.execute("BEGIN")
        con.execute(f"""
            CREATE TEMP TABLE batch AS
            WITH typed AS (
                SELECT trim(order_id) AS order_id, TRY_CAST(line_no AS BIGINT) AS line_no, NULLIF(lower(trim(email)), '') AS email, upper(trim(sku)) AS sku,
                       TRY_CAST(quantity AS BIGINT) AS quantity, TRY_CAST(unit_price AS DECIMAL(12,2)) AS unit_price, upper(trim(currency)) AS currency,
                       COALESCE(lower(trim(region)), 'unknown') AS region, CASE lower(trim(status)) WHEN 'canceled' THEN 'cancelled' ELSE lower(trim(status)) END AS status,
                       NULLIF(trim(note), '') AS note, TRY_CAST(ordered_at AS TIMESTAMP) AS ordered_at, TRY_CAST(updated_at AS TIMESTAMP) AS updated_at,
                       _file_name AS file_name, _row_number AS row_number, to_json(struct_pack({", ".join(f"{c} := {c}" for c in TEXTS.split(", "))})) AS row_values
                FROM bronze)
            SELECT *, list_filter([
                CASE WHEN regexp_matches(email, '^[^@ ]+@[^@ ]+[.][^@ ]+$') THEN NULL ELSE 'email_is_valid' END, CASE WHEN quantity > 0 THEN NULL ELSE 'quantity_is_positive' END,
                CASE WHEN unit_price >= 0 THEN NULL ELSE 'price_is_not_negative' END, CASE WHEN length(currency) = 3 THEN NULL ELSE 'currency_is_given' END,
                CASE WHEN status IN ('paid', 'open', 'cancelled') THEN NULL ELSE 'status_is_known' END, CASE WHEN ordered_at <= updated_at THEN NULL ELSE 'ordered_before_updated' END
                ], lambda x: x IS NOT NULL) AS failed FROM typed""")
        con.execute("INSERT INTO quarantine SELECT file_name, row_number, failed, row_values FROM batch WHERE len(failed) > 0")
        con.execute("""
            INSERT INTO silver SELECT order_id, line_no, email, sku, quantity, unit_price, currency, region, status, note, ordered_at, updated_at, file_name, row_number
            FROM batch WHERE len(failed) = 0
            QUALIFY row_number() OVER (PARTITION BY order_id, line_no, email, sku, quantity, unit_price, currency, region, status, note, ordered_at, updated_at ORDER BY row_number) = 1""")
        con.execute("COMMIT")
        seconds, cpu = time.perf_counter() - start, time.process_time() - spent
        found = con.execute("SELECT (SELECT count(*) FROM silver), (SELECT count(*) FROM quarantine)").fetchone()
        con.close()
    return {"seconds": seconds, "cpu": cpu, "rows": found, "memory": peak_memory_mb()}


def measured(who: str, rows: int, history: int) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.load", "--one", who, "--rows", str(rows), "--history", str(history)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(sizes: list[tuple[int, int]]) -> None:
    print("rows        history     firn s  rows/s     hand s  ratio  firn cpu  hand cpu  ratio  statements  describes  idle s  idle statements  firn MB  hand MB")
    for rows, history in sizes:
        ours, theirs = measured("firn", rows, history), measured("hand", rows, 0)
        print(
            f"{rows:>9,}  {history:>10,}  {ours['seconds']:>7.2f}  {rows / ours['seconds']:>8,.0f}  {theirs['seconds']:>7.2f}  {ours['seconds'] / theirs['seconds']:>5.1f}"
            f"  {ours['cpu']:>8.2f}  {theirs['cpu']:>8.2f}  {ours['cpu'] / theirs['cpu']:>5.1f}"
            f"  {ours['statements']:>10}  {ours['describes']:>9}  {ours['idle_seconds']:>6.2f}  {ours['idle_statements']:>15}  {ours['memory']:>7.0f}  {theirs['memory']:>7.0f}",
            flush=True,
        )
        if not history and ours["rows"] != theirs["rows"]:
            raise SystemExit(f"the two do not agree: {ours['rows']} and {theirs['rows']} (silver, quarantine)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=["firn", "hand"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--history", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.one:
        run = firn if arguments.one == "firn" else hand_written
        print(json.dumps(run(arguments.rows, arguments.history), default=str))
    else:
        table([(100_000, 0), (100_000, 100_000), (100_000, 1_000_000), (1_000_000, 0)])


if __name__ == "__main__":
    main()
