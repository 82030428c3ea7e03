"""`make demo` is the front door: the same command, run to its end, and the README's transcript held against what it prints."""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from local.pipeline_runs import query
from local.place import ROOT, Place, free_port
from tests.flow import pandas_gold


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Place, subprocess.CompletedProcess[str]]:
    place = Place(tmp_path_factory.mktemp("demo") / "account")
    ports = ["--port", str(free_port()), "--s3-port", str(free_port())]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), "demo", *ports],
        cwd=ROOT, text=True, capture_output=True, timeout=400,
    )  # fmt: skip
    yield place, done
    place.down()


def transcript() -> list[str]:
    """The README's blocks of the demo's output, cut where the README leaves something out."""
    block = re.search(r"\$ make demo\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    return [part.strip("\n") for part in block.split("…\n")]


def timeless(line: str) -> str:
    """Without seconds and ports, which differ each time."""
    line = re.sub(r"\d+\.\d s\b", "S", line.strip())
    return re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", line)


def test_the_demo_ends_well_and_every_count_is_what_the_generator_made(demo):
    _, done = demo

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"\n  \d+ counts, 0 differ\n", done.stdout)


def test_the_demo_ends_by_saying_how_to_open_the_console(demo):
    last = demo[1].stdout.splitlines()[-3:]
    assert any(".venv/bin/firn console" in line and "http://127.0.0.1:18767" in line for line in last)


def test_the_readme_shows_what_the_demo_prints(demo):
    printed = [timeless(line) for line in demo[1].stdout.splitlines()]
    steps, *results = transcript()

    for line in steps.split("\n\n")[0].splitlines():
        assert timeless(line) in printed
    for result in results:
        for line in result.splitlines():
            assert timeless(line) in printed, line


def test_the_readmes_run_log_has_the_demos_row_counts(demo):
    """How many runs it takes and how events fall into batches depends on the clock; what the loads read and made of it does not."""
    printed = demo[1].stdout
    shown = re.findall(r"^  load (\w+) +\d+ +(.+?) +[\d.]+$", transcript()[0], re.MULTILINE)
    assert len(shown) == 5
    for source, numbers in shown:
        assert re.search(rf"^  load {source} +\d+ +{re.sub(' +', ' +', numbers)} +[\d.]+$", printed, re.MULTILINE), source


@pytest.mark.parametrize("words", [
    ["status"],
    ["sql", "select month, revenue from gold.monthly_metrics order by month"],
    ["sql", "--json", "select * from control.quarantine limit 1"],
    ["snow", "sql", "-q", "CALL firn.core.run_pipeline('retail')"],
], ids=lambda words: words[0])
def test_the_commands_the_readme_names_afterwards_work(demo, words):
    place, _ = demo
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), *words], cwd=ROOT, text=True, capture_output=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


EXAMPLES = re.findall(r'^\$ \.venv/bin/firn sql "(select .+ where customer_id = .+)"\n((?:[^$`].*\n)+)', (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("sql", "shown"), EXAMPLES, ids=[f"{sql.split(' from ')[1].split()[0]} {sql.split('customer_id = ')[1][0]}" for sql, _ in EXAMPLES])
def test_the_readmes_worked_examples_are_what_the_demo_made(demo, sql, shown):
    place, _ = demo
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), "sql", sql], cwd=ROOT, text=True, capture_output=True, timeout=60)

    assert len(EXAMPLES) == 4
    assert done.stdout == shown


def test_the_demo_does_not_empty_a_folder_it_did_not_make(tmp_path: Path):
    (tmp_path / "mine").write_text("keep me")
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(tmp_path), "demo"], cwd=ROOT, text=True, capture_output=True, timeout=60)

    assert done.returncode == 1
    assert "did not make" in done.stderr
    assert (tmp_path / "mine").exists()


# --- gold


@pytest.fixture(scope="module")
def numbers(demo) -> dict[str, Any]:
    """The KPIs computed by pandas from the generated files alone."""
    return pandas_gold.tables(demo[0].folder / "generated")


@pytest.mark.parametrize("name", ["monthly_metrics", "orders_by_region", "sales_report", "customer_report", "monthly_active_users", "user_activity"])
def test_every_number_is_what_pandas_makes_of_the_files_to_the_cent(demo, numbers, name):
    expected = numbers[name]
    columns = list(expected.reset_index().columns)

    found = query(demo[0], f"SELECT * FROM firn.gold.{name}")

    assert len(found) == len(expected) > 2
    assert pandas_gold.rows_of_gold(found, columns) == pandas_gold.rows_of(expected)


def line_of_file(folder: Path, file_name: str, number: int) -> dict[str, str]:
    """The line of the generated file, by csv alone."""
    (path,) = folder.rglob(Path(file_name).name)
    with path.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))[number - 1]


def as_the_line_says(line: dict[str, str]) -> dict[str, Any]:
    quantity, price = int(line["quantity"]), Decimal(line["unit_price"])
    return {
        "order_id": line["order_id"].strip(), "line_no": int(line["line_no"]), "customer_id": int(line["customer_id"]) if line["customer_id"] else None,
        "sku": line["sku"].strip().upper(), "quantity": quantity, "unit_price": price, "amount": quantity * price,
        "status": line["status"].lower(), "region": line["region"].lower(), "ordered_at": line["ordered_at"],
    }  # fmt: skip


def as_gold_says(fact: dict[str, Any]) -> dict[str, Any]:
    return {**{name: fact[name] for name in ("order_id", "line_no", "customer_id", "sku", "quantity", "unit_price", "amount", "status", "region")}, "ordered_at": str(fact["ordered_at"])}


