"""`firn demo`: files in S3 become dimensions, facts and numbers, by themselves, and the counts are held against the truth."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from snowflake.connector.errors import ProgrammingError

from ingest.generate import generate
from ingest.generate_sales import TABLE
from local import console, demo_sales
from local.pipeline_runs import BUCKET, drop_and_wait, install, put_folder, query, set_up
from local.place import NotRunning, Place
from local.show import print_table

PIPELINE = "retail"
MARK = "demo.json"  # a folder with this file was made by the demo and may be made afresh


class Steps:
    """One plain line per step, with the seconds since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.number = 0

    def __call__(self, text: str) -> None:
        self.number += 1
        print(f"{time.monotonic() - self.start:5.1f} s  {self.number}. {text}", flush=True)


def run(place: Place, arguments: argparse.Namespace) -> int:
    step = Steps()
    prepare(place, keep=arguments.keep)
    state = place.up(arguments.port, arguments.s3_port)
    (place.folder / MARK).write_text(json.dumps({"made_by": "firn demo"}))
    step(f"the local account runs: account 127.0.0.1:{state['port']}, s3 127.0.0.1:{state['s3_port']}")
    first, second = set_up(place)
    step("setup_sql/01 to 06 by `snow sql -f`: roles, landing database, storage integration, stage, bronze tables, pipes")
    step(f"`firn aws apply --from-account`: {first} changes for bucket and IAM role, {second} for the pipes' events; see: firn aws verify --from-account")
    install(place)
    step("`snow app run`: package, stage, application installed; its setup script made and resumed the task graph")
    with demo_sales.shop(place) as shop:
        query(place, "CALL firn.config.apply_packaged('online_retail')")
        step(f"Postgres runs: 127.0.0.1:{shop.server.port}; {len(shop.lines)} lines in {TABLE}; its pipeline by `CALL firn.config.apply_packaged('online_retail')`")
        return through_the_graph(place, arguments, step, shop)


def through_the_graph(place: Place, arguments: argparse.Namespace, step: Steps, shop: demo_sales.Shop) -> int:
    """Two waves of files and sales, and what came of them."""
    truth = generate_files(place, arguments.customers)
    keys = put_folder(place, place.folder / "generated" / "wave1")
    step(f"first wave: {len(keys)} files put into s3://{BUCKET}, and `firn extract {TABLE} --daily`: {demo_sales.extract(place, shop)} days of sales")
    seconds = wait_for(place, expected_rows(truth, ["wave1"]), len(shop.lines))
    step(f"event → queue → pipe → bronze → task graph → silver → gold: done by itself, {seconds:.1f} s after the files")
    demo_sales.sell(shop)
    keys = put_folder(place, place.folder / "generated" / "wave2")
    step(f"second wave: {len(keys)} files: changes, late rows, tombstones, two files sent again; `firn extract`: {demo_sales.extract(place, shop)} day of sales")
    seconds = wait_for(place, expected_rows(truth, ["wave1", "wave2"]), len(shop.lines) + len(shop.later))
    step(f"the graphs took them in, {seconds:.1f} s after the files")
    called = place.snow("sql", "-q", "CALL firn.core.run_pipeline()", "--format", "json")
    step("`snow sql -q \"CALL firn.core.run_pipeline()\"`: " + outcome_of_call(called.stdout or ""))
    print()
    report(place)
    wrong = reconcile(place, truth, demo_sales.compared(place, shop)) + unbalanced(place)
    print()
    print("Go on:   .venv/bin/firn sql \"select * from gold.dim_customer limit 5\"      .venv/bin/firn status      .venv/bin/firn down")
    print(f"Look:    .venv/bin/firn console      and open http://127.0.0.1:{console.PORT} in a browser: runs, freshness, quarantine, accounts, history of a key, KPIs")
    print(f"The account goes on running and its data stays in {relative(place.folder)}. Drop a file of your own: the graph looks every 10 seconds.")
    return 1 if wrong else 0


def wait_for(place: Place, expected: dict[str, int], sales: int) -> float:
    """Until both graphs have carried so many rows of each source through; gives the seconds."""
    return drop_and_wait(place, PIPELINE, expected) + drop_and_wait(place, demo_sales.PIPELINE, {demo_sales.SOURCE: sales})


def relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def prepare(place: Place, *, keep: bool) -> None:
    """Start from an empty folder, unless asked to keep it; a folder the demo did not make is never emptied."""
    if keep or not place.folder.exists() or not any(place.folder.iterdir()):
        return
    if not (place.folder / MARK).exists():
        raise NotRunning(f"{place.folder} holds an account that the demo did not make. Use --keep, or another folder: firn --data FOLDER demo")
    place.down()
    shutil.rmtree(place.folder)


def generate_files(place: Place, customers: int) -> dict[str, Any]:
    folder = place.folder / "generated"
    generate(folder, customers=customers)
    return json.loads((folder / "truth.json").read_text())


def expected_rows(truth: dict[str, Any], waves: list[str]) -> dict[str, int]:
    return {source: sum(by_wave[w]["rows"] for w in waves) for source, by_wave in truth["sources"].items()}


def outcome_of_call(text: str) -> str:
    try:
        said = json.loads(json.loads(text)[0]["RUN_PIPELINE"])
        outcomes = {str(run.get("message") or run.get("status")) for run in said.get("runs", [said])}
    except (ValueError, LookupError, TypeError, AttributeError):
        return text.strip()
    return ", ".join(sorted(outcomes))


# --- what came of it


def report(place: Place) -> None:
    def show(title: str, sql: str, params: Any = None) -> None:
        rows = query(place, sql, params)
        print(title)
        print_table(list(rows[0]) if rows else ["(no rows)"], [list(r.values()) for r in rows], indent="  ")
        print()

    show(
        "The run log (steps that had something to do)",
        "SELECT step, COUNT(*) AS runs, SUM(rows_read) AS read, SUM(rows_written) AS written, SUM(rows_duplicate) AS duplicate, "
        "SUM(rows_superseded) AS superseded, SUM(rows_quarantined) AS quarantined, SUM(rows_held) AS held, "
        "ROUND(AVG(DATEDIFF('millisecond', started_at, ended_at)) / 1000, 1) AS seconds "
        "FROM firn.control.pipeline_log WHERE status = 'succeeded' GROUP BY pipeline, step ORDER BY pipeline DESC, MIN(started_at)",
    )
    show(
        "Quarantine by check (a row may fail several)",
        "SELECT q.source, f.value::VARCHAR AS failed_check, COUNT(*) AS row_count FROM firn.control.quarantine q, LATERAL FLATTEN(input => q.failed_checks) f "
        "GROUP BY q.source, f.value::VARCHAR ORDER BY q.source, row_count DESC, failed_check",
    )
    show(
        "History of one customer (late changes are put in their place)",
        "SELECT customer_id, city, country, customer_type, valid_from, valid_to, is_current FROM firn.gold.dim_customer "
        "WHERE customer_id = (SELECT customer_id FROM firn.gold.dim_customer WHERE customer_id IS NOT NULL GROUP BY customer_id ORDER BY COUNT(*) DESC, customer_id LIMIT 1) ORDER BY valid_from",
    )
    show("Monthly revenue", "SELECT month, revenue, orders, customers FROM firn.gold.monthly_metrics ORDER BY month")
    show("Largest invoices (from Postgres)", "SELECT invoice_no, invoiced_at, country, lines, amount FROM firn.gold.invoices ORDER BY amount DESC, invoice_no LIMIT 3")
    show("Orders by region", "SELECT month, region, orders, revenue FROM firn.gold.orders_by_region ORDER BY month, region")
    show("Monthly active users", "SELECT month, active_users, events FROM firn.gold.monthly_active_users ORDER BY month")


