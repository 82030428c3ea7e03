"""The operators' page, driven as a person would, against an installed application."""

from __future__ import annotations

import doctest
import importlib
import sys
import types

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from local import cli
from local.place import ROOT
from tests.console.conftest import HOSTILE, fail

MODULES = sorted(path.stem for path in (ROOT / "app/console").glob("*.py") if path.stem != "console")


def page(rig, tab=None, **typed) -> AppTest:
    """The page as it opens, or with another tab chosen and texts typed into it."""
    at = AppTest.from_file(str(ROOT / "app/console/console.py"), default_timeout=60)
    at.session_state["session"] = rig.page_session
    at.run()
    if tab:
        at.radio(key="tab").set_value(tab).run()
    for key, text in typed.items():
        at.text_input(key=key).set_value(text).run()
    assert not at.exception, at.exception
    return at


def metrics(at) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def frames(at) -> list:
    return [frame.value for frame in at.dataframe]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_its_modules_hold(rig, module):
    assert not doctest.testmod(importlib.import_module(module)).failed


def test_snowflake_installs_the_streamlit_that_the_tests_have():
    environment = yaml.safe_load((ROOT / "app/console/environment.yml").read_text())
    pin = next(name.partition("=")[2] for name in environment["dependencies"] if name.startswith("streamlit="))
    assert f"streamlit=={pin}" in (ROOT / "requirements.txt").read_text().split("\n")


def test_without_an_account_the_command_says_how_to_start_one(tmp_path, capsys):
    assert cli.main(["--data", str(tmp_path), "console"]) == 1
    assert "Start it with: firn up" in capsys.readouterr().err


# --- before the first row


@pytest.mark.parametrize(
    ("tab", "says"),
    [
        ("Runs", "Put files under the sources' prefixes"),
        ("Freshness", "Put one under a source's prefix"),
        ("Accounts", "No step has moved a row yet"),
        ("History", "Type the customer_id of one customer"),
        ("KPIs", "See Runs"),
        ("Cost", "No step has run"),
    ],
)
def test_an_empty_tab_says_what_to_do(rig, tab, says):
    if rig.query("SELECT COUNT(*) AS n FROM control.pipeline_log")[0]["n"]:
        pytest.fail("this test comes before those that load rows")
    assert says in " ".join(info.value for info in page(rig, tab).info)


def test_an_empty_quarantine_is_good_news(rig):
    assert "No row waits" in page(rig, "Quarantine").success[0].value


# --- the header


def test_the_header_has_the_days_numbers(filled):
    shown = metrics(page(filled))
    assert (shown["Last run"], shown["Rows read, 24 h"], shown["Quarantined, 24 h"], shown["Failed runs, 24 h"]) == ("succeeded", "7", "28.6%", "0")


def test_the_header_names_whose_lag_is_the_worst_and_the_alert_that_is_open(filled):
    at = page(filled)
    behind = next(metric for metric in at.metric if metric.label == "Worst LETS lag")
    assert behind.delta == "fact_orders, 15 min allowed"
    assert set(frames(at)[0]["kind"]) == {"freshness"} and set(frames(at)[0]["subject"]) == {"fact_orders"}


def test_a_pipeline_that_no_longer_runs_is_said(filled):
    filled.duck("UPDATE firn.control.parameter_control SET updated_at = updated_at - INTERVAL 11 HOUR WHERE step = 'pipeline'")
    assert "though one is due every 1 h" in page(filled).warning[0].value
    filled.duck("UPDATE firn.control.parameter_control SET updated_at = updated_at + INTERVAL 11 HOUR WHERE step = 'pipeline'")
    assert not page(filled).warning


# --- the tabs


def test_runs_are_shown_step_by_step(filled):
    steps = frames(page(filled))[-1]
    assert {"load customers", "dimension dim_customer", "fact fact_orders", "measure monthly", "sweep"} <= set(steps["step"])
    assert steps.set_index("step").loc["load customers", "rows_quarantined"] == 1


def test_a_source_is_late_by_its_newest_arrival_and_the_page_says_whether_the_loads_have_it(filled):
    state = frames(page(filled, "Freshness"))[-1].set_index("what")
    assert state.loc["fact_orders", "state"] == "late" and state.loc["customers", "state"] == "no limit"
    assert set(state["loads"]) == {"have all"}
    # when a file arrives that no load has taken
    filled.load("customers", "customer_id,city,age,updated_at\n6,Bonn,20,2024-03-01 00:00:00")
    assert frames(page(filled, "Freshness"))[-1].set_index("what").loc["customers", "loads"] == "behind"
    filled.duck("DELETE FROM firn_landing.bronze.customers WHERE customer_id = '6'")


