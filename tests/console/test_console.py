"""The operators' page, driven as a person would, against an installed application."""

from __future__ import annotations

import sys

import pytest
from snowflake.snowpark import Session

from local.place import ROOT
from tests.rig import rigged

# Streamlit is not in the environment of `make test`: it takes no pandas 3.  With it: pip install streamlit==1.52.2, in a copy.
AppTest = pytest.importorskip("streamlit.testing.v1", reason="Streamlit is not in this environment").AppTest

SHOP = """
pipeline: shop
freshness: {fact_orders: 15 minutes}
sources:
  customers:
    files: {prefix: customers/, format: csv}
    key: [customer_id]
    effective_at: updated_at
    columns:
      customer_id: {type: integer}
      city: {type: text}
      age: {type: integer}
      updated_at: {type: timestamp}
    checks:
      age_in_range: age between 0 and 120
  orders:
    files: {prefix: orders/, format: csv}
    key: [order_id]
    effective_at: ordered_at
    columns:
      order_id: {type: integer}
      customer_id: {type: integer}
      amount: {type: integer}
      ordered_at: {type: timestamp}
dimensions:
  dim_customer: {from: customers, tracked: [city], overwritten: [age]}
facts:
  fact_orders:
    from: orders
    grain: [order_id]
    keep: [customer_id]
    lookups:
      customer: {dimension: dim_customer, by: customer_id, as_of: ordered_at}
    measures: {amount: amount}
kpis:
  monthly: {from: fact_orders, period: month, measures: {revenue: sum(amount)}}
"""
TABS = ["Runs", "Freshness", "Quarantine", "Accounts", "History", "KPIs", "Cost", "Setup"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "app/console"))
    with rigged(tmp_path_factory.mktemp("console") / "rig", SHOP) as made:
        host, port = made.account.address
        login = {"account": "local", "host": host, "port": port, "protocol": "http", "user": "local", "password": "local", "role": "ACCOUNTADMIN"}
        made.page_session = Session.builder.configs({**login, "database": "FIRN", "schema": "CORE", "client_telemetry_enabled": False}).create()
        yield made
        made.page_session.close()
    sys.path.remove(str(ROOT / "app/console"))


@pytest.fixture(scope="module")
def filled(rig):
    """Two batches: customer 1 moves from Oslo to Bergen, and a row says that somebody is 999 years old."""
    assert "No run has moved a row yet" in page(rig).info[0].value
    rig.load("customers", "customer_id,city,age,updated_at\n1,Oslo,30,2024-01-01 00:00:00\n2,Rome,999,2024-01-01 00:00:00")
    rig.load("orders", "order_id,customer_id,amount,ordered_at\n1,1,10,2024-01-05 00:00:00\n2,1,5,2024-02-05 00:00:00")
    rig.run()
    rig.load("customers", "customer_id,city,age,updated_at\n1,Bergen,31,2024-02-01 00:00:00\n3,<b>Nice</b>,-4,2024-02-01 00:00:00")
    rig.run()
    return rig


def page(rig, tab=None) -> AppTest:
    """The page as it opens, or with another tab chosen."""
    at = AppTest.from_file(str(ROOT / "app/console/console.py"), default_timeout=60)
    at.session_state["session"] = rig.page_session
    at.run()
    if tab:
        at.radio(key="tab").set_value(tab).run()
    assert not at.exception, at.exception
    return at


def metrics(at) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def test_without_a_run_the_page_says_what_to_do(rig, filled):
    # the fixture has seen the first page, before any row
    assert metrics(page(rig))["Runs"] == "well"


def test_the_header_has_the_days_numbers(filled):
    shown = metrics(page(filled))
    assert (shown["Rows read, 24 h"], shown["Quarantined, 24 h"], shown["Failed steps, 24 h"]) == ("6", "33.3%", "0")


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_opens(filled, tab):
    at = page(filled, tab)
    assert not at.error, [error.value for error in at.error]
    assert at.dataframe or at.info


def test_runs_are_shown_step_by_step(filled):
    steps = page(filled).dataframe[0].value
    assert {"load customers", "dimension dim_customer", "fact fact_orders", "measure monthly", "sweep"} <= set(steps["step"])
    assert steps.set_index("step").loc["load customers", "rows_quarantined"] == 1


def test_the_accounts_of_all_steps_add_up(filled):
    at = page(filled, "Accounts")
    assert at.success and (at.dataframe[0].value["difference"] == 0).all()


