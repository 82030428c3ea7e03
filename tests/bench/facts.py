"""The fact and measure steps against hand-written SQL for the same job, side by side in one run.

1. A million orders find their version in a dimension of a million versions: the fact step, and a plain as-of join in DuckDB with the
   insert into the fact (no last word per line, no inferred members, no gaps and early ones told apart, no periods noted).
2. A late change of the dimension gives 0.1 %, 1 %, then 5 % of the windows another version: the fact step points those facts again.
3. One month of 60 is touched: the measure step, and a full recomputation by the same step.

    python -m tests.bench.facts                                the tables
    python -m tests.bench.facts --one firn --orders 1000000    one measurement, as JSON
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
      updated_at:  {type: timestamp}
  orders:
    files: {prefix: bench/orders/, format: csv}
    key: [order_id]
    effective_at: updated_at
    columns:
      order_id:    {type: integer}
      customer_id: {type: integer}
      quantity:    {type: integer}
      unit_price:  {type: "number(12,2)"}
      ordered_at:  {type: timestamp}
      updated_at:  {type: timestamp}
dimensions:
  dim_customer: {from: customers, tracked: [city]}
facts:
  fact_orders:
    from: orders
    at: ordered_at
    lookups:
      customer: {dimension: dim_customer, by: customer_id}
    keep: [quantity, unit_price]
    measures:
      amount: {expression: quantity * unit_price, type: "number(18,2)"}
kpis:
  monthly:
    from: fact_orders
    period: month
    measures:
      revenue:   {expression: sum(amount), type: "number(38,2)"}
      customers: {expression: count(distinct customer_id), type: integer}
"""
MONTHS, VERSIONS_PER_CUSTOMER = 60, 5
START = "TIMESTAMP '2020-01-01'"


def versions_sql(versions: int) -> str:
    """Five versions for each customer, a year each, one after the other."""
    customers = versions // VERSIONS_PER_CUSTOMER
    return f"""
        SELECT i // {customers} AS year_no, i % {customers} + 1 AS customer_id, 'city ' || (i % 1000) || ' ' || (i // {customers}) AS city,
               {START} + INTERVAL 1 YEAR * (i // {customers}) AS valid_from
        FROM range({versions}) t(i)"""


def orders_sql(orders: int, versions: int) -> str:
    """Orders over five years, 60 months, shuffled over the customers."""
    customers = versions // VERSIONS_PER_CUSTOMER
    return f"""
        SELECT i AS order_id, (i * 7919) % {customers} + 1 AS customer_id, i % 9 + 1 AS quantity, ((i % 500) + 0.5)::DECIMAL(12,2) AS unit_price,
               {START} + INTERVAL 1 MINUTE * ((i * 104729) % (60 * 24 * 1825)) AS ordered_at
        FROM range({orders}) t(i)"""


def firn(orders: int, versions: int) -> dict[str, Any]:
    from tests.bench.account import Bench, peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), SPEC)
        lay_dimension(bench, versions)
        bench.duck(f"""
            INSERT INTO firn.silver.orders BY NAME
            SELECT *, ordered_at AS updated_at, FALSE AS is_deleted, ordered_at AS effective_at, now()::TIMESTAMP AS loaded_at, 'file' AS file_name,
                   row_number() OVER () AS row_number, 'content' AS content_key, 2 AS batch_no FROM ({orders_sql(orders, versions)})""")
        bench.duck("UPDATE firn.control.parameter_control SET last_batch = 2 WHERE step = 'pipeline'")
        bench.duck("CHECKPOINT firn")
        first = bench.step("bench", "fact", "fact_orders")
        first_numbers = bench.step("bench", "measure", "monthly")
        moved = {share: move(bench, share) for share in (0.001, 0.01, 0.05)}
        bench.step("bench", "measure", "monthly")
        refreshed = touch_one_month(bench)
        found = bench.duck("SELECT count(*), sum(customer_version_key % 1000), sum(amount) FROM firn.gold.fact_orders")[0]
        right = bench.duck("""
            SELECT count(*) FROM firn.gold.fact_orders f LEFT JOIN firn.gold.dim_customer d ON d.customer_version_key = f.customer_version_key
            WHERE d.customer_id IS DISTINCT FROM f.customer_id OR f.ordered_at < d.valid_from OR f.ordered_at >= d.valid_to""")[0][0]
        bench.close()
    return {
        "fact": first["seconds"], "fact_cpu": first["cpu"], "kpi_full_cpu": first_numbers["cpu"], "kpi_month_cpu": refreshed["cpu"], "statements": first["run"], "describes": first["described"], "kpi_full": first_numbers["seconds"], "kpi_month": refreshed["seconds"],
        "moved": moved, "rows": int(found[0]), "wrong": int(right), "memory": peak_memory_mb(),
    }  # fmt: skip


