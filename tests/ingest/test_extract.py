"""`firn extract` against a real Postgres: no row lost whatever transactions are open, wherever it is interrupted."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from psycopg.sql import SQL

from ingest import extract as extracting
from ingest import extract_state, upload
from ingest.extract import Job, connect, extract
from ingest.extract_copy import Copied
from ingest.upload import NameTaken, Refused
from local import postgres
from local import s3 as local_s3

ROOT = Path(__file__).resolve().parents[2]
NO_MARGIN = timedelta(0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with postgres.running(tmp_path_factory.mktemp("postgres")) as running:
        yield running
    shutil.rmtree(running.folder, ignore_errors=True)  # run as root it lies outside pytest's own folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    running = local_s3.start(tmp_path_factory.mktemp("s3"))
    running.s3.client("s3").create_bucket(Bucket="landing")
    yield running
    running.stop()


@pytest.fixture
def s3(store):
    client = store.s3.client("s3")
    for each in client.list_objects_v2(Bucket="landing").get("Contents", []):
        client.delete_object(Bucket="landing", Key=each["Key"])
    return client


@pytest.fixture
def db(server):
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.orders (id int, note text, updated_at timestamptz NOT NULL DEFAULT now(),"
            " changed_in xid8 NOT NULL DEFAULT pg_current_xact_id())"
        )
        yield connection


@pytest.fixture
def source(server):
    with connect(server.dsn) as connection:
        yield connection


def job(**given) -> Job:
    column = "changed_in" if given.get("by") == "xid" else "updated_at"
    return Job(**{"table": "shop.orders", "column": column, "bucket": "landing", "prefix": "orders/", "margin": NO_MARGIN, **given})


def keys(s3, prefix="orders/") -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket="landing", Prefix=prefix).get("Contents", [])]


def rows_in(s3, key: str) -> list[dict]:
    body = s3.get_object(Bucket="landing", Key=key)["Body"].read()
    if key.endswith(".parquet"):
        return pq.read_table(io.BytesIO(body)).to_pylist()
    text = gzip.decompress(body).decode() if key.endswith(".gz") else body.decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def ids(s3) -> list[int]:
    return [int(row["id"]) for key in keys(s3) for row in rows_in(s3, key)]


def under_open_transactions(server, source, s3, the_job) -> tuple[list[int], int]:
    """Transactions that begin before others commit, extracts in between, everything committed in the end."""
    open_ones, written = [], 0
    for turn in range(12):
        one = psycopg.connect(server.dsn)
        for _ in range(3):
            one.execute("INSERT INTO shop.orders (id) VALUES (%s)", (written,))
            written += 1
        open_ones.append(one)
        if turn % 3 == 2:  # the youngest commits first, the eldest stays open
            open_ones.pop().commit()
            extract(source, s3, the_job)
        if turn % 4 == 3:
            late = open_ones.pop(0)
            late.execute("INSERT INTO shop.orders (id) VALUES (%s)", (written,))
            written += 1
            late.commit()
    for one in open_ones:
        one.commit()
        extract(source, s3, the_job)
        one.close()
    extract(source, s3, the_job)
    return sorted(ids(s3)), written


@pytest.mark.parametrize("by", ["xid", "activity"])
def test_no_row_is_missed_or_sent_twice_with_transactions_left_open(server, db, source, s3, by):
    found, written = under_open_transactions(server, source, s3, job(by=by))

    assert found == list(range(written))


def test_an_overlap_sends_rows_twice_and_misses_none_that_it_covers(server, db, source, s3):
    found, written = under_open_transactions(server, source, s3, job(by="overlap", overlap=timedelta(minutes=5)))

    assert sorted(set(found)) == list(range(written)) and len(found) > written


def test_an_overlap_shorter_than_a_transaction_loses_its_rows(server, db, source, s3):
    """Why it is not the default."""
    found, written = under_open_transactions(server, source, s3, job(by="overlap", overlap=NO_MARGIN))

    assert len(set(found)) < written


def test_an_extract_says_which_transaction_holds_it_back(server, db, source, s3):
    with psycopg.connect(server.dsn) as one:
        one.execute("SELECT 1")
        db.execute("INSERT INTO shop.orders (id) VALUES (1)")
        held = extract(source, s3, job())
    assert (held.rows, keys(s3)) == (0, []) and held.held_by.startswith("a transaction open since 20")
    assert extract(source, s3, job()).rows == 1


def test_a_user_who_does_not_see_other_sessions_is_refused(server, db, s3):
    db.execute("DROP ROLE IF EXISTS narrow")
    db.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow'")
    db.execute("GRANT USAGE ON SCHEMA shop TO narrow; GRANT SELECT ON shop.orders TO narrow")
    with connect(server.dsn.replace("user=postgres password=firn-local", "user=narrow password=narrow")) as narrow:
        with pytest.raises(Refused, match="GRANT pg_read_all_stats"):
            extract(narrow, s3, job())
        extract(narrow, s3, job(by="xid"))
    db.execute("DROP OWNED BY narrow; DROP ROLE narrow")


def test_prepared_transactions_are_refused_by_activity(db, source, s3):
    db.execute("BEGIN; INSERT INTO shop.orders (id) VALUES (1); PREPARE TRANSACTION 'hidden'")
    try:
        with pytest.raises(Refused, match="1 prepared transaction"):
            extract(source, s3, job())
        assert extract(source, s3, job(by="xid")).rows == 0
    finally:
        db.execute("COMMIT PREPARED 'hidden'")
    assert extract(source, s3, job(by="xid")).rows == 1


def test_a_crash_between_upload_and_watermark_sends_the_rows_again(db, source, s3, monkeypatch):
    db.execute("INSERT INTO shop.orders (id) SELECT generate_series(1, 5)")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(extracting, "move_watermark", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        extract(source, s3, job())
    assert extract(source, s3, job()).rows == 5

    assert sorted(ids(s3)) == sorted([1, 2, 3, 4, 5] * 2) and len(keys(s3)) == 2
    assert extract(source, s3, job()).rows == 0


def test_a_failed_upload_leaves_nothing_and_the_next_run_sends_all(db, source, s3, monkeypatch):
    db.execute("INSERT INTO shop.orders (id, note) SELECT n, md5(n::text) FROM generate_series(1, 400000) n")
    original = upload.Upload._send_part

    def broken(self, number, part, digest):
        if number == 2:
            raise ClientError({"Error": {"Code": "InternalError", "Message": "try again"}}, "UploadPart")
        return original(self, number, part, digest)

    with monkeypatch.context() as patch, pytest.raises(Refused, match="InternalError"):
        patch.setattr(upload.Upload, "_send_part", broken)
        extract(source, s3, job(format="csv"))
    assert keys(s3, "") == [] and not s3.list_multipart_uploads(Bucket="landing").get("Uploads")
    done = extract(source, s3, job(format="csv"))
    assert (done.rows, s3.head_object(Bucket="landing", Key=done.objects[0].key)["ContentLength"]) == (400_000, done.objects[0].size)
    assert len(rows_in(s3, done.objects[0].key)) == 400_000


def test_two_extracts_at_once_cannot_both_move_the_watermark(db, source, s3):
    state = extract_state.State("shop.orders", "updated_at", "activity", "2024-01-01 00:00:00+00")
    tag = extract_state.move_watermark(s3, "landing", "_extract/x.json", state, "")
    extract_state.move_watermark(s3, "landing", "_extract/x.json", state, tag)
    s3.put_object(Bucket="landing", Key="_extract/x.json", Body=b"{}")
    for old in (tag, ""):
        with pytest.raises(Refused, match="another extract of shop.orders moved the watermark"):
            extract_state.move_watermark(s3, "landing", "_extract/x.json", state, old)


@pytest.mark.parametrize("form", ["csv.gz", "csv", "parquet"])
def test_null_stays_apart_from_an_empty_text(db, source, s3, form):
    db.execute("INSERT INTO shop.orders (id, note) VALUES (1, NULL), (2, ''), (3, E'a,\"b\"\\nü'), (4, ' ')")
    (sent,) = extract(source, s3, job(format=form)).objects

    if form == "parquet":
        assert [row["note"] for row in rows_in(s3, sent.key)] == [None, "", 'a,"b"\nü', " "]
        return
    body = s3.get_object(Bucket="landing", Key=sent.key)["Body"].read()
    lines = (gzip.decompress(body) if form == "csv.gz" else body).decode().splitlines()
    assert [line.split(",")[1] for line in lines[1:3]] == ["", '""']
    assert rows_in(s3, sent.key)[2]["note"] == 'a,"b"\nü'


def test_daily_gives_one_object_per_finished_day_and_never_a_second_one(db, source, s3, monkeypatch):
    db.execute('CREATE TABLE shop."Sales" ("InvoiceNo" text, "InvoiceDate" timestamp NOT NULL)')
    db.execute(
        """INSERT INTO shop."Sales" VALUES ('a', '2010-12-01 08:26'), ('b', '2010-12-01 23:59:59.999'), ('c', '2010-12-03'), ('d', now())"""
    )
    sales = job(table="shop.Sales", column="InvoiceDate", prefix="sales/", format="csv", daily=True)
    calls = []

    def once_only(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return extract_state.move_watermark(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(extracting, "move_watermark", once_only)
        extract(source, s3, sales)
    extract(source, s3, sales)
    extract(source, s3, sales)

    assert keys(s3, "sales/") == ["sales/2010-12-01.csv", "sales/2010-12-03.csv"]
    assert [row["InvoiceNo"] for key in keys(s3, "sales/") for row in rows_in(s3, key)] == ["a", "b", "c"]


def test_daily_refuses_a_name_that_somebody_else_has_taken(db, source, s3):
    db.execute("INSERT INTO shop.orders (id, updated_at) VALUES (1, '2024-03-01')")
    s3.put_object(Bucket="landing", Key="orders/2024-03-01.csv.gz", Body=b"theirs")
    with pytest.raises(NameTaken, match="exists already and is never overwritten"):
        extract(source, s3, job(daily=True))


def test_names_sort_by_time_and_the_metadata_says_what_is_inside(db, source, s3):
    for number in range(3):
        db.execute("INSERT INTO shop.orders (id) VALUES (%s)", (number,))
        extract(source, s3, job())
    assert ids(s3) == [0, 1, 2]
    facts = s3.head_object(Bucket="landing", Key=keys(s3)[1])["Metadata"]
    assert facts["firn-table"] == "shop.orders" and facts["firn-from"] < facts["firn-to"]


def test_identifiers_are_quoted_and_values_bound(db, source, s3):
    db.execute('CREATE TABLE shop."odd ""name; --%s" ("a b%" int, "up at" timestamptz NOT NULL DEFAULT now())')
    db.execute('INSERT INTO shop."odd ""name; --%s" VALUES (1)')
    assert extract(source, s3, job(table='shop.odd "name; --%s', column="up at")).rows == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"column": "when"}, "has no column when. It has: id, note, updated_at", id="no tracking column"),
        pytest.param({"column": "note"}, "is text; --by activity needs timestamp", id="not a time"),
        pytest.param({"table": "shop.nothing"}, "there is no table shop.nothing", id="no table"),
        pytest.param({"bucket": "elsewhere"}, "there is no bucket elsewhere. Create it", id="no bucket"),
    ],
)
def test_a_wrong_job_is_told_plainly(db, source, s3, change, message):
    db.execute("INSERT INTO shop.orders (id) VALUES (1)")
    with pytest.raises(Refused, match=message):
        extract(source, s3, job(**change))


def test_rows_without_a_tracking_value_are_refused(db, source, s3):
    db.execute("ALTER TABLE shop.orders ALTER updated_at DROP NOT NULL")
    db.execute("INSERT INTO shop.orders (id, updated_at) VALUES (1, NULL)")
    with pytest.raises(Refused, match="whose updated_at is NULL"):
        extract(source, s3, job())


def test_a_column_dropped_between_extracts_is_refused_until_accepted(db, source, s3):
    db.execute("INSERT INTO shop.orders (id) VALUES (1)")
    extract(source, s3, job())
    db.execute("ALTER TABLE shop.orders DROP note, ADD price int")
    db.execute("INSERT INTO shop.orders (id) VALUES (2)")
    with pytest.raises(Refused, match=r"lost the column\(s\) note"):
        extract(source, s3, job())
    done = extract(source, s3, job(accept_columns=True))
    assert (done.rows, done.new_columns) == (1, ["price"])
    assert list(rows_in(s3, keys(s3)[-1])[0]) == ["id", "updated_at", "changed_in", "price"]


def test_wrong_credentials_are_told_plainly(server):
    with pytest.raises(Refused, match="password authentication failed"):
        connect(server.dsn.replace("firn-local", "wrong"))


@pytest.mark.parametrize(
    ("code", "status", "headers", "message"),
    [
        ("PermanentRedirect", 301, {"x-amz-bucket-region": "eu-central-1"}, "in another region.*AWS_REGION=eu-central-1"),
        ("InvalidAccessKeyId", 403, {}, "does not accept the credentials"),
        ("AccessDenied", 403, {}, "s3:ListBucket"),
    ],
)
def test_what_s3_refuses_is_told_plainly(code, status, headers, message):
    """moto takes any key and any region, so the answers are AWS's, by hand."""
    error = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}, "PutObject")
    with pytest.raises(Refused, match=message), upload.told("landing", "a.csv"):
        raise error


