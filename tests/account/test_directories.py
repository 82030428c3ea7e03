"""Directory tables: DIRECTORY(@stage), ALTER STAGE … REFRESH, and a view over it that an application reads."""

from __future__ import annotations

import re

import pytest
import reconciling
from snowflake.connector.errors import ProgrammingError

from local import s3 as local_s3
from local.account import Account
from local.place import ROOT


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = local_s3.start(tmp_path_factory.mktemp("s3"))
    client = running.s3.client("s3")
    client.create_bucket(Bucket="landing")
    yield running
    running.stop()


@pytest.fixture
def bucket(server):
    """The files of the bucket, by key; empty at first."""
    client = server.s3.client("s3")
    for found in client.list_objects_v2(Bucket="landing").get("Contents", []):
        client.delete_object(Bucket="landing", Key=found["Key"])
    return lambda key, body=b"id\n1\n": client.put_object(Bucket="landing", Key=key, Body=body) if body is not None else client.delete_object(Bucket="landing", Key=key)


@pytest.fixture
def account(server, bucket, tmp_path):
    made = Account(tmp_path / "account", s3=server.s3)
    made.admin = made.session()
    made.sql = lambda text, session=None: made.answer(session or made.admin, text)
    made.sql("CREATE DATABASE lake")
    made.sql("CREATE SCHEMA lake.bronze")
    made.sql("CREATE STORAGE INTEGRATION reads TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/x' STORAGE_ALLOWED_LOCATIONS = ('s3://landing/')")
    made.sql("CREATE STAGE lake.bronze.landing URL = 's3://landing/' STORAGE_INTEGRATION = reads")
    yield made
    made.close()


def fetched(account, sql, session):
    """The rows of a query, read from the account's memory of its last answer."""
    own = session or account.admin
    account.execute(own, sql)
    return [tuple(row.values()) for row in own.connection.results[own.connection.last_query_id].to_pylist()]


LISTED = "SELECT relative_path, size FROM DIRECTORY(@lake.bronze.landing) ORDER BY relative_path"


def test_a_directory_says_what_the_stage_held_when_it_was_refreshed(account, bucket):
    bucket("crm/a.csv")
    account.sql("ALTER STAGE lake.bronze.landing SET DIRECTORY = (ENABLE = TRUE)")
    assert fetched(account, LISTED, None) == [], "enabled and never refreshed"

    assert account.sql("ALTER STAGE lake.bronze.landing REFRESH") == [("crm/a.csv", "REGISTERED_NEW", "File registered successfully.")]
    bucket("crm/b.csv", b"id\n")

    assert fetched(account, LISTED, None) == [("crm/a.csv", 5)]
    account.sql("ALTER STAGE lake.bronze.landing REFRESH")
    assert fetched(account, LISTED, None) == [("crm/a.csv", 5), ("crm/b.csv", 3)]


def test_a_refresh_tells_what_is_new_changed_and_gone_below_its_subpath(account, bucket):
    for key in ("crm/a.csv", "crm/b.csv", "erp/c.csv"):
        bucket(key)
    account.sql("ALTER STAGE lake.bronze.landing SET DIRECTORY = (ENABLE = TRUE)")
    account.sql("ALTER STAGE lake.bronze.landing REFRESH")
    bucket("crm/a.csv", b"other")
    bucket("crm/b.csv", None)
    bucket("crm/d.csv")
    bucket("erp/e.csv")

    told = account.sql("ALTER STAGE lake.bronze.landing REFRESH SUBPATH = 'crm/'")

    assert [row[:2] for row in told] == [("crm/a.csv", "REGISTERED_UPDATE"), ("crm/b.csv", "UNREGISTERED"), ("crm/d.csv", "REGISTERED_NEW")]
    assert [row[0] for row in fetched(account, LISTED, None)] == ["crm/a.csv", "crm/d.csv", "erp/c.csv"]