def lay_dimension(bench: Any, versions: int) -> None:
    """The dimension as it stands, laid down directly: it is the ground, not the job."""
    bench.duck(f"""
        INSERT INTO firn.gold.dim_customer BY NAME
        SELECT customer_id AS customer_key, row_number() OVER () AS customer_version_key, customer_id, city, valid_from,
               lead(valid_from) OVER (PARTITION BY customer_id ORDER BY valid_from) AS valid_to, valid_to IS NULL AS is_current,
               FALSE AS is_inferred, 1 AS batch_no FROM ({versions_sql(versions)})""")
    bench.duck("UPDATE firn.control.parameter_control SET last_batch = 1")


def move(bench: Any, share: float) -> dict[str, Any]:
    """A share of the windows has another version since: of five times as many customers one version of five.

    Dimension and windows are laid down as a dimension step leaves them; then the fact step runs.
    """
    number = next_batch(bench)
    customers = int(share * VERSIONS_PER_CUSTOMER * 1000)
    chosen = f"customer_id % 1000 < {customers} AND year(valid_from) = 2022"
    bench.duck(f"""
        INSERT INTO firn.control.changed_window (pipeline, dimension, durable_key, changed_from, changed_to, batch_no)
        SELECT 'bench', 'dim_customer', customer_key, valid_from, valid_to, {number} FROM firn.gold.dim_customer WHERE {chosen}""")
    bench.duck(f"UPDATE firn.gold.dim_customer SET customer_version_key = customer_version_key + 10000000 WHERE {chosen}")
    bench.duck("CHECKPOINT firn")
    done = bench.step("bench", "fact", "fact_orders")
    return {"seconds": done["seconds"], "cpu": done["cpu"], "updated": done["counts"]["updated"]}


def next_batch(bench: Any) -> int:
    number = bench.duck("SELECT last_batch FROM firn.control.parameter_control WHERE step = 'pipeline'")[0][0] + 1
    bench.duck(f"UPDATE firn.control.parameter_control SET last_batch = {number} WHERE step = 'pipeline'")
    return int(number)


def touch_one_month(bench: Any) -> dict[str, Any]:
    """One late order in one month: the fact step takes it, the measure step computes its month again."""
    number = next_batch(bench)
    bench.duck(f"""
        INSERT INTO firn.silver.orders BY NAME
        SELECT 99999999 AS order_id, 1 AS customer_id, 1 AS quantity, 1.00 AS unit_price, {START} + INTERVAL 100 DAY AS ordered_at, {START} AS updated_at, FALSE AS is_deleted,
               {START} AS effective_at, now()::TIMESTAMP AS loaded_at, 'late' AS file_name, 1 AS row_number, 'late' AS content_key, {number} AS batch_no""")
    bench.step("bench", "fact", "fact_orders")
    return bench.step("bench", "measure", "monthly")


