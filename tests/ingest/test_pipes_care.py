"""A pipe is replaced while files arrive, cut off at any moment, and an old bucket is taken in: no row missing, none twice."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
import snowflake.connector

from local import pipes_care, s3, setup_sql
from local.pipes_care import Pipe
from local.pipes_poller import Poller, queue_arn, queue_url
from local.place import ROOT, NotRunning
from local.rig import Rig
from local.setup_sql import spec_file

SPEC = """
pipeline: shop
schedule: 1 hour
sources:
  sales:
    files: {prefix: sales/, format: csv}
    key: [id]
    effective_at: sold_at
    columns:
      id:      {type: integer}
      sold_at: {type: timestamp}
"""
SOURCE = spec_file.parse(SPEC).source("sales")
PIPE = "firn_landing.bronze.sales_pipe"
HOUR = dt.timedelta(hours=1)


class Shop:
    """A rig with a bucket, the source's pipe as setup_sql makes it, and a client's connection."""

    def __init__(self, folder, store):
        self.rig = Rig(folder, spec=SPEC)
        self.account = self.rig.account
        self.account.s3, self.s3 = store.s3, store.s3.client("s3")
        rule = {"QueueArn": queue_arn(self.account), "Events": ["s3:ObjectCreated:*"]}
        self.s3.put_bucket_notification_configuration(Bucket="firn-landing", NotificationConfiguration={"QueueConfigurations": [rule]})
        self.poller = Poller(self.account)
        self.rig.answer(
            "CREATE STORAGE INTEGRATION i TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE"
            " STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/firn' STORAGE_ALLOWED_LOCATIONS = ('s3://firn-landing/')",
            "CREATE STAGE firn_landing.bronze.landing URL = 's3://firn-landing/' STORAGE_INTEGRATION = i",
            csv_format(),
        )
        port = self.account.address[1]
        self.connection = snowflake.connector.connect(account="local", host="127.0.0.1", port=port, protocol="http", user="u", password="p", database="FIRN", client_telemetry_enabled=False)
        self.sent = 0

    def fresh(self):
        """Nothing sent, nothing loaded, the pipe as new."""
        for each in self.s3.list_objects_v2(Bucket="firn-landing").get("Contents", []):
            self.s3.delete_object(Bucket="firn-landing", Key=each["Key"])
        self.lose_events()
        for table in ("firn_landing.bronze.sales", "firn.silver.sales", "firn.control.ledger"):
            self.rig.duck(f"DELETE FROM {table}")
        self.rig.duck("UPDATE firn.control.parameter_control SET lets = NULL")
        self.rig.answer(f"DROP PIPE IF EXISTS {PIPE}", "TRUNCATE TABLE firn_landing.bronze.sales", setup_sql.pipe_sql(SOURCE).rstrip(";"))
        self.sent = 0

    def send(self, count=1, load=False):
        """Files of one row each; with `load` they are taken by the pipe at once."""
        for _ in range(count):
            self.sent += 1
            self.s3.put_object(Bucket="firn-landing", Key=f"sales/{self.sent:03}.csv", Body=f"id,sold_at\n{self.sent},2024-03-01 00:00:00\n".encode())
        if load:
            self.poller.drain()

    def lose_events(self):
        sqs, url = self.account.s3.client("sqs"), queue_url(self.account)
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def pipe(self) -> Pipe:
        return pipes_care.pipe_of(self.connection, "sales")

    def taken(self):
        """Ids in silver after the pipe and the load have had their turn."""
        self.poller.drain()
        self.rig.step("load", "sales")
        return sorted(int(row["id"]) for row in self.rig.query("SELECT id FROM silver.sales"))

    def bronze(self):
        return [row["f"] for row in self.rig.query("SELECT _file_name AS f FROM firn_landing.bronze.sales ORDER BY f")]

    def close(self):
        self.connection.close()
        self.rig.close()


def csv_format():
    """The statement of setup_sql that says how CSV is written."""
    text = (ROOT / "setup_sql" / "04_file_formats_and_stage.sql").read_text()
    start = text.index("CREATE FILE FORMAT IF NOT EXISTS firn_landing.bronze.csv_with_header")
    return text[start : text.index(";", start)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    running = s3.start(tmp_path_factory.mktemp("s3"))
    running.s3.client("s3").create_bucket(Bucket="firn-landing")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def opened(tmp_path_factory, store):
    one = Shop(tmp_path_factory.mktemp("pipes") / "rig", store)
    yield one
    one.close()


@pytest.fixture
def shop(opened):
    opened.fresh()
    return opened


# --- a pipe replaced while files arrive


class Killed(Exception):
    pass


def cut_at(shop, point):
    """Tells of each step by a file that arrives during it; the process dies after the step of this number."""
    told = []

    def say(text):
        told.append(text)
        shop.send()
        if text.startswith(f"{point}."):
            raise Killed

    return say


@pytest.mark.parametrize("point", [1, 2, 3, 4, 9], ids=["after the pause", "after the new pipe", "after the look back", "at the very end", "never"])
def test_a_pipe_is_replaced_while_files_arrive_without_a_gap_and_without_a_double(shop, point):
    shop.send(3, load=True)
    shop.send(2)  # their events are under way
    try:
        pipes_care.replace(shop.connection, SOURCE, HOUR, cut_at(shop, point))
    except Killed:
        shop.send(2)
        if point < 4:
            shop.poller.drain()  # the account goes on while nobody looks
            assert "replacement is under way" in told_by_status(shop)
            pipes_care.replace(shop.connection, SOURCE, HOUR, cut_at(shop, 9))
    shop.send(2)

    assert shop.taken() == list(range(1, shop.sent + 1))
    assert len(set(shop.bronze())) == shop.sent
    pipe = shop.pipe()
    assert pipe.comment == "Firn: s3://<bucket>/sales/ into bronze.sales"
    assert pipes_care.status_of(shop.connection, pipe)["executionState"] == "RUNNING"


def told_by_status(shop):
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        pipes_care.status(shop.connection)
    return out.getvalue()


def test_without_the_look_back_what_waited_in_the_paused_pipe_would_be_missing(shop, monkeypatch):
    """Why it is there: CREATE OR REPLACE PIPE forgets what waits for the pipe."""
    monkeypatch.setattr(pipes_care, "refresh", lambda *a, **k: [])
    shop.send(2, load=True)

    def say(text):
        if text.startswith("1."):
            shop.send(2, load=True)  # reach the paused pipe

    pipes_care.replace(shop.connection, SOURCE, HOUR, say)

    assert shop.taken() == [1, 2]


def test_a_replaced_pipe_keeps_where_its_errors_go_and_takes_the_new_definition(shop):
    shop.rig.answer(f"ALTER PIPE {PIPE} SET ERROR_INTEGRATION = firn_pipe_errors")
    wider = spec_file.parse(SPEC.replace("prefix: sales/,", "prefix: sales/2024/,")).source("sales")

    pipes_care.replace(shop.connection, wider, HOUR, lambda text: None)

    assert "@firn_landing.bronze.landing/sales/2024/" in shop.pipe().definition
    assert shop.pipe().error_integration.upper() == "FIRN_PIPE_ERRORS"


def test_a_pipe_that_waits_longer_than_refresh_looks_back_is_not_replaced(shop):
    with pytest.raises(NotRunning, match="7 days only"):
        pipes_care.replace(shop.connection, SOURCE, dt.timedelta(days=8))

    assert pipes_care.status_of(shop.connection, shop.pipe())["executionState"] == "RUNNING"


# --- how pipes do


def test_status_tells_of_a_file_that_failed_and_of_a_paused_pipe(shop):
    shop.send(1, load=True)
    assert pipes_care.status(shop.connection) == 0

    shop.s3.put_object(Bucket="firn-landing", Key="sales/broken.csv", Body=b'id,sold_at\n1,"never closed\n')
    shop.poller.drain()
    shop.rig.answer(f"ALTER PIPE {PIPE} SET PIPE_EXECUTION_PAUSED = TRUE")

    said = told_by_status(shop)
    assert "sales/broken.csv: Load failed" in said
    assert f"ALTER PIPE {PIPE} SET PIPE_EXECUTION_PAUSED = FALSE" in said


def test_refresh_finds_files_whose_events_were_lost(shop):
    shop.send(2, load=True)
    shop.send(2)
    shop.lose_events()

    assert len(pipes_care.refresh(shop.connection, shop.pipe())) == 2
    assert shop.taken() == [1, 2, 3, 4]


# --- a bucket that was there before


def old(pipe: Pipe) -> Pipe:
    """The pipe as if it had been made in eight days: all there is lies before what it can know."""
    return replace(pipe, created_at=pipe.created_at + dt.timedelta(days=8))


def test_an_old_bucket_is_taken_in_once_and_only_what_the_pipe_cannot_know(shop, monkeypatch):
    shop.send(3, load=True)  # of these bronze knows
    shop.rig.step("load", "sales")
    shop.rig.answer("DELETE FROM firn_landing.bronze.sales WHERE _file_name = 'sales/001.csv'")  # swept: only the ledger knows
    shop.send(5)
    shop.lose_events()
    monkeypatch.setattr(pipes_care, "FILES_A_COPY", 2)

    def die(text):
        raise Killed

    with pytest.raises(Killed):
        pipes_care.backfill(shop.connection, old(shop.pipe()), None, die)
    rest = pipes_care.backfill(shop.connection, old(shop.pipe()), None, lambda text: None)

    assert rest == ["sales/006.csv", "sales/007.csv", "sales/008.csv"]
    assert shop.bronze() == [f"sales/{n:03}.csv" for n in range(2, 9)], "each once"
    assert pipes_care.backfill(shop.connection, old(shop.pipe()), None) == []
    assert shop.taken() == list(range(1, 9))


def test_what_is_the_pipes_own_is_not_copied(shop):
    shop.send(2)
    shop.lose_events()

    assert pipes_care.backfill(shop.connection, shop.pipe(), None) == []
    with pytest.raises(NotRunning, match="both COPY and pipe"):
        pipes_care.backfill(shop.connection, shop.pipe(), dt.datetime.now(dt.UTC))


def test_a_source_without_a_pipe_is_told_with_those_that_have_one(shop):
    with pytest.raises(NotRunning, match="There are pipes for: sales"):
        pipes_care.pipe_of(shop.connection, "nothing")