@pytest.mark.parametrize("form", ["csv.gz", "parquet"])
def test_memory_does_not_grow_with_the_table(server, db, store, s3, form):
    db.execute("INSERT INTO shop.orders (id, note) SELECT n, repeat(md5(n::text), 6) FROM generate_series(1, 1000000) n")
    script = (
        "from pathlib import Path\nfrom local.s3 import S3\nfrom ingest.extract import *\n"
        f"s3 = S3({store.endpoint!r}).client('s3')\n"
        f"done = extract(connect({server.dsn!r}), s3, Job('shop.orders', 'updated_at', 'landing', 'orders/', format={form!r}))\n"
        # VmHWM begins anew with the program; getrusage's peak would be inherited from this one.
        "peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "print(done.rows, int(peak) // 1024)"
    )
    time.sleep(1.1)  # the margin
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    rows, megabytes = map(int, done.stdout.split())
    assert rows == 1_000_000 and megabytes < 200, done.stdout


def test_the_clock_set_back_does_not_give_an_older_name():
    last = extracting.timed_key(job(), "", datetime(2024, 3, 1, tzinfo=UTC))
    assert extracting.timed_key(job(), last, datetime(2023, 3, 1, tzinfo=UTC)) > last


def test_a_copy_left_before_its_end_leaves_a_connection_that_answers(db):
    rows = iter(Copied(db, SQL("COPY (SELECT generate_series(1, 2000000)) TO STDOUT (FORMAT csv, HEADER)").format()))
    assert bytes(next(rows)) == b"generate_series\n"

    rows.close()

    assert db.execute("SELECT 7").fetchone() == (7,)


@pytest.mark.parametrize("query", ["SELECT no_such_column", "SELECT 1 / (3 - n) FROM generate_series(1, 5) n"], ids=["at once", "on the way"])
def test_a_copy_that_the_server_ends_raises_its_error_and_the_connection_answers(db, query):
    with pytest.raises((psycopg.errors.UndefinedColumn, psycopg.errors.DivisionByZero)):
        list(Copied(db, SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(SQL(query))))

    assert db.execute("SELECT 7").fetchone() == (7,)
