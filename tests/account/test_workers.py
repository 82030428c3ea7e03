"""The process that runs a procedure dies in the middle of a transaction: nothing of it stays, nothing stays locked."""

from __future__ import annotations

import threading
import time

import pytest
import uvicorn
from snowflake.connector.errors import ProgrammingError

from local.account import Account
from local.place import free_port
from local.server import application
from local.stages import stage_folder

MANIFEST = "manifest_version: 2\nartifacts: {setup_script: setup.sql}\n"
SETUP = """
CREATE SCHEMA IF NOT EXISTS control;
CREATE TABLE IF NOT EXISTS control.log (n NUMBER);
INSERT INTO control.log VALUES (0);
CREATE OR ALTER VERSIONED SCHEMA core;
CREATE OR REPLACE PROCEDURE core.work(how VARCHAR) RETURNS VARIANT LANGUAGE PYTHON RUNTIME_VERSION = '3.11'
PACKAGES = ('snowflake-snowpark-python') IMPORTS = ('/procedures/work.py') HANDLER = 'work.work';
"""
WORK = """
import os

def work(session, how):
    if how == "look":
        import importlib.util
        return [name for name in ("local", "ingest", "tests", "specs") if importlib.util.find_spec(name)]
    session.sql("BEGIN").collect()
    session.sql("UPDATE control.log SET n = n + 1").collect()
    if how == "die":
        os._exit(9)
    if how == "leave open":
        return {"open": True}
    if how == "raise":
        raise ValueError("the handler said no")
    session.sql("COMMIT").collect()
    return {"committed": True}
"""


@pytest.fixture
def account(tmp_path):
    port = free_port()
    made = Account(tmp_path, address=("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(application(made), host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    admin = made.session()
    for sql in ("CREATE APPLICATION PACKAGE pkg", "USE DATABASE pkg", "CREATE SCHEMA app_src", "CREATE STAGE app_src.stage"):
        made.answer(admin, sql)
    stage = stage_folder(made, "PKG", "APP_SRC", "STAGE")
    (stage / "procedures").mkdir(parents=True, exist_ok=True)
    for name, text in {"manifest.yml": MANIFEST, "setup.sql": SETUP, "procedures/work.py": WORK}.items():
        (stage / name).write_text(text)
    made.answer(admin, "CREATE APPLICATION app FROM APPLICATION PACKAGE pkg USING @pkg.app_src.stage")
    yield made
    server.should_exit = True
    made.close()


def call(account, how):
    own = account.session("APP", "CONTROL", role="APP", app="APP")
    return account.answer(own, f"CALL core.work('{how}')")


def value(account):
    own = account.session("APP", "CONTROL", role="APP", app="APP")
    return own.connection.cursor().execute("SELECT n FROM control.log").fetchone()[0]


@pytest.mark.parametrize(("how", "said"), [
    pytest.param("die", "process of the procedure ended", id="the process dies"),
    pytest.param("raise", "the handler said no", id="the handler raises"),
])
def test_a_call_that_fails_leaves_nothing_and_the_next_one_works_at_once(account, how, said):
    with pytest.raises(ProgrammingError, match=said):
        call(account, how)
    assert value(account) == 0

    start = time.monotonic()
    assert "committed" in str(call(account, "commit"))
    assert time.monotonic() - start < 30, "the table was still locked by the dead call"
    assert value(account) == 1


def test_a_handler_cannot_import_what_was_not_deployed(account):
    assert call(account, "look") == [("[]",)]


def test_a_transaction_left_open_is_rolled_back_and_is_an_error(account):
    with pytest.raises(ProgrammingError, match="Scoped transaction started in stored procedure is incomplete"):
        call(account, "leave open")

    assert value(account) == 0
    call(account, "commit")
    assert value(account) == 1
