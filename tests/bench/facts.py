"""The fact step against hand-written SQL for the same job, side by side in one run.

1. A million orders find their version in a dimension of a million versions: the fact step, and a plain as-of join in DuckDB with the
   insert into the fact (no last word per line, no inferred members, no gaps and early ones told apart, no periods noted).
2. A late change of the dimension gives 0.1 %, 1 %, then 10 % of the windows another version: the fact step points those facts again.
   The same number of facts is then pointed again in a fact five times as large.

Orders lie in silver as they come, in the order of their time, shuffled over the customers.

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
    """Orders over five years, 60 months, in the order of their time, shuffled over the customers."""
    customers = versions // VERSIONS_PER_CUSTOMER
    return f"""
        SELECT i AS order_id, (i * 7919) % {customers} + 1 AS customer_id, i % 9 + 1 AS quantity, ((i % 500) + 0.5)::DECIMAL(12,2) AS unit_price,
               {START} + INTERVAL 1 SECOND * (i * {60 * 60 * 24 * 1825} // {orders}) AS ordered_at
        FROM range({orders}) t(i)"""


def firn(orders: int, versions: int, shares: tuple[float, ...]) -> dict[str, Any]:
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
        move(bench, 0.0001)  # its statements are translated for the first time
        moved = {share: move(bench, share) for share in shares}
        found = bench.duck("SELECT count(*) FROM firn.gold.fact_orders")[0]
        right = bench.duck("""
            SELECT count(*) FROM firn.gold.fact_orders f LEFT JOIN firn.gold.dim_customer d ON d.customer_version_key = f.customer_version_key
            WHERE d.customer_id IS DISTINCT FROM f.customer_id OR f.ordered_at < d.valid_from OR f.ordered_at >= d.valid_to""")[0][0]
        bench.close()
    return {
        "fact": first["seconds"], "fact_cpu": first["cpu"], "statements": first["run"], "describes": first["described"],
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
    chosen = f"customer_id % 10000 < {round(share * VERSIONS_PER_CUSTOMER * 10000)} AND year(valid_from) = 2022"
    bench.duck(f"""
        INSERT INTO firn.control.changed_window (pipeline, dimension, durable_key, changed_from, changed_to, batch_no)
        SELECT 'bench', 'dim_customer', customer_key, valid_from, valid_to, {number} FROM firn.gold.dim_customer WHERE {chosen}""")
    bench.duck(f"UPDATE firn.gold.dim_customer SET customer_version_key = customer_version_key + 10000000 WHERE {chosen}")
    bench.duck("CHECKPOINT firn")
    done = bench.step("bench", "fact", "fact_orders")
    return {**{name: done[name] for name in ("seconds", "cpu", "run", "described")}, "updated": done["counts"]["updated"]}


def next_batch(bench: Any) -> int:
    number = bench.duck("SELECT last_batch FROM firn.control.parameter_control WHERE step = 'pipeline'")[0][0] + 1
    bench.duck(f"UPDATE firn.control.parameter_control SET last_batch = {number} WHERE step = 'pipeline'")
    return int(number)


def hand_written(orders: int, versions: int, shares: tuple[float, ...] = ()) -> dict[str, Any]:
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
        found = con.execute("SELECT count(*) FROM fact").fetchone()
        con.close()
    return {"fact": seconds, "fact_cpu": cpu, "rows": found[0], "memory": peak_memory_mb()}


def measured(who: str, orders: int, versions: int, shares: tuple[float, ...] = ()) -> dict[str, Any]:
    """In a process of its own, so that memory is its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.facts", "--one", who, "--orders", str(orders), "--versions", str(versions), "--shares", *map(str, shares)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


SHARES = (0.001, 0.01, 0.1)


def table(sizes: list[tuple[int, int]]) -> None:
    for orders, versions in sizes:
        ours, theirs = measured("firn", orders, versions, SHARES), measured("hand", orders, versions)
        if ours["wrong"] or ours["rows"] != theirs["rows"]:
            raise SystemExit(f"{ours['wrong']} facts point to a version that was not valid, {ours['rows']} facts beside {theirs['rows']}")
        print("   orders   versions   firn s  hand s  ratio   firn cpu s  hand cpu s  ratio  statements  describes  firn MB  hand MB")
        print(
            f"{orders:>9,}  {versions:>9,}  {ours['fact']:>7.2f} {theirs['fact']:>7.2f} {ours['fact'] / theirs['fact']:>6.1f}"
            f"  {ours['fact_cpu']:>11.2f} {theirs['fact_cpu']:>11.2f} {ours['fact_cpu'] / theirs['fact_cpu']:>6.1f}"
            f"  {ours['statements']:>10}  {ours['describes']:>9}  {ours['memory']:>7.0f}  {theirs['memory']:>7.0f}"
        )
        print("   facts        windows moved   facts pointed again   seconds   cpu s   statements  describes", flush=True)
        pointed(orders, ours)
        larger = 5 * orders
        pointed(larger, measured("firn", larger, versions, (SHARES[1] / 5,)))


def pointed(orders: int, ours: dict[str, Any]) -> None:
    for share, done in ours["moved"].items():
        print(f"   {orders:>10,}   {float(share):>12.1%}   {done['updated']:>19,}   {done['seconds']:>7.2f}   {done['cpu']:>5.2f}   {done['run']:>10}  {done['described']:>9}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=["firn", "hand"])
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--shares", type=float, nargs="*", default=SHARES)
    arguments = parser.parse_args()
    if arguments.one:
        run = firn if arguments.one == "firn" else hand_written
        print(json.dumps(run(arguments.orders, arguments.versions, tuple(arguments.shares))))
    else:
        table([(arguments.orders, arguments.versions)])


if __name__ == "__main__":
    main()