def test_500_random_facts_are_walked_back_to_their_very_lines(demo):
    """In bulk, by the function that explain_row asks about one row."""
    import pipeline as handlers
    import provenance
    from snowflake.snowpark import Session

    from tests.conftest import alone

    place, _ = demo
    facts = query(place, "SELECT * FROM firn.gold.fact_orders ORDER BY order_id, line_no")
    chosen = random.Random(6).sample(facts, 500)
    with place.connect(database="FIRN", paramstyle="qmark") as connection, alone(Session.builder.configs({"connection": connection}).create()) as session:
        run = handlers.open_run(session, "retail", "test")
        target = run.pipeline.fact("fact_orders")
        every = session.table("gold.fact_orders").select(*target.grain)
        origins = {(row["ORDER_ID"], row["LINE_NO"]): row for row in provenance.origins(run, target, every).collect()}

    wrong = []
    for fact in chosen:
        origin = origins[fact["order_id"], fact["line_no"]]
        line = line_of_file(place.folder / "generated", origin["FILE_NAME"], int(origin["ROW_NUMBER"]))
        if as_the_line_says(line) != as_gold_says(fact):
            wrong.append((fact, line))
    assert len(origins) == len(facts) and not wrong


def test_explain_row_by_call_names_the_line_the_checks_the_versions_and_the_runs(demo):
    place, _ = demo
    facts = query(place, "SELECT * FROM firn.gold.fact_orders ORDER BY order_id, line_no")
    for fact in random.Random(60).sample(facts, 5):
        sql = f"CALL firn.core.explain_row('gold.fact_orders', {{'order_id': '{fact['order_id']}', 'line_no': {fact['line_no']}}})"
        told = json.loads(query(place, sql)[0]["explain_row"])

        line = line_of_file(place.folder / "generated", told["comes_from"]["file_name"], told["comes_from"]["row_number"])
        assert as_the_line_says(line) == as_gold_says(fact)
        assert told["comes_from"]["as_received"]["quantity"] == line["quantity"]
        assert told["comes_from"]["loaded_by"]["run_id"] and told["written_by"]["run_id"]
        assert told["checks"]["evaluated"]["quantity_is_positive"] == "passed"
        assert told["versions"]["customer"]["version_key"] == fact["customer_version_key"] and told["versions"]["customer"]["why"]


def test_a_reader_sees_gold_and_nothing_else(demo):
    place, _ = demo
    for sql in ("USE ROLE accountadmin", "CREATE ROLE IF NOT EXISTS analyst", "GRANT APPLICATION ROLE firn.app_reader TO ROLE analyst", "GRANT ROLE analyst TO USER local"):
        query(place, sql)
    tables = query(place, "SELECT table_schema, table_name FROM firn.information_schema.tables WHERE table_type = 'BASE TABLE'")
    with place.connect(database="FIRN") as connection, connection.cursor() as cursor:
        cursor.execute("USE ROLE analyst")
        for table in tables:
            name = f"firn.{table['table_schema']}.{table['table_name']}"
            if table["table_schema"] == "GOLD":
                assert cursor.execute(f"SELECT * FROM {name} LIMIT 1").fetchall(), name
            else:
                with pytest.raises(ProgrammingError, match="not authorized"):
                    cursor.execute(f"SELECT * FROM {name} LIMIT 1")
        for call in ("core.run_pipeline()", "core.explain_row('gold.fact_orders', {'order_id': 'x'})", "config.apply_packaged('retail')"):
            with pytest.raises(ProgrammingError, match="not authorized"):
                cursor.execute(f"CALL firn.{call}")
        with pytest.raises(ProgrammingError, match="not authorized|Insufficient"):
            cursor.execute("DELETE FROM firn.gold.fact_orders")


def test_every_table_and_column_of_gold_says_what_it_is(demo):
    columns = query(demo[0], "SELECT table_name, column_name, comment FROM firn.information_schema.columns WHERE table_schema = 'GOLD'")
    tables = query(demo[0], "SELECT table_name, comment FROM firn.information_schema.tables WHERE table_schema = 'GOLD'")

    assert {row["table_name"] for row in columns} == {row["table_name"] for row in tables} >= {"DIM_DATE", "FACT_ORDERS", "USER_ACTIVITY"}
    assert not [row for row in (*columns, *tables) if not row["comment"]]


def test_bi_tools_find_the_keys_by_which_to_join(demo):
    primary = query(demo[0], "SHOW PRIMARY KEYS IN SCHEMA firn.gold")
    foreign = [row for name in ("fact_orders", "fact_web_events") for row in query(demo[0], f"SHOW IMPORTED KEYS IN TABLE firn.gold.{name}")]

    assert {row["table_name"] for row in primary} >= {"DIM_DATE", "DIM_CUSTOMER", "DIM_PRODUCT", "FACT_ORDERS", "FACT_WEB_EVENTS"}
    assert {(row["fk_table_name"], row["fk_column_name"], row["pk_table_name"], row["pk_column_name"], row["rely"]) for row in foreign} == {
        ("FACT_ORDERS", "CUSTOMER_VERSION_KEY", "DIM_CUSTOMER", "CUSTOMER_VERSION_KEY", "true"),
        ("FACT_ORDERS", "PRODUCT_VERSION_KEY", "DIM_PRODUCT", "PRODUCT_VERSION_KEY", "true"),
        ("FACT_ORDERS", "DATE_KEY", "DIM_DATE", "DATE_KEY", "true"),
        ("FACT_WEB_EVENTS", "CUSTOMER_VERSION_KEY", "DIM_CUSTOMER", "CUSTOMER_VERSION_KEY", "true"),
        ("FACT_WEB_EVENTS", "DATE_KEY", "DIM_DATE", "DATE_KEY", "true"),
    }