def test_a_count_that_is_wrong_is_seen(filled):
    # given a log row in which one row is missing
    filled.duck("UPDATE firn.control.pipeline_log SET rows_written = rows_written - 1 WHERE step = 'load orders' AND rows_written = 2")
    # then the page names the step
    assert "load orders" in page(filled, "Accounts").error[0].value
    filled.duck("UPDATE firn.control.pipeline_log SET rows_written = rows_written + 1 WHERE step = 'load orders' AND rows_written = 1")


def test_the_history_of_a_key_has_its_versions_and_events(filled):
    at = page(filled, "History")
    at.text_input(key="key_customer_id").set_value("1").run()
    versions, events = (frame.value for frame in at.dataframe)
    assert list(versions["city"]) == ["Oslo", "Bergen"] and list(versions["is_current"]) == [False, True]
    assert list(events["city"]) == ["Oslo", "Bergen"]


@pytest.mark.parametrize("typed", ["99", "x", "1 OR 1=1", "'; DROP TABLE gold.dim_customer; --"])
def test_a_key_that_is_not_there_is_said_and_nothing_typed_becomes_sql(filled, typed):
    at = page(filled, "History")
    at.text_input(key="key_customer_id").set_value(typed).run()
    assert at.warning or at.exception  # a text for a whole number is the server's error, not a statement
    assert filled.query("SELECT COUNT(*) AS n FROM gold.dim_customer WHERE customer_id = 1") == [{"n": 2}]


def test_a_fact_that_is_older_than_allowed_is_late(filled):
    filled.duck("UPDATE firn.control.parameter_control SET updated_at = updated_at - INTERVAL 1 HOUR WHERE step = 'fact fact_orders'")
    at = page(filled, "Freshness")
    assert "fact_orders" in at.warning[0].value
    state = at.dataframe[0].value.set_index("step")["state"]
    assert state["fact fact_orders"] == "late" and state["load customers"] == "no limit"


def test_values_of_quarantined_rows_are_data_and_nothing_else(filled):
    at = page(filled, "Quarantine")
    assert "<b>Nice</b>" in " ".join(at.dataframe[1].value["row_values"])
    assert not [text for text in at.markdown if "<b>" in text.value]


def test_a_row_is_corrected_and_replayed_from_the_page(filled):
    # given two rows that wait
    at = page(filled, "Quarantine")
    waiting = at.dataframe[1].value
    assert len(waiting) == 2 and set(waiting["failed_checks"]) == {"age_in_range"}
    row = waiting.loc[waiting["row_values"].str.contains("999"), "quarantine_id"].iloc[0]
    # when one is corrected and the source replayed
    at.selectbox(key="row").set_value(row)
    at.text_input(key="column").set_value("age")
    at.text_input(key="value").set_value("99").run()
    at.button(key="correct").click().run()
    at.button(key="replay").click().run()
    assert not at.error and not at.exception
    # then one waits, and the other is an event
    assert len(page(filled, "Quarantine").dataframe[1].value) == 1
    assert filled.query("SELECT age FROM silver.customers WHERE customer_id = 2") == [{"age": 99}]


def test_what_a_button_cannot_do_is_said(filled):
    at = page(filled, "Quarantine")
    at.text_input(key="column").set_value("agee")
    at.text_input(key="value").set_value("1").run()
    at.button(key="correct").click().run()
    assert "age" in at.error[0].value


def test_a_failing_step_is_on_top_of_the_page_until_it_succeeds(filled):
    # given a file that a load cannot take: bronze has lost a column
    filled.answer("ALTER TABLE firn_landing.bronze.orders RENAME COLUMN amount TO total")
    filled.load("customers", "customer_id,city,age,updated_at\n5,Lima,20,2024-03-01 00:00:00")
    at = page(filled)
    filled.duck("INSERT INTO firn_landing.bronze.orders (order_id, _file_name, _row_number, _content_key, _modified_at, _loaded_at) "
                "SELECT '9', 'orders/x', 1, 'k9', _loaded_at, _loaded_at + INTERVAL 1 MINUTE FROM firn_landing.bronze.customers LIMIT 1")
    at.button(key="run_now").click().run()
    # then it is named, with the error
    at = page(filled)
    assert metrics(at)["Runs"] == "failing" and "load orders" in at.error[0].value
    # and it is gone when the cause is mended
    filled.answer("ALTER TABLE firn_landing.bronze.orders RENAME COLUMN total TO amount")
    at.button(key="resume").click().run()
    at = page(filled)
    assert metrics(at)["Runs"] == "well" and not at.error
