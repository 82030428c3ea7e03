"""The administrator's scripts of the alerts, run as `snow sql -f` would, on an account in this process; and what arrives in its outbox."""

from __future__ import annotations

import io
import json
import re
from typing import Any

from snowflake.connector.util_text import split_statements

from local.account import Account
from local.outbox import Message
from local.place import ROOT

SCRIPTS = ("08_notifications", "10_alerts", "11_webhook", "12_topic")


def rendered(name: str, **given: str) -> str:
    """A script with its `<% name | default("…") %>` filled in."""
    text = (ROOT / f"setup_sql/{name}.sql").read_text()
    return re.sub(r"<% (\w+) \| default\(\"([^\"]*)\"\) %>", lambda found: given.get(found[1], found[2]), text)


def run_script(account: Account, name: str, **given: str) -> None:
    session = account.session()
    for sql, _ in split_statements(io.StringIO(rendered(name, **given)), remove_comments=True):
        if sql.strip(" ;\n"):
            account.answer(session, sql)
    account.forget(session)


def watched(account: Account) -> None:
    """Everything that makes alerts of an account go out, by all three ways; the role reads what the application's admin role would."""
    session = account.session()
    for sql in ("CREATE ROLE IF NOT EXISTS firn_transformer", "CREATE ROLE IF NOT EXISTS firn_loader", "GRANT SELECT ON ALL TABLES IN SCHEMA firn.control TO ROLE firn_transformer"):
        account.answer(session, sql)
    for name in SCRIPTS:
        run_script(account, name)
    account.answer(session, "ALTER ALERT firn_landing.watch.tell SUSPEND")
    account.forget(session)


def look(account: Account) -> str:
    """One run of the alert; gives how it ended."""
    session = account.session()
    account.answer(session, "EXECUTE ALERT firn_landing.watch.tell")
    account.alert_history.wait_idle()
    account.forget(session)
    return account.alert_history.rows()[0][7]


def arrived(account: Account, integration: str) -> list[Message]:
    return [message for message in account.outbox.messages() if message.integration == integration]


def told(account: Account) -> list[dict[str, Any]]:
    """What came through the topic."""
    return [json.loads(message.body) for message in arrived(account, "FIRN_TOPIC")]
