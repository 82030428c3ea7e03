"""Names of files and stages lead nowhere else: not out of a stage, an application's version, the S3 folder or a landing folder."""

from __future__ import annotations

import contextlib

import pytest
from snowflake.connector.errors import ProgrammingError

from ingest.land import land
from local import s3
from local.account import Account
from local.rig import lay_out
from local.stages import stage_folder

UPWARD = ["../../secret.txt", "a/../../../secret.txt", "/../secret.txt", "..%2f..%2fsecret.txt", "....//secret.txt"]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths") / "account"
    made = Account(folder)
    admin = made.session()
    for sql in ("CREATE DATABASE d", "CREATE STAGE d.public.s", "CREATE TABLE d.public.t (a VARCHAR)"):
        made.answer(admin, sql)
    (folder / "secret.txt").write_text("a\nkept\n")
    (stage_folder(made, "D", "PUBLIC", "S") / "ours.txt").write_text("a\n1\n")
    made.admin = admin
    yield made
    made.close()


@pytest.mark.parametrize("path", UPWARD)
@pytest.mark.parametrize("sql", ["LIST @d.public.s/{0}", "REMOVE @d.public.s/{0}", "GET @d.public.s/{0} file:///tmp/nowhere", "PUT file:///tmp/x @d.public.s/{0}", "COPY INTO d.public.t FROM @d.public.s FILES = ('{0}')", "COPY INTO d.public.t FROM @d.public.s/{0}", "LIST @~/{0}", "PUT file:///tmp/x @~/{0}", "PUT file:///tmp/x @d.public.%t/{0}"])  # fmt: skip
def test_a_path_does_not_lead_out_of_its_stage(account, sql, path):
    try:
        data = account.execute(account.admin, sql.format(path))
    except ProgrammingError:
        pass
    else:
        assert "secret.txt" not in str(data.get("src_locations", "")) or data["src_locations"] == []
        place = data.get("stageInfo", {}).get("location")
        assert place is None or "stages" in place.split("/")
    assert (account.folder / "secret.txt").read_text() == "a\nkept\n"
    assert account.admin.connection.cursor().execute("SELECT COUNT(*) FROM d.public.t").fetchone() == (0,)


@pytest.mark.parametrize("name", ["../../d", "a/b", "..", ".", "x\\..\\y", "~"])
def test_names_of_stages_stay_in_their_folder(account, name):
    place = stage_folder(account, "D", name, name)

    assert place.is_relative_to(account.folder / "stages" / "D")
    assert len(place.relative_to(account.folder / "stages").parts) == 3
    assert not {"..", "."} & set(place.parts)


SETUP = "CREATE APPLICATION ROLE IF NOT EXISTS r;"
PROCEDURE = (
    "CREATE OR ALTER VERSIONED SCHEMA c; CREATE OR REPLACE PROCEDURE c.p() RETURNS VARIANT LANGUAGE PYTHON RUNTIME_VERSION = '3.11' "
    "PACKAGES = ('snowflake-snowpark-python') IMPORTS = ('/a.py', '{0}') HANDLER = 'a.run';"
)


@pytest.mark.parametrize(("manifest", "setup"), [
    pytest.param("setup.sql", PROCEDURE.format("/../../../secret.txt"), id="an import"),
    pytest.param("setup.sql", "EXECUTE IMMEDIATE FROM './../../../secret.sql';", id="a file of the setup script"),
    pytest.param("../../../secret.sql", SETUP, id="the setup script itself"),
    pytest.param("setup.sql", "CREATE OR ALTER VERSIONED SCHEMA c; CREATE STREAMLIT c.page FROM '/../../..' MAIN_FILE = 'secret.txt';", id="a page"),
    pytest.param("setup.sql", "CREATE OR ALTER VERSIONED SCHEMA c; CREATE STREAMLIT c.page FROM '/' MAIN_FILE = '../../../secret.txt';", id="a page's file"),
])  # fmt: skip
def test_an_application_reads_only_what_is_on_its_stage(account, manifest, setup):
    run = lambda sql: account.answer(account.admin, sql)  # noqa: E731
    run("CREATE APPLICATION PACKAGE pkg")
    for sql in ("CREATE SCHEMA pkg.src", "CREATE STAGE pkg.src.s"):
        run(sql)
    stage = stage_folder(account, "PKG", "SRC", "S")
    (stage / "a.py").write_text("def run(session):\n    return 1\n")
    (stage / "setup.sql").write_text(setup)
    (stage / "manifest.yml").write_text(f"manifest_version: 2\nartifacts: {{setup_script: {manifest}}}\n")
    (account.folder / "secret.sql").write_text(SETUP)
    try:
        with pytest.raises(ProgrammingError, match=r"not among|Cannot find|not on the stage|does not exist|leads out"):
            run("CREATE APPLICATION app FROM APPLICATION PACKAGE pkg USING @pkg.src.s")
    finally:
        run("DROP APPLICATION IF EXISTS app")
        run("DROP APPLICATION PACKAGE pkg")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    running = s3.start(tmp_path_factory.mktemp("store") / "s3")
    running.folder = tmp_path_factory.getbasetemp()
    yield running
    running.stop()


KEYS = ["../../../escaped.csv", "/etc/escaped.csv", "a/../../../../escaped.csv", "x\ny.csv", "'; DROP TABLE t; --.csv", "ünï/%2e%2e/escaped.csv", "a" * 900]


def test_whatever_an_object_is_called_it_stays_in_the_store(store, tmp_path_factory):
    client = store.s3.client("s3")
    client.create_bucket(Bucket="names")
    taken = set()
    for key in KEYS:
        with contextlib.suppress(client.exceptions.ClientError):  # a name the server cannot route is refused
            client.put_object(Bucket="names", Key=key, Body=b"id\n1\n")
            taken.add(key)

    assert {found["Key"] for found in client.list_objects_v2(Bucket="names")["Contents"]} == taken
    assert len(taken) >= 4
    outside = [p for p in tmp_path_factory.getbasetemp().rglob("escaped.csv")]
    assert outside == []


def test_landing_takes_no_link_out_of_its_folder_and_moves_nothing_out(store, tmp_path):
    client = store.s3.client("s3")
    client.create_bucket(Bucket="landed")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text("kept")
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (folder / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    (folder / "..csv").write_text("hidden")
    (folder / "'; rm -rf ~; '.csv").write_text("id\n1\n")
    (folder / "$(id).csv").write_text("id\n1\n")

    done = land(folder, client, "landed", "crm/", settle_seconds=0)

    assert sorted(done.sent) == ["$(id).csv", "'; rm -rf ~; '.csv"]
    assert {found["Key"] for found in client.list_objects_v2(Bucket="landed")["Contents"]} == {"crm/$(id).csv", "crm/'; rm -rf ~; '.csv"}
    assert (tmp_path / "outside" / "secret.csv").read_text() == "kept"


def test_what_the_bundle_lays_out_is_what_snowflake_yml_lists(tmp_path):
    lay_out(tmp_path)
    colours = tmp_path / "console" / ".streamlit" / "config.toml"  # the page's, in which nothing is secret
    assert not [p for p in tmp_path.rglob("*") if ".." in p.parts or (p.suffix in (".toml", ".pem", ".env") and p != colours)]
