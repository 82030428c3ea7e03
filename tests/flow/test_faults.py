"""Bad input and accidents: a clear error or quarantine, nothing lost, and the graph goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from snowflake.connector.errors import ProgrammingError

from local.pipeline_runs import BUCKET, query, wait_until
from local.place import ROOT, Place, alive, free_port
from tests.flow.test_flow import CUSTOMERS, ORDERS, put, revenue


def good_customer(number: int) -> str:
    return f"{number},Name {number},n{number}@example.org,30,F,R,Oslo,NO,2023-02-01 00:00:00,I\n"


def customers_in_silver(place: Place) -> list[int]:
    return [int(r["customer_id"]) for r in query(place, "SELECT customer_id FROM firn.silver.customers ORDER BY customer_id")]


def copy_history(place: Place, table: str) -> dict[str, dict]:
    rows = query(place, f"SELECT * FROM TABLE(firn_landing.information_schema.copy_history(TABLE_NAME => 'FIRN_LANDING.BRONZE.{table}', START_TIME => DATEADD('hour', -1, CURRENT_TIMESTAMP())))")
    return {row["file_name"].rsplit("/", 1)[-1]: row for row in rows}


def test_a_broken_line_and_a_missing_column_lose_nothing_else(installed: Place) -> None:
    put(installed, "crm/customers/broken.csv", CUSTOMERS + good_customer(101) + "102,only three,fields\n" + good_customer(103))
    put(installed, "crm/customers/less.csv", "customer_id,name,updated_at\n104,No e-mail column,2023-02-01 00:00:00\n")

    wait_until(lambda: 103 in customers_in_silver(installed), "the good rows of the broken file")
    wait_until(lambda: len(query(installed, "SELECT 1 FROM firn.control.quarantine WHERE source = 'customers'")) >= 2, "the bad rows in quarantine")

    waiting = {r["file_name"].rsplit("/", 1)[-1]: r for r in query(installed, "SELECT file_name, row_number, failed_checks::VARCHAR AS failed FROM firn.control.quarantine WHERE source = 'customers'")}
    assert {"broken.csv", "less.csv"} <= set(waiting)
    assert "email_is_valid" in waiting["less.csv"]["failed"]
    assert {101, 103} <= set(customers_in_silver(installed))


def test_an_unreadable_file_is_told_and_the_next_one_is_loaded(installed: Place) -> None:
    put(installed, "web/events/garbage.parquet", b"this is no parquet")
    put(installed, "crm/customers/after_garbage.csv", CUSTOMERS + good_customer(110))

    wait_until(lambda: 110 in customers_in_silver(installed), "the file after the unreadable one")

    told = copy_history(installed, "WEB_EVENTS")["garbage.parquet"]
    assert told["status"].upper().replace("_", " ") in ("LOAD FAILED",)
    assert told["first_error_message"]


def test_an_event_for_a_file_that_is_gone_and_an_event_delivered_twice(installed: Place) -> None:
    put(installed, "crm/customers/twice.csv", CUSTOMERS + good_customer(120))
    queue = query(installed, "SHOW PIPES IN ACCOUNT")[0]["notification_channel"].rsplit(":", 1)[-1]
    sqs = installed.s3().client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    for key in ("crm/customers/gone.csv", "crm/customers/twice.csv", "crm/customers/twice.csv"):
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": [record]}))

    put(installed, "crm/customers/after_gone.csv", CUSTOMERS + good_customer(121))
    wait_until(lambda: {120, 121} <= set(customers_in_silver(installed)), "the files around the gone one")

    assert customers_in_silver(installed).count(120) == 1
    assert query(installed, "SELECT COUNT(*) AS n FROM firn_landing.bronze.customers WHERE _file_name LIKE '%twice.csv'")[0]["n"] == 1


def test_an_unknown_statement_is_an_error_with_snowflakes_code(installed: Place) -> None:
    with installed.connect() as connection, connection.cursor() as cursor, pytest.raises(ProgrammingError) as raised:
        cursor.execute("CREATE HYBRID TABLE nonsense (a NUMBER)")

    assert raised.value.errno == 1003
    assert "HYBRID" in str(raised.value)


def test_kill_9_in_the_middle_of_a_run_and_it_goes_on_to_the_right_end(installed: Place) -> None:
    """Killed several times while 40 files go through; at the end every row is there once."""
    state = installed.running()
    for i in range(40):
        rows = "".join(f"K{i},{line},{200 + i},SKU{line},1,1.00,USD,apac,paid,2022-07-01 00:00:00,2022-07-01 00:00:00\n" for line in range(25))
        put(installed, f"shop/orders/kill_{i:02d}.csv", ORDERS + rows)
    for pause in (0.4, 2.0, 9.0):
        time.sleep(pause)
        os.kill(installed.running()["pid"], signal.SIGKILL)
        wait_until(lambda: installed.state() is None, "the account to be dead", 20)
        installed.up(state["port"], state["s3_port"])

    wait_until(lambda: str(revenue(installed, "2022-07-01")) == "1000.00", "all of the 1 000 lines in the KPI", 120)

    lines = query(installed, "SELECT COUNT(*) AS n, COUNT(DISTINCT order_id, line_no) AS d FROM firn.gold.fact_orders WHERE order_id LIKE 'K%'")[0]
    silver = query(installed, "SELECT COUNT(*) AS n FROM firn.silver.orders WHERE order_id LIKE 'K%'")[0]["n"]
    assert (lines["n"], lines["d"], silver) == (1000, 1000, 1000)
    assert query(installed, "SELECT COUNT(*) AS n FROM firn_landing.bronze.orders WHERE _file_name LIKE '%kill_%'")[0]["n"] == 1000


# --- the command


def firn(*words: str, folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(folder), *words], cwd=ROOT, text=True, capture_output=True, timeout=120)


def test_a_second_up_says_that_it_already_runs(installed: Place) -> None:
    done = firn("up", folder=installed.folder)

    assert done.returncode == 0
    assert "already runs" in done.stdout


def test_a_port_in_use_is_named_with_what_to_do(installed: Place, tmp_path) -> None:
    taken = str(installed.running()["port"])

    done = firn("up", "--port", taken, "--s3-port", str(free_port()), folder=tmp_path / "other")

    assert done.returncode == 1
    assert f"port {taken}" in done.stderr and "firn up --port" in done.stderr


def test_without_a_running_account_the_commands_say_how_to_start_it(tmp_path) -> None:
    done = firn("sql", "select 1", folder=tmp_path)

    assert done.returncode == 1
    assert "firn up" in done.stderr


def test_down_stops_every_process_and_up_finds_the_data_again(empty_account: Place) -> None:
    place = empty_account
    state = place.running()
    with place.connect() as connection, connection.cursor() as cursor:
        for sql in ("CREATE DATABASE kept", "CREATE TABLE kept.public.t (a NUMBER)", "INSERT INTO kept.public.t VALUES (7)"):
            cursor.execute(sql)
    place.s3().client("s3").create_bucket(Bucket="kept")
    place.s3().client("s3").put_object(Bucket="kept", Key="a", Body=b"bytes")

    assert place.down()
    assert not alive(state["pid"])
    place.up(state["port"], state["s3_port"])

    with place.connect() as connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT a FROM kept.public.t").fetchall() == [(7,)]
    assert place.s3().client("s3").get_object(Bucket="kept", Key="a")["Body"].read() == b"bytes"


def test_snow_uses_the_projects_own_connection_and_not_the_users(empty_account: Place) -> None:
    assert empty_account.config_file.stat().st_mode & 0o077 == 0
    assert "[connections.local]" in empty_account.config_file.read_text()
    assert "local" in (empty_account.snow("sql", "-q", "SELECT CURRENT_USER()").stdout or "").lower()