def test_the_accounts_of_all_steps_add_up(filled):
    at = page(filled, "Accounts")
    assert at.success and (frames(at)[-1]["rows_unexplained"] == 0).all()


def test_a_count_that_is_wrong_is_seen_and_in_red(filled):
    # given a log row in which one row is missing
    filled.duck("UPDATE firn.control.pipeline_log SET rows_written = rows_written - 1 WHERE step = 'load orders' AND rows_written = 2")
    # then the page names the step, and its row is the red one
    at = page(filled, "Accounts")
    assert "load orders" in at.error[0].value
    assert list(frames(at)[1]["step"]) == ["load orders"] and "#fdecea" in at.dataframe[1].proto.styler.styles
    filled.duck("UPDATE firn.control.pipeline_log SET rows_written = rows_written + 1 WHERE step = 'load orders' AND rows_written = 1")


def test_reconcile_is_called_from_the_page_and_what_it_compared_is_shown(filled):
    at = page(filled, "Accounts")
    at.button(key="reconcile").click().run()
    assert "agree" in at.success[0].value
    sides = frames(at)[-1]
    assert {"source customers", "dimension dim_customer"} <= set(sides["part"]) and (sides["difference"].dropna() == 0).all()


def test_the_history_of_a_key_has_its_versions_and_events(filled):
    at = page(filled, "History", key_customer_id="1")
    versions, events = frames(at)[-2:]
    assert list(versions["city"]) == ["Oslo", "Bergen"] and list(versions["is_current"]) == [False, True]
    assert list(events["city"]) == ["Oslo", "Bergen"]


@pytest.mark.parametrize("typed", ["99", "x", "1 OR 1=1", "'; DROP TABLE gold.dim_customer; --"])
def test_a_key_that_is_not_there_is_said_and_nothing_typed_becomes_sql(filled, typed):
    assert page(filled, "History", key_customer_id=typed).warning
    assert filled.query("SELECT COUNT(*) AS n FROM gold.dim_customer WHERE customer_id = 1") == [{"n": 2}]


def test_credits_are_shown_where_their_view_may_be_read_and_else_it_is_said_how(filled):
    assert "cost_by_step is not there" in page(filled, "Cost").info[0].value
    # given the view of the account's history
    filled.answer("CREATE SCHEMA firn_landing.watch",
                  "CREATE TABLE firn_landing.watch.cost_by_step AS SELECT 'shop' AS pipeline, 'load orders' AS step, 'r1' AS run_id, SYSDATE() AS first_at, "
                  "12 AS statement_count, 3.5 AS seconds, 0.25 AS compute_credits, 0.01 AS cloud_services_credits")  # fmt: skip
    spent = frames(page(filled, "Cost"))[-1].set_index("step")
    assert spent.loc["load orders", "compute_credits"] == 0.25 and spent.loc["load orders", "statements"] == 12
    filled.answer("DROP SCHEMA firn_landing.watch", "USE SCHEMA firn.control")  # CREATE SCHEMA had moved the session there


def test_privileges_are_asked_for_where_the_page_runs_inside_the_application(filled, monkeypatch):
    # given what Snowflake puts beside a page of an application, with one privilege missing
    asked = []
    stand_in = types.ModuleType("snowflake.permissions")
    stand_in.get_missing_account_privileges = lambda names: [name for name in names if name == "EXECUTE TASK"]
    stand_in.request_account_privileges = asked.append
    monkeypatch.setitem(sys.modules, "snowflake.permissions", stand_in)
    monkeypatch.setattr(importlib.import_module("snowflake"), "permissions", stand_in, raising=False)
    # then it is named, and a button asks for it
    at = page(filled, "Setup")
    assert at.error[0].value.startswith("Not granted: EXECUTE TASK.")
    at.button(key="privileges").click().run()
    assert asked == [["EXECUTE TASK"]]


def test_the_privileges_asked_for_are_those_of_the_manifest(rig):
    tabs = importlib.import_module("tabs")
    manifest = yaml.safe_load((ROOT / "app/manifest.yml").read_text())
    assert list(tabs.PRIVILEGES) == [name for entry in manifest["privileges"] for name in entry]


# --- texts that came from files


def test_values_of_quarantined_rows_are_data_and_nothing_else(filled):
    at = page(filled, "Quarantine")
    cities = frames(at)[-1]["city"]
    assert "'" + HOSTILE in set(cities)  # a spreadsheet that is given the download takes it for a text
    for element in (*at.markdown, *at.info, *at.error, *at.warning, *at.success, *at.caption, *at.subheader):
        assert "beyond.example" not in element.value


