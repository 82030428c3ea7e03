"""The measure step: one month of 60 touched, beside a full recomputation of the same KPI from the same facts.

Facts lie in the table as they come: in the order of their time. A full recomputation is what the step does after the KPI's
definition changed. A step has a fixed part, its statements, whatever it computes; it is measured by touching a month that has
no facts, and the two are compared with it and less it. Each figure is the median of three, after one that does not count.

    python -m tests.bench.numbers                          a million facts, then ten million
    python -m tests.bench.numbers --one firn --facts 1000000    one measurement, as JSON
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

from tests.bench.facts import SPEC, START, orders_sql

CUSTOMERS = 200_000
NUMBERS = "SELECT date_trunc('month', ordered_at)::DATE AS month, sum(amount) AS revenue, count(DISTINCT customer_id) AS customers FROM {table} GROUP BY 1"


def firn(facts: int) -> dict[str, Any]:
    from tests.bench.account import Bench, peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), SPEC)
        bench.duck(f"""
            INSERT INTO firn.gold.fact_orders BY NAME
            SELECT *, customer_id AS customer_key, customer_id AS customer_version_key, quantity * unit_price AS amount, 1 AS batch_no
            FROM ({orders_sql(facts, 5 * CUSTOMERS)})""")
        bench.duck("UPDATE firn.control.parameter_control SET last_batch = 1 WHERE step IN ('pipeline', 'fact fact_orders')")
        bench.duck("CHECKPOINT firn")
        kinds = {"full": all_of_it, "month": one_month, "nothing": no_facts}
        runs = {name: [kind(bench, number) for number in range(4)][1:] for name, kind in kinds.items()}
        wrong = bench.duck(f"SELECT month, revenue, customers FROM firn.gold.monthly EXCEPT {NUMBERS.format(table='firn.gold.fact_orders')}")
        bench.close()
    found = {name: {kind: statistics.median(run[kind] for run in some) for kind in ("seconds", "cpu")} for name, some in runs.items()}
    return {**found, "statements": runs["month"][0]["run"], "describes": runs["month"][0]["described"], "wrong": len(wrong), "memory": peak_memory_mb()}


def all_of_it(bench: Any, number: int) -> dict[str, Any]:
    bench.duck("UPDATE firn.control.parameter_control SET last_batch = 0 WHERE step = 'measure monthly'")
    return bench.step("bench", "measure", "monthly")


def one_month(bench: Any, number: int) -> dict[str, Any]:
    """A fact of the month is another, and the fact step has noted the month."""
    day = f"{START} + INTERVAL {20 + number} MONTH"
    bench.duck(f"UPDATE firn.gold.fact_orders SET amount = amount + 1 WHERE order_id = (SELECT min(order_id) FROM firn.gold.fact_orders WHERE ordered_at >= {day})")
    return touched(bench, day, written=1)


def no_facts(bench: Any, number: int) -> dict[str, Any]:
    return touched(bench, f"{START} + INTERVAL 20 YEAR", written=0)


def touched(bench: Any, day: str, written: int) -> dict[str, Any]:
    """The measure step after a fact step has noted a month."""
    bench.duck("UPDATE firn.control.parameter_control SET last_batch = last_batch + 1 WHERE step = 'pipeline'")
    bench.duck(f"INSERT INTO firn.control.touched_monthly SELECT date_trunc('month', {day})::DATE, last_batch FROM firn.control.parameter_control WHERE step = 'pipeline'")
    done = bench.step("bench", "measure", "monthly")
    if done["counts"]["updated"] != written:
        raise SystemExit(f"{written} months were to be written: {done['counts']}")
    return done


def hand_written(facts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        con = duckdb.connect(str(Path(folder) / "numbers.db"), config={"memory_limit": "2GB"})
        con.execute(f"CREATE TABLE fact AS SELECT *, quantity * unit_price AS amount FROM ({orders_sql(facts, 5 * CUSTOMERS)})")
        con.execute("CHECKPOINT")
        runs = []
        for _number in range(4):
            start, used = time.perf_counter(), time.process_time()
            con.execute(f"CREATE OR REPLACE TABLE monthly AS {NUMBERS.format(table='fact')}")
            runs.append((time.perf_counter() - start, time.process_time() - used))
        con.close()
    return {"full": {"seconds": statistics.median(run[0] for run in runs[1:]), "cpu": statistics.median(run[1] for run in runs[1:])}}


def measured(who: str, facts: int) -> dict[str, Any]:
    """In a process of its own, so that memory is its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.numbers", "--one", who, "--facts", str(facts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(sizes: list[int]) -> None:
    print("KPI of 60 months, one of them touched; seconds, and processor seconds in brackets")
    print("     facts       all of it       one month   no facts (fixed)   month / all   less the fixed part   statements  describes   hand-written, all   firn MB")
    for facts in sizes:
        ours, theirs = measured("firn", facts), measured("hand", facts)
        if ours["wrong"]:
            raise SystemExit(f"{ours['wrong']} months are not what their facts say")
        shown = "  ".join(f"{ours[name]['seconds']:>6.2f} ({ours[name]['cpu']:>5.2f})" for name in ("full", "month", "nothing"))
        ratios = []
        for kind in ("seconds", "cpu"):
            full, month, fixed = (ours[name][kind] for name in ("full", "month", "nothing"))
            ratios.append((month / full, (month - fixed) / (full - fixed)))
        print(
            f"{facts:>10,}  {shown}   {ratios[0][0]:>6.2f} ({ratios[1][0]:.2f})   {ratios[0][1]:>12.2f} ({ratios[1][1]:.2f})   {ours['statements']:>10}  {ours['describes']:>9}"
            f"   {theirs['full']['seconds']:>10.2f} ({theirs['full']['cpu']:.2f})   {ours['memory']:>7.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=["firn", "hand"])
    parser.add_argument("--facts", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.one:
        run = firn if arguments.one == "firn" else hand_written
        print(json.dumps(run(arguments.facts)))
    else:
        table([1_000_000, 10_000_000])


if __name__ == "__main__":
    main()
