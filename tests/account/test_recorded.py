"""Monitors, warehouses and pages are remembered and shown, say that they do nothing here, and do nothing."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    one = Account(tmp_path_factory.mktemp("recorded"))
    yield one
    one.close()


@pytest.fixture
def run(account):
    session = account.session()
    return lambda sql: account.answer(session, sql)


def test_what_is_recorded_says_so_is_shown_and_goes(run):
    create = "CREATE RESOURCE MONITOR m WITH CREDIT_QUOTA = 1"
    ((told,),) = run(create)
    assert "Recorded only" in told and "nothing costs credits" in told
    assert len(run("SHOW RESOURCE MONITORS")) == 1

    assert "already exists" in run(create.replace("MONITOR m", "MONITOR IF NOT EXISTS m"))[0][0]
    with pytest.raises(ProgrammingError, match="already exists"):
        run(create)

    run("DROP RESOURCE MONITOR m")
    assert run("SHOW RESOURCE MONITORS") == []
