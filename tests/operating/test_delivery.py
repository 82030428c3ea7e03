"""A row of control.alerts goes out once by each way, whatever fails in between; what the message says, and that a stopped pipeline is told."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator

import pytest

from local.account import Account
from tests.conftest import alone
from tests.operating import watching
from tests.quarantine.rig import Shop

SETTLED = "UPDATE firn_landing.watch.way_out SET since = now()::TIMESTAMP - INTERVAL 1 DAY"


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    with alone(opened.session):
        for table in ("control.pipeline_log", "control.alerts"):
            opened.bench.duck(f"DELETE FROM firn.{table}")
        for table in ("delivered", "stopped"):
            opened.bench.duck(f"DELETE FROM firn_landing.watch.{table}")
        opened.bench.duck(SETTLED)
        opened.bench.account.outbox.db.execute("DELETE FROM message")
        yield opened


def raised(shop: Shop, message: str = "fact fact_orders failed", state: str = "raised", recovers: str | None = None, seconds_ago: int = 0) -> str:
    at, alert_id = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(seconds=seconds_ago), str(uuid.uuid4())
    shop.bench.duck(
        "INSERT INTO firn.control.alerts (alert_id, pipeline, kind, subject, state, severity, message, run_id, happened_at, recovers) "
        "VALUES (?, 'shop', 'failure', 'fact fact_orders', ?, 'error', ?, 'run 1', ?, ?)",
        [alert_id, state, message, at, recovers],
    )
    return alert_id


def answer(shop: Shop, sql: str) -> list:
    return shop.bench.account.answer(shop.bench.account.session("FIRN_LANDING", "WATCH"), sql)


def heard(account: Account, way: str = "FIRN_TOPIC") -> int:
    return len(watching.arrived(account, way))


def test_a_mail_says_what_where_and_when_and_is_told_from_its_recovery(shop):
    account = shop.bench.account
    first = raised(shop, seconds_ago=5)
    raised(shop, "fact fact_orders: fails no longer", "recovered", first)

    assert watching.look(account) == "TRIGGERED"

    mail, recovery = watching.arrived(account, "FIRN_MAIL")
    assert mail.sent_to == ("ops@example.org",)
    assert mail.subject == "Firn shop error: fact fact_orders failed"
    assert recovery.subject == "Firn shop over: fact fact_orders: fails no longer"
    assert {f"alert     {first}", "run       run 1", "pipeline  shop"} <= set(mail.body.splitlines())
    assert f"recovers {first}" in recovery.body
    assert [message["recovers"] for message in watching.told(account)] == [None, first]


def test_a_webhook_s_body_stays_json_and_gives_no_secret_away(shop):
    account = shop.bench.account
    raised(shop, 'the "disk" is C:\\full\nand SNOWFLAKE_WEBHOOK_SECRET more')

    assert watching.look(account) == "TRIGGERED"

    (request,) = watching.arrived(account, "FIRN_WEBHOOK")
    assert json.loads(request.body) == {"text": "Firn shop error: the 'disk' is C:/full and REDACTED more"}
    assert request.sent_to == ("https://hooks.slack.com/services/********",)


def test_a_way_that_fails_holds_up_no_other_and_is_made_up_for_once(shop):
    account = shop.bench.account
    raised(shop)
    answer(shop, "ALTER NOTIFICATION INTEGRATION firn_mail SET ENABLED = FALSE")
    try:
        for _ in range(2):
            assert watching.look(account) == "ACTION_FAILED"
        assert (heard(account, "FIRN_MAIL"), heard(account), heard(account, "FIRN_WEBHOOK")) == (0, 1, 1)
        assert "not enabled" in account.alert_history.rows()[0][9]
    finally:
        answer(shop, "ALTER NOTIFICATION INTEGRATION firn_mail SET ENABLED = TRUE")

    assert watching.look(account) == "TRIGGERED"
    assert watching.look(account) == "CONDITION_FALSE"
    assert (heard(account, "FIRN_MAIL"), heard(account), heard(account, "FIRN_WEBHOOK")) == (1, 1, 1)


def test_two_deliveries_at_once_send_each_message_once(shop):
    account = shop.bench.account
    ids = [raised(shop, seconds_ago=5 - i) for i in range(5)]

    calls = [threading.Thread(target=answer, args=(shop, "CALL firn_landing.watch.deliver()")) for _ in range(3)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()

    assert sorted(message["alert_id"] for message in watching.told(account)) == sorted(ids)
    assert heard(account, "FIRN_MAIL") == 5


def test_an_alert_that_is_committed_late_is_not_passed_over(shop):
    account = shop.bench.account
    raised(shop)
    watching.look(account)

    late = raised(shop, seconds_ago=600)
    watching.look(account)

    assert [message["alert_id"] for message in watching.told(account)][1:] == [late]


def test_a_storm_is_cut_into_looks_and_nothing_of_it_is_lost(shop):
    account = shop.bench.account
    ids = [raised(shop, seconds_ago=100 - i) for i in range(23)]

    watching.look(account)
    assert heard(account) == 20
    watching.look(account)

    assert [message["alert_id"] for message in watching.told(account)] == ids


def test_what_happened_before_a_way_was_opened_is_not_told_by_it_nor_is_its_end(shop):
    first = raised(shop, seconds_ago=3600)
    shop.bench.duck("UPDATE firn_landing.watch.way_out SET since = now()::TIMESTAMP WHERE integration = 'firn_mail'")

    raised(shop, "fact fact_orders: fails no longer", "recovered", first, seconds_ago=-1)

    watching.look(shop.bench.account)

    assert (heard(shop.bench.account, "FIRN_MAIL"), heard(shop.bench.account)) == (0, 2)


def test_a_pipeline_that_has_stopped_is_told_once_and_once_when_it_runs_again(shop):
    account = shop.bench.account

    def ran(minutes_ago: int) -> None:
        at = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(minutes=minutes_ago)
        shop.bench.duck("INSERT INTO firn.control.pipeline_log (run_id, pipeline, step, status, started_at, ended_at) VALUES ('r', 'shop', 'finish', 'ended', ?, ?)", [at, at])

    ran(59)
    assert watching.look(account) == "CONDITION_FALSE"
    shop.bench.duck("DELETE FROM firn.control.pipeline_log")
    ran(61)
    assert [watching.look(account) for _ in range(2)] == ["TRIGGERED", "CONDITION_FALSE"]
    ran(0)
    assert [watching.look(account) for _ in range(2)] == ["TRIGGERED", "CONDITION_FALSE"]

    first, second = watching.told(account)
    assert (first["kind"], first["state"], first["subject"]) == ("stopped", "raised", "shop")
    assert (second["state"], second["recovers"]) == ("recovered", first["alert_id"])
    assert heard(account, "FIRN_MAIL") == 2


def test_the_procedure_lends_its_rights_to_nobody(shop):
    """EXECUTE AS CALLER: who may call it and may not see the alerts sends nothing."""
    raised(shop)
    account = shop.bench.account
    for sql in ("CREATE ROLE IF NOT EXISTS stranger", "GRANT USAGE ON PROCEDURE firn_landing.watch.deliver() TO ROLE stranger"):
        answer(shop, sql)

    with pytest.raises(Exception, match="does not exist or not authorized"):
        account.answer(account.session("FIRN_LANDING", "WATCH", role="stranger"), "CALL firn_landing.watch.deliver()")

    assert heard(account) == 0
