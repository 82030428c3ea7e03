"""Installing an application: what the account refuses, what it keeps, what its rights reach."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account
from local.stages import stage_folder

MANIFEST = """
manifest_version: 2
artifacts: {setup_script: setup.sql}
privileges:
  - EXECUTE TASK: {description: runs the steps}
  - EXECUTE MANAGED TASK: {description: runs the steps}
"""
SETUP = """
CREATE APPLICATION ROLE IF NOT EXISTS reader;
CREATE SCHEMA IF NOT EXISTS gold;
CREATE SCHEMA IF NOT EXISTS control;
GRANT USAGE ON SCHEMA gold TO APPLICATION ROLE reader;
CREATE TABLE IF NOT EXISTS gold.sales (amount NUMBER);
CREATE TABLE IF NOT EXISTS control.secrets (word VARCHAR);
GRANT SELECT ON TABLE gold.sales TO APPLICATION ROLE reader;
INSERT INTO gold.sales VALUES (1);
"""


class Shop:
    """An account with one package, whose stage the test fills."""

    def __init__(self, folder):
        self.account = Account(folder)
        self.admin = self.account.session()
        self.run("CREATE APPLICATION PACKAGE pkg", "USE DATABASE pkg", "CREATE SCHEMA app_src", "CREATE STAGE app_src.stage")
        self.stage = stage_folder(self.account, "PKG", "APP_SRC", "STAGE")

    def run(self, *statements, session=None):
        return [self.account.answer(session or self.admin, sql) for sql in statements][-1]

    def rows(self, sql, session=None):
        session = session or self.admin
        self.account.execute(session, sql)  # through the front door: with the checks of privileges
        return session.connection.cursor().execute(sql).fetchall()

    def put(self, **files):
        self.stage.mkdir(parents=True, exist_ok=True)
        for name, text in {"manifest.yml": MANIFEST, "setup.sql": SETUP, **files}.items():
            file = self.stage / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def install(self):
        self.run("CREATE APPLICATION app FROM APPLICATION PACKAGE pkg USING @pkg.app_src.stage")

    def upgrade(self):
        self.run("ALTER APPLICATION app UPGRADE USING @pkg.app_src.stage")


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.account.close()


def test_install_runs_the_setup_script_and_upgrade_keeps_the_tables(shop):
    shop.put()
    shop.install()
    assert shop.rows("SELECT amount FROM app.gold.sales") == [(1,)]

    shop.upgrade()

    assert shop.rows("SELECT amount FROM app.gold.sales") == [(1,), (1,)], "the script ran again over the same table"


def test_a_failed_install_leaves_no_application_behind(shop):
    shop.put(**{"setup.sql": SETUP + "SELECT * FROM gold.nothing_here;"})

    with pytest.raises(ProgrammingError, match="setup script failed"):
        shop.install()

    assert shop.run("SHOW APPLICATIONS") == []
    shop.put()
    shop.install()


def test_a_failed_upgrade_leaves_the_version_before_at_work(shop):
    shop.put()
    shop.install()
    shop.put(**{"setup.sql": "CREATE TABLE control.half_done (a NUMBER); SELECT * FROM gold.nothing_here;"})

    with pytest.raises(ProgrammingError, match="setup script failed"):
        shop.upgrade()

    assert shop.account.catalog.get("application", "APP")["version"] == 1
    assert shop.rows("SELECT amount FROM app.gold.sales") == [(1,)]


PROCEDURE = (
    "CREATE OR ALTER VERSIONED SCHEMA core; CREATE OR REPLACE PROCEDURE {name}() RETURNS VARIANT LANGUAGE PYTHON RUNTIME_VERSION = '3.11' "
    "PACKAGES = ('snowflake-snowpark-python') {imports} HANDLER = 'a.run' {rights};"
)
IMPORTS = "IMPORTS = ('/procedures/a.py')"


@pytest.mark.parametrize(("setup", "said"), [
    pytest.param(PROCEDURE.format(name="core.p", imports="IMPORTS = ('procedures/a.py')", rights=""), "must start with '/'", id="import without slash"),
    pytest.param(PROCEDURE.format(name="core.p", imports="IMPORTS = ('/procedures/gone.py')", rights=""), "not among the files", id="import not deployed"),
    pytest.param(PROCEDURE.format(name="core.p", imports="", rights=""), "is not in IMPORTS", id="handler not imported"),
    pytest.param("CREATE SCHEMA plain; " + PROCEDURE.format(name="plain.p", imports=IMPORTS, rights=""), "must be in a versioned schema", id="plain schema"),
    pytest.param(PROCEDURE.format(name="core.p", imports=IMPORTS, rights="EXECUTE AS CALLER"), "CALLER", id="caller's rights"),
    pytest.param("CREATE OR ALTER VERSIONED SCHEMA v; CREATE TASK v.t SCHEDULE = '1 MINUTE' AS SELECT 1;", "versioned schema", id="task in a versioned schema"),
    pytest.param("USE ROLE accountadmin;", "USE", id="use"),
    pytest.param("CREATE TEMPORARY TABLE gold.t (a NUMBER);", "Temporary", id="temporary table"),
    pytest.param("CREATE WAREHOUSE w;", "WAREHOUSE", id="a warehouse of its own"),
    pytest.param("EXECUTE IMMEDIATE FROM './gone.sql';", r"gone\.sql", id="missing file"),
])
def test_what_fails_an_install(shop, setup, said):
    shop.put(**{"setup.sql": setup, "procedures__a.py": "def run(session):\n    return 1\n"})

    with pytest.raises(ProgrammingError, match=said):
        shop.install()


def test_tasks_need_the_privilege_that_the_manifest_asks_for(shop):
    shop.put(**{
        "manifest.yml": "manifest_version: 2\nartifacts: {setup_script: setup.sql}\n",
        "setup.sql": "CREATE SCHEMA tasks; CREATE TASK tasks.t SCHEDULE = '1 MINUTE' AS SELECT 1;",
    })

    with pytest.raises(ProgrammingError, match="EXECUTE TASK"):
        shop.install()


# --- rights


def test_a_reader_sees_gold_and_nothing_else(shop):
    shop.put()
    shop.install()
    shop.run("CREATE ROLE analyst", "GRANT APPLICATION ROLE app.reader TO ROLE analyst", "CREATE DATABASE landing", "CREATE TABLE landing.public.raw (a NUMBER)")
    analyst = shop.account.session(role="ANALYST")

    assert shop.rows("SELECT amount FROM app.gold.sales", analyst) == [(1,)]
    for sql in (
        "SELECT * FROM app.control.secrets",
        "SELECT * FROM landing.public.raw",
        "DELETE FROM app.gold.sales",
        "SELECT amount FROM app.gold.sales WHERE EXISTS (SELECT 1 FROM app.control.secrets)",
        "WITH s AS (SELECT * FROM app.control.secrets) SELECT * FROM s",
        "INSERT INTO app.gold.sales SELECT 1",
    ):
        with pytest.raises(ProgrammingError, match="not authorized"):
            shop.account.execute(analyst, sql)


def test_an_application_reaches_what_was_granted_to_it_and_no_more(shop):
    shop.put()
    shop.install()
    shop.run("CREATE DATABASE landing", "CREATE TABLE landing.public.raw (a NUMBER)", "CREATE TABLE landing.public.other (a NUMBER)")
    own = shop.account.session("APP", "GOLD", role="APP", app="APP")

    with pytest.raises(ProgrammingError, match="not authorized"):
        shop.account.execute(own, "SELECT * FROM landing.public.raw")
    shop.run("GRANT SELECT ON TABLE landing.public.raw TO APPLICATION app")
    shop.account.execute(own, "SELECT * FROM landing.public.raw")
    for sql in ("DELETE FROM landing.public.raw", "SELECT * FROM landing.public.other"):
        with pytest.raises(ProgrammingError, match="not authorized"):
            shop.account.execute(own, sql)


def test_a_revoked_grant_is_gone(shop):
    shop.put()
    shop.install()
    shop.run("CREATE DATABASE landing", "CREATE TABLE landing.public.raw (a NUMBER)")
    own = shop.account.session("APP", "GOLD", role="APP", app="APP")
    shop.run("GRANT SELECT, DELETE ON TABLE landing.public.raw TO APPLICATION app", "REVOKE SELECT ON TABLE landing.public.raw FROM APPLICATION app")

    shop.account.execute(own, "DELETE FROM landing.public.raw")
    with pytest.raises(ProgrammingError, match="not authorized"):
        shop.account.execute(own, "SELECT * FROM landing.public.raw")


@pytest.mark.parametrize("sql", [
    "CREATE DYNAMIC TABLE d TARGET_LAG = '1 minute' WAREHOUSE = w AS SELECT 1",
    "CREATE MATERIALIZED VIEW m AS SELECT 1",
    "CREATE EXTERNAL FUNCTION f(a NUMBER) RETURNS NUMBER API_INTEGRATION = i AS 'https://example.org'",
    "VACUUM",
    "PRAGMA database_list",
    "ATTACH 'x.db'",
    "INSTALL httpfs",
    "COPY (SELECT 1) TO 'out.csv'",
    "EXPORT DATABASE 'x'",
    "CREATE MACRO f(a) AS a",
    "UNDROP TABLE x",
])
def test_a_statement_the_account_does_not_know_is_an_error_never_a_silent_success(shop, sql):
    with pytest.raises(ProgrammingError) as raised:
        shop.account.execute(shop.admin, sql)

    assert raised.value.errno in (1003, 2003)