def hand_written(orders: int, versions: int) -> dict[str, Any]:
    from tests.bench.account import peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        con = duckdb.connect(str(Path(folder) / "facts.db"), config={"memory_limit": "2GB"})
        con.execute(f"CREATE TABLE dim AS SELECT customer_id, city, valid_from, row_number() OVER () AS version_key FROM ({versions_sql(versions)})")
        con.execute(f"CREATE TABLE orders AS {orders_sql(orders, versions)}")
        con.execute("CREATE TABLE fact (order_id BIGINT, ordered_at TIMESTAMP, customer_id BIGINT, quantity BIGINT, unit_price DECIMAL(12,2), customer_key BIGINT, version_key BIGINT, amount DECIMAL(18,2))")
        con.execute("CHECKPOINT")
        start, used = time.perf_counter(), time.process_time()
        con.execute("BEGIN")
        con.execute("""
            INSERT INTO fact SELECT o.order_id, o.ordered_at, o.customer_id, o.quantity, o.unit_price, o.customer_id, d.version_key, o.quantity * o.unit_price
            FROM orders o ASOF LEFT JOIN dim d ON d.customer_id = o.customer_id AND o.ordered_at >= d.valid_from""")
        con.execute("COMMIT")
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        start = time.perf_counter()
        con.execute("CREATE TABLE monthly AS SELECT date_trunc('month', ordered_at) AS month, sum(amount) AS revenue, count(DISTINCT customer_id) AS customers FROM fact GROUP BY 1")
        numbers = time.perf_counter() - start
        found = con.execute("SELECT count(*) FROM fact").fetchone()
        con.close()
    return {"fact": seconds, "fact_cpu": cpu, "kpi_full": numbers, "rows": found[0], "memory": peak_memory_mb()}


def measured(who: str, orders: int, versions: int) -> dict[str, Any]:
    """In a process of its own, so that memory is its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.facts", "--one", who, "--orders", str(orders), "--versions", str(versions)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(sizes: list[tuple[int, int]]) -> None:
    for orders, versions in sizes:
        ours, theirs = measured("firn", orders, versions), measured("hand", orders, versions)
        if ours["wrong"] or ours["rows"] != theirs["rows"] + 1:
            raise SystemExit(f"{ours['wrong']} facts point to a version that was not valid, {ours['rows']} facts beside {theirs['rows']}")
        print("   orders   versions   firn s  hand s  ratio   firn cpu s  hand cpu s  ratio  statements  describes  firn MB  hand MB")
        print(
            f"{orders:>9,}  {versions:>9,}  {ours['fact']:>7.2f} {theirs['fact']:>7.2f} {ours['fact'] / theirs['fact']:>6.1f}"
            f"  {ours['fact_cpu']:>11.2f} {theirs['fact_cpu']:>11.2f} {ours['fact_cpu'] / theirs['fact_cpu']:>6.1f}"
            f"  {ours['statements']:>10}  {ours['describes']:>9}  {ours['memory']:>7.0f}  {theirs['memory']:>7.0f}"
        )
        print("   windows moved     facts pointed again   seconds   cpu s")
        for share, done in ours["moved"].items():
            print(f"   {float(share):>13.1%}     {done['updated']:>19,}   {done['seconds']:>7.2f}   {done['cpu']:>5.2f}")
        print("   KPI of 60 months   all of it s (cpu)   one month s (cpu)   ratio (cpu)   hand-written, all of it s")
        print(
            f"   {'':>16}   {ours['kpi_full']:>10.2f} ({ours['kpi_full_cpu']:.2f})   {ours['kpi_month']:>10.2f} ({ours['kpi_month_cpu']:.2f})"
            f"   {ours['kpi_month'] / ours['kpi_full']:>4.2f} ({ours['kpi_month_cpu'] / ours['kpi_full_cpu']:.2f})   {theirs['kpi_full']:>25.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=["firn", "hand"])
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.one:
        run = firn if arguments.one == "firn" else hand_written
        print(json.dumps(run(arguments.orders, arguments.versions)))
    else:
        table([(arguments.orders, arguments.versions)])


if __name__ == "__main__":
    main()
