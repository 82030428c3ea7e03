"""Files in the bucket become numbers in gold, with the graph running by itself and nobody calling anything."""

from __future__ import annotations

import json
import time

import pytest

from local import demo
from local.pipeline_runs import BUCKET, drop_and_wait, query, rows_entered, wait_until
from local.place import Place

CUSTOMERS = "customer_id,name,email,age,gender,customer_type,city,country,updated_at,op\n"
ORDERS = "order_id,line_no,customer_id,sku,quantity,unit_price,currency,region,status,ordered_at,updated_at\n"
KPI_SECONDS = 15  # the promise at the shortest schedule; printed beside what it took, not asserted: machines are noisy


def put(place: Place, key: str, text: str | bytes) -> None:
    place.s3().client("s3").put_object(Bucket=BUCKET, Key=key, Body=text.encode() if isinstance(text, str) else text)


def revenue(place: Place, month: str) -> object:
    rows = query(place, "SELECT revenue FROM firn.gold.monthly_metrics WHERE month = ?", [month])
    return rows[0]["revenue"] if rows else None


def counts(place: Place) -> dict[str, int]:
    tables = ("silver.customers", "silver.orders", "gold.dim_customer", "gold.fact_orders", "gold.monthly_metrics", "control.quarantine", "control.ledger")
    return {name: query(place, f"SELECT COUNT(*) AS n FROM firn.{name}")[0]["n"] for name in tables}


def call(place: Place, sql: str) -> dict:
    rows = json.loads(place.snow("sql", "-q", sql, "--format", "json").stdout)
    return json.loads(next(iter(rows[0].values())))


def test_a_file_put_in_the_bucket_changes_a_kpi_without_a_call(installed: Place) -> None:
    start = time.monotonic()
    put(installed, "shop/orders/a.csv", ORDERS + "A1,1,1,SKU1,2,10.50,USD,emea,paid,2023-05-04 10:00:00,2023-05-04 10:00:00\n")

    wait_until(lambda: revenue(installed, "2023-05-01") is not None, "the KPI")

    assert float(revenue(installed, "2023-05-01")) == 21.0
    print(f"file to KPI: {time.monotonic() - start:.1f} s (promised: {KPI_SECONDS} s at a schedule of 10 s)")


def test_a_customer_that_an_order_knew_first_is_found_by_the_order_later(installed: Place) -> None:
    put(installed, "crm/customers/a.csv", CUSTOMERS + "1,Ann,ann@example.org,40,F,VIP,Paris,FR,2023-01-01 00:00:00,I\n")

    wait_until(lambda: rows_entered(installed, "retail").get("customers", 0) >= 1, "the customer in silver")
    wait_until(
        lambda: bool(query(installed, "SELECT 1 FROM firn.gold.fact_orders f JOIN firn.gold.dim_customer d USING (customer_version_key) WHERE d.city = 'Paris'")),
        "the order pointing to the customer",
    )
    inferred = query(installed, "SELECT COUNT(*) AS n FROM firn.gold.dim_customer WHERE customer_id = 1 AND is_inferred")
    assert inferred[0]["n"] == 0, "the inferred member has become the real one"


def test_the_same_file_again_under_another_name_is_read_and_adds_nothing(installed: Place) -> None:
    before = counts(installed)
    body = installed.s3().client("s3").get_object(Bucket=BUCKET, Key="crm/customers/a.csv")["Body"].read()
    put(installed, "crm/customers/a_again.csv", body)

    drop_and_wait(installed, "retail", {"customers": 2})

    after = counts(installed)
    assert {**after, "control.ledger": 0} == {**before, "control.ledger": 0}
    log = query(installed, "SELECT rows_read, rows_duplicate, rows_written FROM firn.control.pipeline_log WHERE step = 'load customers' AND status = 'succeeded' ORDER BY started_at DESC LIMIT 1")
    assert log == [{"rows_read": 1, "rows_duplicate": 1, "rows_written": 0}]


def test_a_second_run_with_nothing_new_writes_nothing_and_says_so(installed: Place) -> None:
    before = counts(installed)

    said = call(installed, "CALL firn.core.run_pipeline()")

    assert "nothing new" in json.dumps(said)
    assert {step["status"] for step in said["steps"]} == {"nothing new"}
    assert counts(installed) == before


@pytest.mark.parametrize(("step", "target"), [
    ("load", "customers"), ("load", "orders"), ("dimension", "dim_customer"), ("fact", "fact_orders"), ("measure", "monthly_metrics"), ("sweep", ""),
])
def test_running_any_step_twice_changes_nothing(installed: Place, step: str, target: str) -> None:
    before = counts(installed)
    for _ in range(2):
        query(installed, "CALL firn.core.run_step('retail', ?, ?)", [step, target])

    assert counts(installed) == before


def test_every_step_in_the_log_accounts_for_every_row(installed: Place) -> None:
    wrong = query(
        installed,
        "SELECT * FROM firn.control.pipeline_log WHERE status = 'succeeded' AND rows_read <> rows_written + rows_duplicate + rows_superseded + rows_quarantined + rows_held",
    )
    assert wrong == []


def test_reconcile_lists_the_bucket_by_itself_and_finds_every_file(installed: Place) -> None:
    """By the directory of the landing stage, which the application may refresh: nobody has listed anything."""
    put(installed, "crm/customers/never.csv", CUSTOMERS)  # a header alone: it leaves no row in bronze; in an hour it would be named

    told = call(installed, "CALL firn.core.reconcile('retail')")

    bucket = {c["part"]: c for c in told["comparisons"] if c["comparison"] == "bucket and bronze"}
    assert told["balanced"] and {part: (c["expected"], c["found"], c["under_way"]) for part, c in bucket.items() if c["expected"] or c["under_way"]} == {
        "source customers": (2, 2, 1),
        "source orders": (1, 1, 0),
    }
    assert not any("stale" in c or "not_made" in c for c in bucket.values())
    assert demo.unbalanced(installed) == [], "what the demo says of it"
    installed.s3().client("s3").delete_object(Bucket=BUCKET, Key="crm/customers/never.csv")


def test_the_stage_is_empty_after_each_load(installed: Place) -> None:
    tables = query(installed, "SELECT table_name FROM firn.information_schema.tables WHERE table_schema = 'STAGE'")
    assert tables
    assert {t["table_name"]: query(installed, f"SELECT COUNT(*) AS n FROM firn.stage.{t['table_name']}")[0]["n"] for t in tables} == {t["table_name"]: 0 for t in tables}


def test_a_handler_sees_only_what_was_deployed(installed: Place) -> None:
    """The sandbox has the imported files, the packages, and nothing of the repository."""
    sandboxes = list((installed.folder / "sandboxes").iterdir())
    assert sandboxes
    for sandbox in sandboxes:
        assert {p.suffix for p in sandbox.iterdir() if p.is_file()} <= {".py", ".yml"}
        assert not (sandbox / "local").exists()
