"""Files that land in the bucket arrive in their tables, once, whatever happens on the way.

Against moto's S3 and SQS for real; the account around the pipes is a plain DuckDB database and a catalog.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import EndpointConnectionError
from snowflake.connector.errors import ProgrammingError

from local import pipes, pipes_load, s3, stages
from local.catalog import Catalog
from local.pipes_poller import Poller, queue_arn, queue_url
from local.reader import Reader

METADATA = """INCLUDE_METADATA = (
    _file_name = METADATA$FILENAME, _row_number = METADATA$FILE_ROW_NUMBER, _content_key = METADATA$FILE_CONTENT_KEY,
    _modified_at = METADATA$FILE_LAST_MODIFIED, _loaded_at = METADATA$START_SCAN_TIME
)"""
CSV = """(TYPE = CSV PARSE_HEADER = TRUE FIELD_OPTIONALLY_ENCLOSED_BY = '"' ESCAPE_UNENCLOSED_FIELD = NONE
    EMPTY_FIELD_AS_NULL = TRUE ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE)"""
META_COLUMNS = "_FILE_NAME VARCHAR, _ROW_NUMBER BIGINT, _CONTENT_KEY VARCHAR, _MODIFIED_AT TIMESTAMP, _LOADED_AT TIMESTAMP"
NOW = dt.datetime(2026, 3, 2, 9, 0, 0)


class Session:
    """As much of a session as pipes and stages look at."""

    app, setup, in_transaction, token = None, False, False, "token"
    database, schema, role = "LANDING", "BRONZE", "ACCOUNTADMIN"

    def __init__(self, duck):
        self.connection = SimpleNamespace(_duck_conn=duck.cursor())

    def resolve(self, parts):
        return (*("LANDING", "BRONZE")[: 3 - len(parts)], *parts)

    def enter_statement(self):
        pass


class Landing:
    """An account with one database, one bucket, one schema; `sql` runs the statements that pipes and stages know."""

    def __init__(self, folder, s3, bucket):
        self.duck_conn = duckdb.connect()
        self.duck_conn.execute(f"ATTACH '{folder / 'landing.db'}' AS LANDING")
        self.duck_conn.execute("CREATE SCHEMA LANDING.BRONZE")
        self.duck_conn.execute("CREATE SCHEMA LANDING._fs_information_schema")  # every database of an account has it
        self.now, self.bucket = NOW, bucket
        self.account = SimpleNamespace(
            duck=SimpleNamespace(duck_conn=self.duck_conn, has_database=lambda name: name == "LANDING", has_schema=lambda *name: name == ("LANDING", "BRONZE"), forget_plans=lambda: None),
            catalog=Catalog(folder / "catalog.sqlite3"),
            folder=folder,
            s3=s3,
            clock=self.tick,
        )
        self.client = self.account.s3.client("s3")
        self.client.create_bucket(Bucket=bucket)
        self.sqs = self.account.s3.client("sqs")
        self.lose_events()
        rule = {"QueueArn": queue_arn(self.account), "Events": ["s3:ObjectCreated:*"]}
        self.client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule]})
        self.session = Session(self.duck_conn)
        self.poller = Poller(self.account)
        self.sql(
            f"CREATE STORAGE INTEGRATION landing_s3 TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE"
            f" STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/firn' STORAGE_ALLOWED_LOCATIONS = ('s3://{bucket}/')"
        )
        self.sql(f"CREATE STAGE landing URL = 's3://{bucket}/' STORAGE_INTEGRATION = landing_s3")

    def lose_events(self):
        url = queue_url(self.account)
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def tick(self):
        self.now += dt.timedelta(milliseconds=1)
        return self.now

    def sql(self, statement):
        reader = Reader(statement)
        statements = {**stages.STATEMENTS, **pipes.STATEMENTS}
        words = [w for w in (t.text.upper() for t in reader.tokens[:8]) if w not in ("OR", "REPLACE", "TEMPORARY")]
        words[0] = {"DESC": "DESCRIBE", "LS": "LIST", "RM": "REMOVE"}.get(words[0], words[0])
        handler = next(statements[tuple(words[:n])] for n in (3, 2, 1) if tuple(words[:n]) in statements)
        answer = handler(self.account, self.session, reader)
        return [dict(zip([name for name, _ in answer.columns], row, strict=True)) for row in answer.rows]

    def table(self, name, columns):
        self.duck_conn.execute(f"CREATE TABLE LANDING.BRONZE.{name} ({columns})")

    def customers(self, copy="", options="AUTO_INGEST = TRUE"):
        self.table("CUSTOMERS", f"ID VARCHAR, CITY VARCHAR, {META_COLUMNS}")
        self.customers_pipe(copy, options)

    def customers_pipe(self, copy="", options="AUTO_INGEST = TRUE", create="CREATE PIPE"):
        self.sql(
            f"{create} customers_pipe {options} AS COPY INTO customers FROM @landing/customers/ FILE_FORMAT = {CSV}"
            f" MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE {METADATA} {copy}"
        )

    def put(self, key, body):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body if isinstance(body, bytes) else body.encode())

    def rows(self, query):
        return self.duck_conn.execute(query).fetchall()

    def history(self, table="CUSTOMERS"):
        answer = pipes.copy_history(self.account, self.session, {"TABLE_NAME": table, "START_TIME": NOW - dt.timedelta(days=1)})
        return [dict(zip([name for name, _ in answer.columns], row, strict=True)) for row in answer.rows]

    def status(self, pipe="customers_pipe"):
        return json.loads(pipes.pipe_status(self.account, self.session, pipe))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = s3.start(tmp_path_factory.mktemp("s3"))
    yield running
    running.stop()


@pytest.fixture
def landing(server, tmp_path, request):
    landing = Landing(tmp_path, server.s3, f"landing-{abs(hash(request.node.nodeid))}")
    yield landing
    landing.account.catalog.close()
    landing.duck_conn.close()


CUSTOMERS = "SELECT ID, CITY FROM LANDING.BRONZE.CUSTOMERS ORDER BY ID"


# --- from the bucket to the table


def test_a_file_put_in_the_bucket_arrives_with_its_metadata(landing):
    landing.customers()
    landing.put("customers/2026-03-01 day+1.csv", "city,id,age\nParis,1,30\n,2,31\n")

    assert landing.poller.step() == 1

    assert landing.rows(CUSTOMERS) == [("1", "Paris"), ("2", None)]
    head = landing.client.head_object(Bucket=landing.bucket, Key="customers/2026-03-01 day+1.csv")
    rows = landing.rows("SELECT _FILE_NAME, _ROW_NUMBER, _CONTENT_KEY, _MODIFIED_AT, _LOADED_AT FROM LANDING.BRONZE.CUSTOMERS ORDER BY ID")
    assert rows[1][:3] == ("customers/2026-03-01 day+1.csv", 2, head["ETag"].strip('"'))
    assert rows[1][3] == head["LastModified"].replace(tzinfo=None)
    assert NOW < rows[1][4] < landing.now


@pytest.mark.parametrize("name", ["with space.csv", "a+b.csv", "100%.csv", "%20 is no space.csv", "Zürich 東京.csv"])
def test_a_name_with_odd_characters_goes_through_event_and_pipe_as_it_is(landing, name):
    """S3 encodes keys in events; a name decoded once too often, or not at all, would be a file that is not there."""
    landing.customers()
    landing.put(f"customers/{name}", b"id,city\n1,Paris\n")
    landing.poller.drain()

    assert landing.rows("SELECT DISTINCT _file_name FROM LANDING.BRONZE.CUSTOMERS") == [(f"customers/{name}",)]


def test_a_json_file_becomes_one_variant_per_record(landing):
    landing.table("INVENTORY", f"RECORD JSON, {META_COLUMNS}")
    landing.sql("""
        CREATE PIPE inventory_pipe AUTO_INGEST = TRUE AS
        COPY INTO inventory (record, _file_name, _row_number, _content_key, _modified_at, _loaded_at)
        FROM (
            SELECT $1, METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, METADATA$FILE_CONTENT_KEY, METADATA$FILE_LAST_MODIFIED, METADATA$START_SCAN_TIME
            FROM @landing/inventory/
        )
        FILE_FORMAT = (TYPE = JSON)
    """)
    landing.put("inventory/a.json", '{"sku": "A", "qty": "007"}\n{"sku": "B", "tags": ["x", 1]}\n')
    landing.poller.step()

    rows = landing.rows("SELECT RECORD->>'sku', RECORD->>'qty', _ROW_NUMBER FROM LANDING.BRONZE.INVENTORY ORDER BY _ROW_NUMBER")
    assert rows == [("A", "007", 1), ("B", None, 2)]


def test_a_parquet_file_becomes_text_columns(landing):
    landing.table("WEB_EVENTS", f"EVENT_ID VARCHAR, SEEN_AT VARCHAR, AMOUNT VARCHAR, {META_COLUMNS}")
    landing.sql(
        "CREATE PIPE web_events_pipe AUTO_INGEST = TRUE AS COPY INTO web_events FROM @landing/web_events/"
        f" FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE {METADATA}"
    )
    sink = io.BytesIO()
    at = pa.array([dt.datetime(2026, 3, 1, 8, 30)], pa.timestamp("us"))
    pq.write_table(pa.table({"event_id": [7], "seen_at": at, "amount": [12.5], "ignored": ["x"]}), sink)
    landing.put("web_events/a.parquet", sink.getvalue())
    landing.poller.step()

    assert landing.rows("SELECT EVENT_ID, SEEN_AT, AMOUNT, _ROW_NUMBER FROM LANDING.BRONZE.WEB_EVENTS") == [("7", "2026-03-01 08:30:00.000", "12.5", 1)]


def test_a_transform_computes(landing):
    landing.table("INVENTORY", "SKU VARCHAR, QTY INTEGER, FILE VARCHAR")
    landing.sql(
        "CREATE PIPE inventory_pipe AUTO_INGEST = TRUE AS COPY INTO inventory FROM"
        " (SELECT UPPER($1:item.sku::VARCHAR), t.$1:qty::NUMBER, METADATA$FILENAME FROM @landing/inventory/ t) FILE_FORMAT = (TYPE = JSON)"
    )
    landing.put("inventory/a.json", '{"item": {"sku": "a1"}, "qty": 3}')
    landing.poller.step()

    assert landing.rows("SELECT * FROM LANDING.BRONZE.INVENTORY") == [("A1", 3, "inventory/a.json")]


def test_a_column_the_file_lacks_is_null_and_one_the_table_lacks_is_ignored(landing):
    landing.customers()
    landing.put("customers/a.csv", "id,shoe_size\n1,44\n")
    landing.poller.step()

    assert landing.rows(CUSTOMERS) == [("1", None)]


def test_with_schema_evolution_a_new_column_is_added_as_text(landing):
    landing.customers()
    pipes.set_schema_evolution(landing.account, "LANDING", "BRONZE", "CUSTOMERS", True)
    landing.put("customers/a.csv", "id,shoe_size\n1,44\n")
    landing.poller.step()

    assert landing.rows("SELECT ID, SHOE_SIZE FROM LANDING.BRONZE.CUSTOMERS") == [("1", "44")]


def test_only_files_under_the_path_and_of_the_pattern_are_loaded(landing):
    landing.customers(copy="PATTERN = '.*[.]csv'")
    for key in ("customers/a.csv", "customers/deeper/b.csv", "customers/c.txt", "orders/d.csv"):
        landing.put(key, f"id\n{key}\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("customers/a.csv", None), ("customers/deeper/b.csv", None)]


def test_two_pipes_may_load_the_same_file_each_into_its_table(landing):
    landing.customers()
    landing.table("EVERYTHING", "LINE VARCHAR")
    landing.sql("CREATE PIPE every_pipe AUTO_INGEST = TRUE AS COPY INTO everything FROM @landing FILE_FORMAT = (TYPE = CSV FIELD_DELIMITER = NONE)")
    landing.put("customers/a.csv", "id,city\n1,Paris\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", "Paris")]
    assert landing.rows("SELECT * FROM LANDING.BRONZE.EVERYTHING") == [("id,city",), ("1,Paris",)]


# --- once, and only once


def test_an_event_delivered_twice_loads_once(landing):
    landing.customers()
    landing.poller.deliveries = 2
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None)]


def test_a_test_may_ask_for_a_file_that_really_arrives_twice(landing):
    landing.customers()
    landing.poller.deliveries, landing.poller.remembers = 2, False
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None), ("1", None)]


def test_a_file_that_is_overwritten_is_not_loaded_again(landing):
    landing.customers()
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()
    landing.put("customers/a.csv", "id\n2\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None)]


@pytest.mark.parametrize(("days", "loaded"), [pytest.param(13, 1, id="13 days later it is remembered"), pytest.param(15, 2, id="15 days later it is not")])
def test_a_pipe_remembers_a_file_for_14_days(landing, days, loaded):
    landing.customers()
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()
    landing.now += dt.timedelta(days=days)
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()

    assert len(landing.rows(CUSTOMERS)) == loaded


def test_create_or_replace_forgets_what_was_loaded(landing):
    landing.customers()
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()
    landing.customers_pipe(create="CREATE OR REPLACE PIPE")
    landing.sql("ALTER PIPE customers_pipe REFRESH")
    landing.now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    landing.sql("ALTER PIPE customers_pipe REFRESH")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None), ("1", None)]


def test_a_file_split_over_several_commits_is_whole_in_the_end(landing):
    landing.customers()
    landing.poller.rows_per_commit = 3
    landing.put("customers/a.csv", "id\n" + "".join(f"{i}\n" for i in range(10)))
    landing.poller.drain()

    assert [row[0] for row in landing.rows(CUSTOMERS)] == [str(i) for i in range(10)]
    assert [(h["STATUS"], h["ROW_COUNT"]) for h in landing.history()] == [("Loaded", 10)]


class Killed(BaseException):
    pass


def test_a_kill_in_the_middle_of_a_file_neither_doubles_nor_loses_a_row(landing, monkeypatch):
    landing.customers()
    landing.poller.rows_per_commit = 3
    landing.put("customers/a.csv", "id\n" + "".join(f"{i}\n" for i in range(10)))
    commit, count = pipes_load.committed, iter(range(9))

    def killed_at_the_third(*arguments):
        if next(count) == 2:
            raise Killed
        commit(*arguments)

    monkeypatch.setattr(pipes_load, "committed", killed_at_the_third)
    with pytest.raises(Killed):
        landing.poller.step()
    assert [(h["STATUS"], h["ROW_COUNT"]) for h in landing.history()] == [("Load in progress", 6)]
    monkeypatch.setattr(pipes_load, "committed", commit)

    restarted = Poller(landing.account)  # its message is still invisible to others: only the listing finds the file
    assert restarted.catch_up() == 1
    restarted.drain()

    assert [row[0] for row in landing.rows(CUSTOMERS)] == [str(i) for i in range(10)]


def test_what_arrived_while_nobody_listened_is_found_at_the_start(landing):
    landing.customers()
    landing.put("customers/a.csv", "id\n1\n")
    landing.put("customers/b.csv", "id\n2\n")
    landing.lose_events()

    assert landing.poller.catch_up() == 2
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None), ("2", None)]
    assert landing.poller.catch_up() == 0


def test_files_may_arrive_in_another_order(landing):
    landing.customers()
    landing.poller.arrange = reversed
    for name in "abc":
        landing.put(f"customers/{name}.csv", f"id\n{name}\n")
    landing.poller.step()

    order = landing.rows("SELECT ID FROM LANDING.BRONZE.CUSTOMERS ORDER BY _LOADED_AT")
    assert sorted(order) == [("a",), ("b",), ("c",)]
    assert order != [("a",), ("b",), ("c",)]


# --- many files at once


def commits(monkeypatch):
    """What `committed` is called with, one entry per transaction: the paths of its files."""
    seen, commit = [], pipes_load.committed

    def counted(account, cursor, copy, pieces, loads, loader):
        seen.append([load.path for load in loads])
        commit(account, cursor, copy, pieces, loads, loader)

    monkeypatch.setattr(pipes_load, "committed", counted)
    return seen


def test_many_small_files_share_a_transaction_and_each_has_its_own_note(landing, monkeypatch):
    landing.customers(copy="ON_ERROR = CONTINUE")
    for number in range(20):
        landing.put(f"customers/{number:02}.csv", f"id,city\n{number},Oslo\n{number},Rome\n")
    landing.put("customers/20 other columns.csv", "city,shoe,id\nBonn,42,20\n")
    landing.put("customers/21 broken line.csv", 'id,city\n21,Oslo\n0,"Paris"x\n')
    landing.put("customers/22 no gzip.csv.gz", b"\x1f\x8bnothing")
    landing.put("customers/23 gone.csv", "id,city\n23,Oslo\n")
    landing.client.delete_object(Bucket=landing.bucket, Key="customers/23 gone.csv")
    seen = commits(monkeypatch)
    assert landing.poller.step() == 24

    assert [len(paths) for paths in seen] == [24]
    notes = {h["FILE_NAME"].removeprefix("customers/"): (h["STATUS"], h["ROW_COUNT"], h["ERROR_COUNT"]) for h in landing.history()}
    assert notes == {f"{number:02}.csv": ("Loaded", 2, 0) for number in range(20)} | {
        "20 other columns.csv": ("Loaded", 1, 0), "21 broken line.csv": ("Partially loaded", 1, 1),
        "22 no gzip.csv.gz": ("Load failed", 0, 1), "23 gone.csv": ("Load failed", 0, 1),
    }  # fmt: skip
    by_file = landing.rows("SELECT _FILE_NAME, list([ID, CITY] ORDER BY _ROW_NUMBER), list(_ROW_NUMBER ORDER BY _ROW_NUMBER) FROM LANDING.BRONZE.CUSTOMERS GROUP BY ALL")
    assert {name.removeprefix("customers/"): (rows, numbers) for name, rows, numbers in by_file} == {
        f"{number:02}.csv": ([[str(number), "Oslo"], [str(number), "Rome"]], [1, 2]) for number in range(20)
    } | {"20 other columns.csv": ([["20", "Bonn"]], [1]), "21 broken line.csv": ([["21", "Oslo"]], [1])}
    keys = dict(landing.rows("SELECT _FILE_NAME, any_value(_CONTENT_KEY) FROM LANDING.BRONZE.CUSTOMERS GROUP BY ALL"))
    assert keys["customers/07.csv"] == hashlib.md5(b"id,city\n7,Oslo\n7,Rome\n").hexdigest()


def test_files_of_several_pipes_are_loaded_together_by_pipe(landing, monkeypatch):
    landing.customers()
    landing.table("ORDERS", f"ID VARCHAR, {META_COLUMNS}")
    landing.sql(
        f"CREATE PIPE orders_pipe AUTO_INGEST = TRUE AS COPY INTO orders FROM @landing/orders/ FILE_FORMAT = {CSV}"
        f" MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE {METADATA}"
    )
    for number in range(3):
        landing.put(f"customers/{number}.csv", f"id\n{number}\n")
        landing.put(f"orders/{number}.csv", f"id\n{number}\n")
    seen = commits(monkeypatch)
    landing.poller.drain()

    assert sorted(sorted(paths) for paths in seen) == [[f"{pipe}/{number}.csv" for number in range(3)] for pipe in ("customers", "orders")]


def test_large_files_have_a_transaction_of_their_own(landing, monkeypatch):
    landing.customers()
    monkeypatch.setattr("local.pipes_poller.BATCH_BYTES", 100)
    for name, lines in (("a", 2), ("b", 60), ("c", 2), ("d", 2)):
        landing.put(f"customers/{name}.csv", "id\n" + "1\n" * lines)
    seen = commits(monkeypatch)
    landing.poller.drain()

    assert [len(paths) for paths in seen if "customers/b.csv" in paths] == [1]
    assert sum(h["ROW_COUNT"] for h in landing.history()) == 66


def test_columns_that_two_files_bring_at_once_are_both_added(landing):
    landing.customers()
    pipes.set_schema_evolution(landing.account, "LANDING", "BRONZE", "CUSTOMERS", True)
    landing.put("customers/a.csv", "id,shoe\n1,42\n")
    landing.put("customers/b.csv", "id,hat\n2,7\n")
    landing.put("customers/c.csv", "id,hat,shoe\n3,8,43\n")
    landing.poller.drain()

    assert landing.rows("SELECT ID, SHOE, HAT FROM LANDING.BRONZE.CUSTOMERS ORDER BY ID") == [("1", "42", None), ("2", None, "7"), ("3", "43", "8")]


def insert_fails(monkeypatch, value, error):
    """Files with this value in their first column cannot be inserted; gives the function that ends it."""
    insert = pipes_load.insert

    def failing(cursor, copy, targets, rows):
        if value in rows["$1"].to_pylist():
            raise error
        insert(cursor, copy, targets, rows)

    monkeypatch.setattr(pipes_load, "insert", failing)
    return lambda: monkeypatch.setattr(pipes_load, "insert", insert)


def test_when_files_cannot_be_loaded_together_the_one_to_blame_is_found_and_the_others_load(landing, monkeypatch):
    landing.customers()
    for number in range(4):
        landing.put(f"customers/{number}.csv", f"id\n{number}\n")
    insert_fails(monkeypatch, "2", duckdb.ConversionException("Conversion Error: no such thing"))
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("0", None), ("1", None), ("3", None)]
    notes = {h["FILE_NAME"]: (h["STATUS"], h["FIRST_ERROR_MESSAGE"]) for h in landing.history()}
    assert notes == {f"customers/{number}.csv": ("Loaded", None) for number in (0, 1, 3)} | {
        "customers/2.csv": ("Load failed", "customers/2.csv: Conversion Error: no such thing")
    }


@pytest.mark.parametrize("count", [1, 3])
def test_a_full_disk_is_no_fault_of_the_files_and_they_load_when_there_is_room(landing, monkeypatch, count):
    landing.customers()
    for number in range(count):
        landing.put(f"customers/{number}.csv", f"id\n{number}\n")
    there_is_room = insert_fails(monkeypatch, "0", duckdb.IOException("IO Error: Could not write file: No space left on device"))
    with pytest.raises(duckdb.IOException):
        landing.poller.step()
    assert (landing.rows(CUSTOMERS), landing.history()) == ([], [])

    there_is_room()
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [(str(number), None) for number in range(count)]


def test_a_kill_before_the_commit_of_many_files_leaves_none_and_the_next_start_loads_each_once(landing, monkeypatch):
    landing.customers()
    for number in range(5):
        landing.put(f"customers/{number}.csv", f"id\n{number}\n")
    record = pipes_load.record

    def killed(cursor, loads):
        record(cursor, loads)
        raise Killed

    monkeypatch.setattr(pipes_load, "record", killed)
    with pytest.raises(Killed):
        landing.poller.step()
    assert (landing.rows(CUSTOMERS), landing.history()) == ([], [])
    monkeypatch.setattr(pipes_load, "record", record)

    restarted = Poller(landing.account)
    assert restarted.catch_up() == 5
    restarted.drain()

    assert landing.rows(CUSTOMERS) == [(str(number), None) for number in range(5)]


def test_a_file_of_which_a_part_is_loaded_is_finished_among_others(landing, monkeypatch):
    landing.customers()
    landing.poller.rows_per_commit = 3
    landing.put("customers/a.csv", "id\n" + "".join(f"{i}\n" for i in range(10)))
    commit, count = pipes_load.committed, iter(range(9))

    def killed_at_the_second(*arguments):
        if next(count) == 1:
            raise Killed
        commit(*arguments)

    monkeypatch.setattr(pipes_load, "committed", killed_at_the_second)
    with pytest.raises(Killed):
        landing.poller.step()
    monkeypatch.setattr(pipes_load, "committed", commit)
    landing.put("customers/b.csv", "id\n10\n")
    landing.put("customers/c.csv", "id\n11\n")
    landing.poller.rows_per_commit = None
    landing.poller.drain()

    assert sorted(int(row[0]) for row in landing.rows(CUSTOMERS)) == list(range(12))
    assert {h["FILE_NAME"]: h["ROW_COUNT"] for h in landing.history()} == {"customers/a.csv": 10, "customers/b.csv": 1, "customers/c.csv": 1}


def test_messages_of_a_step_that_failed_are_seen_again_at_once(landing, monkeypatch):
    landing.customers()
    for number in range(12):
        landing.put(f"customers/{number:02}.csv", f"id\n{number:02}\n")
    content_of = stages.content_of
    monkeypatch.setattr(stages, "content_of", lambda *_: (_ for _ in ()).throw(EndpointConnectionError(endpoint_url="http://127.0.0.1")))
    with pytest.raises(EndpointConnectionError):
        landing.poller.step()
    monkeypatch.setattr(stages, "content_of", content_of)
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [(f"{number:02}", None) for number in range(12)]
    assert landing.status()["numOutstandingMessagesOnChannel"] == 0


def test_asking_for_the_queue_makes_it_once(landing):
    landing.account.s3 = SimpleNamespace(client=lambda service: Asked(landing.sqs))
    assert queue_url(landing.account) == queue_url(landing.account)

    assert Asked.made == 0  # it was there already


class Asked:
    made = 0

    def __init__(self, sqs):
        self.sqs, self.exceptions = sqs, sqs.exceptions

    def get_queue_url(self, **arguments):
        return self.sqs.get_queue_url(**arguments)

    def create_queue(self, **arguments):
        Asked.made += 1
        return self.sqs.create_queue(**arguments)


# --- faults



def test_a_broken_line_skips_the_file_by_default_and_says_where(landing):
    landing.customers()
    landing.put("customers/bad.csv", 'id,city\n1,Oslo\n2,"Paris"x\n')
    landing.put("customers/good.csv", "id,city\n3,Rome\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("3", "Rome")]
    bad = {h["FILE_NAME"]: h for h in landing.history()}["customers/bad.csv"]
    assert (bad["STATUS"], bad["ROW_COUNT"], bad["ROW_PARSED"], bad["ERROR_COUNT"]) == ("Load failed", 0, 2, 1)
    assert (bad["FIRST_ERROR_LINE_NUMBER"], bad["FIRST_ERROR_CHARACTER_POS"]) == (3, 10)
    assert bad["FIRST_ERROR_MESSAGE"] == "Found character 'x' instead of field delimiter ','"
    assert bad["PIPE_NAME"] == "CUSTOMERS_PIPE"


def test_on_error_continue_loads_the_other_lines_and_validate_pipe_load_shows_the_broken_one(landing):
    landing.customers(copy="ON_ERROR = CONTINUE")
    landing.put("customers/bad.csv", 'id,city\n1,Oslo\n2,"Paris"x\n3,Rome\n')
    landing.poller.drain()

    assert landing.rows("SELECT ID, _ROW_NUMBER FROM LANDING.BRONZE.CUSTOMERS ORDER BY ID") == [("1", 1), ("3", 3)]
    assert [(h["STATUS"], h["ROW_COUNT"], h["ERROR_COUNT"]) for h in landing.history()] == [("Partially loaded", 2, 1)]
    arguments = {"PIPE_NAME": "landing.bronze.customers_pipe", "START_TIME": NOW - dt.timedelta(hours=1)}
    answer = pipes.validate_pipe_load(landing.account, landing.session, arguments)
    (row,) = [dict(zip([name for name, _ in answer.columns], row, strict=True)) for row in answer.rows]
    assert (row["FILE"], row["LINE"], row["ROW_NUMBER"], row["REJECTED_RECORD"]) == ("customers/bad.csv", 3, 2, '2,"Paris"x')


def test_a_value_that_does_not_fit_its_typed_column_is_an_error_of_its_row(landing):
    landing.table("ORDERS", "ID INTEGER, SEEN_AT TIMESTAMP, NOTE VARCHAR")
    landing.sql(
        "CREATE PIPE orders_pipe AUTO_INGEST = TRUE AS COPY INTO orders FROM @landing/orders/"
        " FILE_FORMAT = (TYPE = CSV) ON_ERROR = CONTINUE"
    )
    landing.put("orders/a.csv", "1,2026-03-01 10:00:00,x\ntwo,2026-03-01,y\n3,soon,z\n4,,\n")
    landing.poller.drain()

    assert landing.rows("SELECT ID, NOTE FROM LANDING.BRONZE.ORDERS ORDER BY ID") == [(1, "x"), (4, None)]
    (load,) = landing.history("ORDERS")
    assert (load["FIRST_ERROR_MESSAGE"], load["FIRST_ERROR_COLUMN_NAME"]) == ("Numeric value 'two' is not recognized", "ID")


@pytest.mark.parametrize(("key", "body", "message"), [
    pytest.param("customers/a.csv.gz", b"id\n1\n", "customers/a.csv.gz: the file is not a valid gzip file", id="not what its name says"),
    pytest.param("customers/gone.csv", None, "Remote file 's3://", id="gone before it was read"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_recorded_and_the_queue_goes_on(landing, key, body, message):
    landing.customers()
    landing.put(key, body or "id\n1\n")
    if body is None:
        landing.client.delete_object(Bucket=landing.bucket, Key=key)
    landing.put("customers/next.csv", "id\n2\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("2", None)]
    failed = {h["FILE_NAME"]: h for h in landing.history()}[key]
    assert (failed["STATUS"], failed["FIRST_ERROR_MESSAGE"][: len(message)]) == ("Load failed", message)


def test_messages_that_are_no_events_are_dropped_and_the_queue_goes_on(landing):
    landing.customers()
    for body in ("not JSON", '{"Service": "Amazon S3", "Event": "s3:TestEvent"}', '{"Records": [{}]}', "[]"):
        landing.sqs.send_message(QueueUrl=queue_url(landing.account), MessageBody=body)
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()
    landing.poller.step()

    assert landing.rows(CUSTOMERS) == [("1", None)]
    assert landing.status()["numOutstandingMessagesOnChannel"] == 0


def test_a_dropped_table_or_stage_stops_its_pipe_only(landing):
    landing.customers()
    landing.table("ORDERS", "ID VARCHAR")
    landing.sql("CREATE PIPE orders_pipe AUTO_INGEST = TRUE AS COPY INTO orders FROM @landing/orders/ FILE_FORMAT = (TYPE = CSV)")
    landing.duck_conn.execute("DROP TABLE LANDING.BRONZE.ORDERS")
    landing.put("orders/a.csv", "1\n")
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None)]
    assert landing.status("orders_pipe")["executionState"] == "STOPPED_MISSING_TABLE"
    landing.sql("DROP STAGE landing")
    assert landing.status()["executionState"] == "STOPPED_STAGE_DROPPED"


# --- statements


def test_show_and_describe_tell_the_queue_of_the_account(landing):
    landing.customers(options="AUTO_INGEST = TRUE COMMENT = 'from the CRM'")
    (shown,) = landing.sql("SHOW PIPES LIKE 'CUST%' IN SCHEMA landing.bronze")
    (described,) = landing.sql("DESC PIPE customers_pipe")

    assert shown == described
    assert shown["notification_channel"] == queue_arn(landing.account)
    assert shown["notification_channel"].startswith("arn:aws:sqs:us-east-1:")
    assert shown["definition"].startswith("COPY INTO customers")
    assert (shown["name"], shown["comment"]) == ("CUSTOMERS_PIPE", "from the CRM")


def test_a_paused_pipe_keeps_what_arrives_until_it_is_resumed(landing):
    landing.customers()
    landing.sql("ALTER PIPE customers_pipe SET PIPE_EXECUTION_PAUSED = TRUE")
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()
    status = landing.status()
    assert (landing.rows(CUSTOMERS), status["executionState"], status["pendingFileCount"]) == ([], "PAUSED", 1)
    assert status["oldestPendingFilePath"] == "customers/a.csv"

    landing.sql("ALTER PIPE customers_pipe SET PIPE_EXECUTION_PAUSED = FALSE")
    landing.poller.drain()

    status = landing.status()
    assert (landing.rows(CUSTOMERS), status["executionState"], status["pendingFileCount"]) == ([("1", None)], "RUNNING", 0)
    assert status["lastIngestedFilePath"] == "customers/a.csv"


def test_refresh_queues_what_is_missing_under_a_prefix(landing):
    landing.now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    landing.put("customers/old/a.csv", "id\n1\n")
    landing.put("customers/new/b.csv", "id\n2\n")
    landing.customers()
    landing.lose_events()

    assert landing.sql("ALTER PIPE customers_pipe REFRESH PREFIX = 'new/'") == [{"File": "customers/new/b.csv", "Status": "SENT"}]
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("2", None)]


def test_a_topic_in_between_works_too(landing):
    topic = landing.account.s3.client("sns").create_topic(Name="landing")["TopicArn"]
    rule = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
    landing.client.put_bucket_notification_configuration(Bucket=landing.bucket, NotificationConfiguration={"TopicConfigurations": [rule]})
    landing.customers(options=f"AUTO_INGEST = TRUE AWS_SNS_TOPIC = '{topic}'")
    landing.put("customers/a.csv", "id\n1\n")
    landing.poller.drain()

    assert landing.rows(CUSTOMERS) == [("1", None)]


@pytest.mark.parametrize(("copy", "message"), [
    pytest.param("COPY INTO nowhere FROM @landing", "Table 'LANDING.BRONZE.NOWHERE' does not exist", id="no table"),
    pytest.param("COPY INTO customers FROM @nowhere", "Stage 'LANDING.BRONZE.NOWHERE' does not exist", id="no stage"),
    pytest.param("COPY INTO customers FROM @landing ON_ERROR = ABORT_STATEMENT", "ABORT_STATEMENT is not supported", id="ABORT_STATEMENT"),
    pytest.param("COPY INTO customers FROM @landing FORCE = TRUE", "FORCE is not supported in a pipe", id="FORCE"),
    pytest.param("COPY INTO customers FROM (SELECT $1 FROM @landing) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE", "not supported with copy transform", id="both"),
    pytest.param("COPY INTO customers FROM @landing FILE_FORMAT = (TYPE = JSON)", "one and only one column of type variant", id="JSON into columns"),
    pytest.param(f"COPY INTO customers FROM @landing {METADATA}", "INCLUDE_METADATA can only be used with", id="metadata without matching"),
    pytest.param("COPY INTO customers FROM @landing FILE_FORMAT = (TYPE = CSV COLOUR = RED)", "invalid parameter 'COLOUR'", id="no such option"),
    pytest.param("COPY INTO customers FROM (SELECT $1 FROM @landing WHERE $1 > 1)", "only supports simple SELECT", id="a filter"),
    pytest.param("COPY INTO customers (id, shoe) FROM @landing", "invalid identifier 'SHOE'", id="no such column"),
    pytest.param("COPY INTO customers FROM @landing FILE_FORMAT = (FORMAT_NAME = 'nothing')", "File format 'LANDING.BRONZE.NOTHING'", id="no such format"),
])  # fmt: skip
def test_what_snowflake_refuses_is_refused_when_the_pipe_is_made(landing, copy, message):
    landing.table("CUSTOMERS", "ID VARCHAR, CITY VARCHAR")
    with pytest.raises(ProgrammingError, match=message.replace("(", r"\(")):
        landing.sql(f"CREATE PIPE customers_pipe AUTO_INGEST = TRUE AS {copy}")
    assert landing.sql("SHOW PIPES") == []


def test_a_location_that_the_integration_does_not_cover_is_refused(landing):
    with pytest.raises(ProgrammingError, match="Location 's3://other/' is not allowed by integration LANDING_S3"):
        landing.sql("CREATE STAGE other URL = 's3://other/' STORAGE_INTEGRATION = landing_s3")


def test_the_identity_of_an_integration_stays_until_it_is_made_anew(landing):
    def external_id():
        return {r["property"]: r["property_value"] for r in landing.sql("DESC INTEGRATION landing_s3")}["STORAGE_AWS_EXTERNAL_ID"]

    options = (
        "TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/firn'"
        " STORAGE_ALLOWED_LOCATIONS = ('*')"
    )
    before = external_id()
    landing.sql(f"CREATE STORAGE INTEGRATION IF NOT EXISTS landing_s3 {options}")
    assert external_id() == before
    landing.sql(f"CREATE OR REPLACE STORAGE INTEGRATION landing_s3 {options}")
    assert external_id() != before


# --- COPY by hand, and stages


def test_copy_loads_a_changed_file_again_and_an_unchanged_one_not(landing):
    landing.table("CUSTOMERS", "ID VARCHAR, CITY VARCHAR")
    copy = f"COPY INTO customers FROM @landing/customers/ FILE_FORMAT = {CSV} MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
    landing.put("customers/a.csv", "id,city\n1,Oslo\n")

    assert [(r["file"], r["status"], r["rows_loaded"]) for r in landing.sql(copy)] == [("customers/a.csv", "LOADED", 1)]
    assert landing.sql(copy) == [{"status": "Copy executed with 0 files processed."}]
    landing.put("customers/a.csv", "id,city\n2,Rome\n")
    landing.sql(copy)

    assert landing.rows(CUSTOMERS) == [("1", "Oslo"), ("2", "Rome")]


def test_copy_aborts_as_a_whole_by_default(landing):
    landing.table("CUSTOMERS", "ID VARCHAR, CITY VARCHAR")
    landing.put("customers/a.csv", "1,Oslo\n")
    landing.put("customers/b.csv", "2\n")

    with pytest.raises(ProgrammingError, match="Number of columns in file .1. does not match"):
        landing.sql("COPY INTO customers FROM @landing/customers/ FILE_FORMAT = (TYPE = CSV)")
    assert landing.rows(CUSTOMERS) == []
    assert landing.history() == []


def test_an_external_stage_lists_objects(landing):
    landing.put("customers/a.csv", "id\n1\n")
    landing.put("orders/b.csv", "id\n1\n")

    (file,) = landing.sql("LIST @landing/customers/ PATTERN = '.*csv';")
    assert landing.sql("LIST @landing/customers/;") == [file]
    assert (file["name"], file["size"]) == (f"s3://{landing.bucket}/customers/a.csv", 5)


def test_an_internal_stage_lists_and_removes_as_snow_app_deploy_expects(landing, tmp_path):
    landing.sql("create stage if not exists LANDING.BRONZE.stage encryption = (type = 'SNOWFLAKE_SSE') directory = (enable = True)")
    source = tmp_path / "manifest.yml"
    source.write_text("manifest_version: 2\n")
    put = Reader(f"put 'file://{source}' '@LANDING.BRONZE.stage/app' auto_compress=false parallel=4 overwrite=False")
    data = stages.put_data(landing.account, landing.session, put)
    assert data["src_locations"] == [str(source)]
    stored = stages.stage_folder(landing.account, "LANDING", "BRONZE", "STAGE") / "app"
    assert data["stageInfo"] == {"locationType": "LOCAL_FS", "location": str(stored), "creds": {}}
    (stored / "manifest.yml").write_text(source.read_text())

    (file,) = landing.sql("ls @LANDING.BRONZE.stage")
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    assert (file["name"], file["size"], file["md5"]) == ("stage/app/manifest.yml", 20, md5)
    assert landing.sql("rm @LANDING.BRONZE.stage/app/manifest.yml") == [{"name": "stage/app/manifest.yml", "result": "removed"}]
    assert landing.sql("ls @LANDING.BRONZE.stage") == []


def test_a_put_that_may_not_overwrite_leaves_the_file_alone(landing, tmp_path):
    landing.sql("CREATE STAGE files")
    folder = stages.stage_folder(landing.account, "LANDING", "BRONZE", "FILES")
    (folder / "a.txt").write_text("first")
    (tmp_path / "a.txt").write_text("second")

    kept = stages.put_data(landing.account, landing.session, Reader(f"PUT file://{tmp_path}/a.txt @files AUTO_COMPRESS = FALSE"))
    replaced = stages.put_data(landing.account, landing.session, Reader(f"PUT file://{tmp_path}/a.txt @files AUTO_COMPRESS = FALSE OVERWRITE = TRUE"))

    assert kept["stageInfo"]["location"] != str(folder)
    assert replaced["stageInfo"]["location"] == str(folder)


def test_what_is_in_a_dropped_schema_is_forgotten(landing):
    landing.customers()
    landing.sql("CREATE STAGE files")
    stages.forget(landing.account, "LANDING", "BRONZE")

    assert landing.sql("SHOW STAGES") == landing.sql("SHOW PIPES") == []
    assert not stages.stage_folder(landing.account, "LANDING", "BRONZE", "FILES").exists()


def test_a_stage_needs_a_schema(landing):
    with pytest.raises(ProgrammingError, match="Schema 'LANDING.NOWHERE' does not exist"):
        landing.sql("CREATE STAGE nowhere.files")


@pytest.mark.parametrize("name", ['@"../../etc"/passwd', "@files/../../../secret"])
def test_no_path_leads_out_of_a_stage(landing, name):
    landing.sql("CREATE STAGE files")
    with pytest.raises(ProgrammingError, match="does not exist|leads out of"):
        stages.put_data(landing.account, landing.session, Reader(f"PUT file:///tmp/x {name} OVERWRITE = TRUE"))
