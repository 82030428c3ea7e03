"""The page on an account that has run for long: what it asks is bounded, and it opens in moments."""

from __future__ import annotations

import re
import time

import pytest
from streamlit.testing.v1 import AppTest

from local.place import ROOT
from tests.console.conftest import TABS

HEADER = 6  # statements: the pipelines applied, the day, the last run, failures, freshness, alerts
STATEMENTS = {"Runs": 2, "Freshness": 3, "Quarantine": 4, "Accounts": 3, "History": 1, "KPIs": 1, "Cost": 3, "Setup": 2}
RUNS, WAITING = 10_000, 1_000_000
SECONDS = 4  # of processors, account and page together, for a tab; measured: docs/console.md


class Listening:
    """A session that keeps what it was asked."""

    def __init__(self, session) -> None:
        self.session, self.asked = session, []

    def sql(self, sql, params=None):
        self.asked.append((sql, params))
        return self.session.sql(sql, params=params)


def opened(rig, tab: str) -> tuple[AppTest, Listening, float]:
    """The page with a tab chosen, what drawing it asked, and the processor seconds of page and account, which are in this process."""
    listening = Listening(rig.page_session)
    at = AppTest.from_file(str(ROOT / "app/console/console.py"), default_timeout=120)
    at.session_state["session"] = listening
    at.session_state["tab"] = tab
    begun = time.process_time()
    at.run()
    assert not at.exception, at.exception
    return at, listening, time.process_time() - begun


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_opens_says_which_times_are_utc_and_asks_few_statements_of_few_rows(filled, tab):
    at, listening, _ = opened(filled, tab)
    # then something is shown and nothing is wrong
    assert not at.error, [error.value for error in at.error]
    assert at.dataframe or at.info
    # and every time says its zone
    for frame in at.dataframe:
        for name in frame.value.select_dtypes("datetime"):
            assert "(UTC)" in frame.proto.columns.split(f'"{name}"')[1][:200], name
    # and nothing grows with the account
    assert len(listening.asked) == HEADER + STATEMENTS[tab], [sql for sql, _ in listening.asked]
    for sql, _ in listening.asked:
        assert re.search(r" LIMIT (\d+)$", sql) and int(sql.rsplit(" ", 1)[1]) <= 5_000, sql


def test_what_a_reader_typed_is_bound_and_in_no_statement(filled):
    at, listening, _ = opened(filled, "History")
    listening.asked.clear()
    at.text_input(key="key_customer_id").set_value("4711").run()
    assert len(listening.asked) == HEADER + 3
    assert not [sql for sql, _ in listening.asked if "4711" in sql or not re.search(r" LIMIT \d+$", sql)]
    assert [params for _, params in listening.asked if params and 4711 in params]


@pytest.fixture(scope="module")
def long_lived(filled):
    """Ten thousand runs of two months, each with the steps of the pipeline, and a million rows that wait."""
    filled.duck(
        f"""INSERT INTO firn.control.pipeline_log (run_id, pipeline, step, status, started_at, ended_at, rows_read, rows_written,
                rows_duplicate, rows_superseded, rows_quarantined, rows_held, detail)
            SELECT 'old-' || run, pipeline, step, status, begun, begun + INTERVAL 1 SECOND, rows_read, rows_written,
                rows_duplicate, rows_superseded, rows_quarantined, rows_held, detail
            FROM (SELECT now()::TIMESTAMP - INTERVAL 1 HOUR - run * INTERVAL 8 MINUTE AS begun, * FROM
                (SELECT * FROM firn.control.pipeline_log WHERE run_id = (SELECT MIN_BY(run_id, started_at) FROM firn.control.pipeline_log)),
                (SELECT unnest(range({RUNS})) AS run))"""
    )
    columns = [row[0] for row in filled.duck("SELECT column_name FROM information_schema.columns WHERE table_catalog ILIKE 'firn' AND table_schema ILIKE 'control' AND table_name ILIKE 'quarantine'")]
    other = {"quarantine_id": "quarantine_id || '-' || n", "row_number": "row_number + n", "quarantined_at": "quarantined_at - (n % 60) * INTERVAL 1 DAY"}
    values = ", ".join(other.get(name.lower(), f'"{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    rows = filled.duck("SELECT COUNT(*) FROM firn.control.quarantine")[0][0]
    filled.duck(f"INSERT INTO firn.control.quarantine ({names}) SELECT {values} FROM firn.control.quarantine, (SELECT unnest(range({WAITING // rows})) AS n)")
    assert filled.query("SELECT COUNT(DISTINCT run_id) AS n FROM control.pipeline_log")[0]["n"] > RUNS
    assert filled.query("SELECT COUNT(*) AS n FROM control.quarantine WHERE status = 'waiting'")[0]["n"] > WAITING
    return filled


@pytest.mark.nightly
@pytest.mark.parametrize("tab", TABS)
def test_a_tab_opens_in_moments_with_many_runs_and_rows_that_wait(long_lived, tab):
    opened(long_lived, tab)
    _, _, seconds = opened(long_lived, tab)
    print(f"{tab}: {seconds:.2f} s")
    assert seconds < SECONDS, f"{tab} took {seconds:.1f} s"
