"""Writers of one table wait for each other, as on Snowflake; a queued writer sees what it waited for."""

from __future__ import annotations

import threading
import time

import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account


@pytest.fixture
def account(tmp_path):
    made = Account(tmp_path)
    admin = made.session()
    for sql in ("CREATE DATABASE d", "CREATE TABLE d.public.control (n NUMBER)", "INSERT INTO d.public.control VALUES (0)"):
        made.answer(admin, sql)
    yield made
    made.close()


def add_one(account, pause=0.0):
    session = account.session("D", "PUBLIC")
    for sql in ("BEGIN", "UPDATE control SET n = n + 1"):
        account.answer(session, sql)
    time.sleep(pause)
    account.answer(session, "COMMIT")


def test_two_transactions_that_update_one_row_both_count(account):
    first = threading.Thread(target=add_one, args=(account, 0.5))
    first.start()
    time.sleep(0.2)

    add_one(account)

    first.join()
    session = account.session("D", "PUBLIC")
    assert session.connection.cursor().execute("SELECT n FROM control").fetchall() == [(2,)]


def test_who_waits_longer_than_lock_timeout_is_told_the_table(account):
    holder, waiter = account.session("D", "PUBLIC"), account.session("D", "PUBLIC")
    for sql in ("BEGIN", "UPDATE control SET n = 5"):
        account.answer(holder, sql)
    account.answer(waiter, "ALTER SESSION SET LOCK_TIMEOUT = 0")

    with pytest.raises(ProgrammingError, match=r"LOCK_TIMEOUT .* D\.PUBLIC\.CONTROL"):
        account.answer(waiter, "UPDATE control SET n = 6")
    account.answer(holder, "ROLLBACK")
    account.answer(waiter, "UPDATE control SET n = 7")