def test_the_columns_are_those_of_snowflake(account, bucket):
    bucket("a.csv")
    account.sql("CREATE OR REPLACE STAGE lake.bronze.landing URL = 's3://landing/' STORAGE_INTEGRATION = reads DIRECTORY = (ENABLE = TRUE)")

    account.execute(account.admin, "SELECT * FROM DIRECTORY(@lake.bronze.landing)")
    (row,) = account.admin.connection.results[account.admin.connection.last_query_id].to_pylist()

    assert list(row) == ["RELATIVE_PATH", "SIZE", "LAST_MODIFIED", "MD5", "ETAG", "FILE_URL"]
    assert row["MD5"] == row["ETAG"] and len(row["MD5"]) == 32 and row["LAST_MODIFIED"].tzinfo is not None
    assert row["FILE_URL"].endswith("/api/files/LAKE/BRONZE/LANDING/a.csv")


def test_a_stage_without_one_says_so(account):
    with pytest.raises(ProgrammingError, match="does not have a directory table"):
        account.execute(account.admin, LISTED)
    with pytest.raises(ProgrammingError, match="does not have a directory table"):
        account.sql("ALTER STAGE lake.bronze.landing REFRESH")
    with pytest.raises(ProgrammingError, match="AUTO_REFRESH"):
        account.sql("ALTER STAGE lake.bronze.landing SET DIRECTORY = (ENABLE = TRUE AUTO_REFRESH = TRUE)")


def test_an_application_reads_the_view_by_a_grant_and_refreshes_by_usage(account, bucket):
    bucket("crm/a.csv")
    account.catalog.put("application", "FIRN")
    account.sql("CREATE DATABASE firn")
    account.sql("ALTER STAGE lake.bronze.landing SET DIRECTORY = (ENABLE = TRUE)")
    account.sql("CREATE VIEW lake.bronze.landing_files AS SELECT relative_path AS file_name, last_modified::TIMESTAMP_NTZ AS modified_at FROM DIRECTORY(@lake.bronze.landing)")
    app = account.session("FIRN", "PUBLIC", app="FIRN")
    account.sql("GRANT SELECT ON VIEW lake.bronze.landing_files TO APPLICATION firn")
    seen = "SELECT file_name FROM lake.bronze.landing_files"

    assert fetched(account, seen, app) == []
    for refused in (LISTED, 'SELECT * FROM lake."_fs_information_schema"."_firn_directory_BRONZE.LANDING"'):
        with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
            account.execute(app, refused)
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        account.sql("ALTER STAGE lake.bronze.landing REFRESH", app)

    account.sql("GRANT USAGE ON STAGE lake.bronze.landing TO APPLICATION firn")
    account.sql("ALTER STAGE lake.bronze.landing REFRESH", app)

    assert fetched(account, seen, app) == [("crm/a.csv",)]
    with pytest.raises(ProgrammingError, match="SET DIRECTORY"):
        account.sql("ALTER STAGE lake.bronze.landing SET DIRECTORY = (ENABLE = FALSE)", app)


def test_the_administrators_scripts_show_the_bucket_to_the_application(account, bucket):
    """setup_sql/04 as it stands, then what core.reconcile does: list below a prefix, read the view."""
    bucket("crm/customers/a.csv")
    bucket("shop/orders/b.csv")
    account.catalog.put("application", "FIRN")
    for sql in ("CREATE DATABASE firn", "CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze"):
        account.sql(sql)
    account.sql("CREATE STAGE firn_landing.bronze.landing URL = 's3://landing/' STORAGE_INTEGRATION = reads")
    text = (ROOT / "setup_sql/04_file_formats_and_stage.sql").read_text()
    for sql in re.findall(r"^(?:ALTER STAGE|CREATE VIEW).*?(?=;$)", text, re.MULTILINE | re.DOTALL):
        account.sql(sql)
    for sql in re.findall(r"^GRANT .* ON (?:VIEW|STAGE) .*(?=;$)", (ROOT / "setup_sql/07_grants_to_app.sql").read_text(), re.MULTILINE):
        account.sql(sql)
    app = account.session("FIRN", "PUBLIC", app="FIRN")

    account.sql(reconciling.refresh_sql(("firn_landing", "bronze"), "crm/customers/"), app)

    assert fetched(account, "SELECT file_name, byte_count, modified_at IS NOT NULL FROM firn_landing.bronze.landing_files", app) == [("crm/customers/a.csv", 5, True)]


def test_words_in_texts_and_comments_are_left_alone(account):
    assert fetched(account, "SELECT 'DIRECTORY(@nowhere)' AS said -- FROM DIRECTORY(@nowhere)", None) == [("DIRECTORY(@nowhere)",)]