def test_values_in_silver_and_gold_are_data_too(filled):
    at = page(filled, "History", key_customer_id="4")
    assert [frame["city"].iloc[0] for frame in frames(at)[-2:]] == ["'" + HOSTILE] * 2


@pytest.fixture
def quoting(filled):
    """A step that failed with an error that quotes a hostile value; gone afterwards."""
    fail(filled, "load orders", HOSTILE, "data")
    yield filled
    filled.duck("DELETE FROM firn.control.pipeline_log WHERE status = 'failed'")


def test_an_error_that_quotes_a_value_is_shown_as_it_is(quoting):
    at = page(quoting)
    assert [code.value for code in at.code] == [HOSTILE, HOSTILE]  # on top, and at the step
    assert not [error for error in at.error if "beyond.example" in error.value]
    assert "Look at the rows" in at.error[1].value


# --- what can be done from the page


def test_a_replay_is_tried_first_then_a_row_is_corrected_and_replayed(filled):
    # given two rows that wait, and a replay that cannot be pressed before its trial
    at = page(filled, "Quarantine")
    assert at.button(key="replay").disabled
    at.button(key="try_replay").click().run()
    assert at.button(key="replay").disabled and "0 of 2" in " ".join(text.value for text in at.markdown)
    # when one is corrected and the trial made again
    assert any("line 2: age_in_range" in option for option in at.selectbox(key="row").options)
    row = filled.query("SELECT quarantine_id FROM control.quarantine WHERE row_values:age::VARCHAR = '999'")[0]["quarantine_id"]
    at.selectbox(key="row").set_value(row)
    at.selectbox(key="column").set_value("age")
    at.text_input(key="value").set_value("99").run()
    at.button(key="correct").click().run()
    assert "it would pass now" in at.success[0].value
    at.button(key="try_replay").click().run()
    assert "1 of 2" in " ".join(text.value for text in at.markdown)
    assert filled.query("SELECT COUNT(*) AS n FROM silver.customers WHERE customer_id = 2") == [{"n": 0}]
    # and replayed
    at.button(key="replay").click().run()
    assert "1 rows left the quarantine, 1 go on waiting" in at.success[0].value
    # then one waits, and the other is an event
    assert len(frames(page(filled, "Quarantine"))[-1]) == 1
    assert filled.query("SELECT age FROM silver.customers WHERE customer_id = 2") == [{"age": 99}]


def test_what_a_button_cannot_do_is_said(filled):
    at = page(filled, "Quarantine")
    at.selectbox(key="column").set_value("city").run()
    filled.duck("UPDATE firn.control.quarantine SET status = 'discarded' WHERE status = 'waiting'")
    at.button(key="correct").click().run()
    assert at.error[0].value == "The correction did not work." and "discarded" in at.code[0].value
    filled.duck("UPDATE firn.control.quarantine SET status = 'waiting' WHERE status = 'discarded'")


def test_a_run_without_new_rows_says_so(filled):
    filled.run()
    at = page(filled)
    at.button(key="run_now").click().run()
    assert "nothing new" in at.success[0].value


def test_a_failing_step_is_on_top_of_the_page_until_it_succeeds(filled):
    # given a file that a load cannot take: bronze has lost a column
    filled.answer("ALTER TABLE firn_landing.bronze.orders RENAME COLUMN amount TO total")
    filled.load("customers", "customer_id,city,age,updated_at\n5,Lima,20,2024-03-01 00:00:00")
    filled.duck("INSERT INTO firn_landing.bronze.orders (order_id, _file_name, _row_number, _content_key, _modified_at, _loaded_at) "
                "SELECT '9', 'orders/x', 1, 'k9', _loaded_at, _loaded_at + INTERVAL 1 MINUTE FROM firn_landing.bronze.customers LIMIT 1")  # fmt: skip
    at = page(filled)
    at.button(key="run_now").click().run()
    # then the page drawn after the press says so, and names step, error and what to do
    assert metrics(at)["Last run"] == "failing"
    says = " ".join(error.value for error in at.error)
    assert "load orders" in says and "contract" in says and "the error names the fix" in says
    assert "amount" in at.code[0].value.lower()
    # and it is gone when the cause is mended
    filled.answer("ALTER TABLE firn_landing.bronze.orders RENAME COLUMN total TO amount")
    at.button(key="resume").click().run()
    assert "made again" in at.success[0].value
    at = page(filled)
    assert metrics(at)["Last run"] == "succeeded" and not at.error