def reconcile(place: Place, truth: dict[str, Any], sales: list[tuple[str, Any, Any]]) -> list[str]:
    """Hold what the account has against what the generators say they made; prints each line, gives the wrong ones."""
    rows = []
    for source, by_wave in truth["sources"].items():
        log = query(
            place,
            "SELECT SUM(rows_read) AS read, SUM(rows_written) AS written, SUM(rows_duplicate) AS duplicate, SUM(rows_quarantined) AS quarantined "
            "FROM firn.control.pipeline_log WHERE pipeline = ? AND step = ? AND status = 'succeeded'",
            [PIPELINE, f"load {source}"],
        )[0]
        for name, key in (("rows read", "rows"), ("events in silver", "events"), ("duplicates", "duplicates"), ("quarantined", "quarantined")):
            made = sum(w[key] for w in by_wave.values())
            rows.append((f"{source}: {name}", made, int(log[{"rows": "read", "events": "written", "duplicates": "duplicate", "quarantined": "quarantined"}[key]] or 0)))
    after = truth["after"]["wave2"]
    rows += [(f"dim_customer: {k}", after["dim_customer"][k], v) for k, v in versions(place, "dim_customer", "customer_id").items()]
    rows += [(f"dim_product: {k}", after["dim_product"][k], v) for k, v in versions(place, "dim_product", "sku").items()]
    fact = query(place, "SELECT COUNT(*) AS n FROM firn.gold.fact_orders")[0]["n"]
    rows.append(("fact_orders: lines", after["fact_orders"]["lines"], int(fact)))
    kpi = {str(r["month"])[:10]: r for r in query(place, "SELECT month, revenue, orders, customers FROM firn.gold.monthly_metrics")}
    for month, made in after["monthly_metrics"].items():
        rows += [(f"{month[:7]}: {k}", Decimal(str(made[k])), kpi.get(month, {}).get(k)) for k in ("revenue", "orders", "customers")]
    region = {(str(r["month"])[:10], r["region"]): r for r in query(place, "SELECT month, region, orders FROM firn.gold.orders_by_region")}
    for name, months in after["orders_by_region"].items():
        rows += [(f"{m[:7]} {name}: orders", made["orders"], region.get((m, name), {}).get("orders")) for m, made in months.items()]
    active = {str(r["month"])[:10]: r["active_users"] for r in query(place, "SELECT month, active_users FROM firn.gold.monthly_active_users")}
    rows += [(f"{m[:7]}: active users", made["active_users"], active.get(m)) for m, made in after["monthly_active_users"].items()]
    rows += sales
    wrong = [name for name, made, found in rows if found is None or Decimal(str(made)) != Decimal(str(found))]
    print("What the generator made, and what the account has")
    print_table(["count", "made", "found", ""], [(n, m, f, "differs" if n in wrong else "=") for n, m, f in rows], indent="  ")
    print(f"  {len(rows)} counts, {len(wrong)} differ" + (": " + ", ".join(wrong) if wrong else ""))
    return wrong


def unbalanced(place: Place) -> list[str]:
    """What the account says of itself, bucket included: prints a line, gives what differs."""
    try:
        told = json.loads(query(place, "CALL firn.core.reconcile()")[0]["reconcile"])
    except ProgrammingError as error:  # it raises when two sides do not agree, and names them
        print(f"  CALL firn.core.reconcile(): {error.msg}")
        return ["core.reconcile"]
    found = [comparison for pipeline in told.get("pipelines", [told]) for comparison in pipeline["comparisons"]]
    bucket = [comparison for comparison in found if comparison["comparison"] == "bucket and bronze"]
    not_made = [f"{c['part']}, {c['comparison']}" for c in bucket if c["differences"] is None or c.get("stale")]
    files = sum(c["found"] or 0 for c in bucket)
    print(f"  CALL firn.core.reconcile(): {len(found)} comparisons, 0 differ; {files} files of the bucket seen, {sum(c.get('under_way', 0) for c in bucket)} on their way")
    return [f"core.reconcile: {name} not made" for name in not_made]


def versions(place: Place, dimension: str, key: str) -> dict[str, int]:
    """Versions and current versions, members made for facts only (inferred) left out."""
    row = query(
        place,
        f"SELECT COUNT(*) AS versions, COUNT_IF(is_current) AS current FROM firn.gold.{dimension} WHERE {key} IS NOT NULL AND NOT is_inferred",
    )[0]
    return {"versions": int(row["versions"]), "current": int(row["current"] or 0)}
