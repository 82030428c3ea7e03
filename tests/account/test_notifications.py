"""Notification integrations on the local account: who may send what to whom, and how it arrives in the outbox."""

from __future__ import annotations

import json

import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account
from local.notifications import notification_history

MAIL = "CREATE NOTIFICATION INTEGRATION mail TYPE = EMAIL ENABLED = TRUE ALLOWED_RECIPIENTS = ('a@b.c', 'd@b.c') DEFAULT_SUBJECT = 'News'"
TOPIC = (
    "CREATE NOTIFICATION INTEGRATION topic ENABLED = TRUE TYPE = QUEUE DIRECTION = OUTBOUND NOTIFICATION_PROVIDER = AWS_SNS "
    "AWS_SNS_TOPIC_ARN = 'arn:aws:sns:us-east-1:123456789012:t' AWS_SNS_ROLE_ARN = 'arn:aws:iam::123456789012:role/r'"
)
SECRET = "CREATE SECRET landing.watch.hook TYPE = GENERIC_STRING SECRET_STRING = 'T/B/verysecret'"
HOOK = (
    "CREATE NOTIFICATION INTEGRATION hook TYPE = WEBHOOK ENABLED = TRUE WEBHOOK_URL = 'https://hooks.slack.com/services/SNOWFLAKE_WEBHOOK_SECRET' "
    "WEBHOOK_SECRET = landing.watch.hook WEBHOOK_BODY_TEMPLATE = '{\"text\": \"SNOWFLAKE_WEBHOOK_MESSAGE\"}' WEBHOOK_HEADERS = ('Content-Type'='application/json')"
)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    one = Account(tmp_path_factory.mktemp("notifications"))
    session = one.session()
    for sql in ("CREATE DATABASE landing", "CREATE SCHEMA landing.watch", "CREATE ROLE sender", "CREATE ROLE reader", MAIL, TOPIC, SECRET, HOOK):
        one.answer(session, sql)
    for name in ("mail", "topic", "hook"):
        one.answer(session, f"GRANT USAGE ON INTEGRATION {name} TO ROLE sender")
    one.answer(session, "GRANT READ ON SECRET landing.watch.hook TO ROLE sender")
    yield one
    one.close()


@pytest.fixture
def call(account):
    account.outbox.db.execute("DELETE FROM message")
    session = account.session("LANDING", "WATCH", role="SENDER")
    return lambda sql, params=None: account.answer(session, sql, params)


def sent(account) -> list[tuple[str, tuple[str, ...], str | None, str]]:
    return [(message.integration, message.sent_to, message.subject, message.body) for message in account.outbox.messages()]


def test_a_mail_by_the_helper_functions_as_the_documentation_shows_it(account, call):
    ((answer,),) = call(
        "CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(SNOWFLAKE.NOTIFICATION.TEXT_PLAIN('a \"message\"'), '{\"mail\": {\"toAddress\": [\"a@b.c\"]}}')"
    )

    assert answer == "Enqueued notifications"
    assert sent(account) == [("MAIL", ("a@b.c",), "News", 'a "message"')]


def test_several_messages_by_several_integrations_in_one_call(account, call):
    call(
        "CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(ARRAY_CONSTRUCT(SNOWFLAKE.NOTIFICATION.TEXT_HTML('<p>x</p>'), SNOWFLAKE.NOTIFICATION.APPLICATION_JSON(?)), "
        "ARRAY_CONSTRUCT(SNOWFLAKE.NOTIFICATION.INTEGRATION('topic'), ?))",
        ['{"n": 1}', '{"mail": {"toAddress": ["d@b.c"], "subject": "S"}}'],
    )

    assert sent(account) == [
        ("TOPIC", ("arn:aws:sns:us-east-1:123456789012:t",), None, '{"n": 1}'),
        ("MAIL", ("d@b.c",), "S", "<p>x</p>"),
    ]


def test_send_email_and_its_answer(account, call):
    assert call("CALL SYSTEM$SEND_EMAIL('mail', 'a@b.c, d@b.c', 'Subject', 'Text')") == [("true",)]
    assert sent(account) == [("MAIL", ("a@b.c", "d@b.c"), "Subject", "Text")]


def test_a_webhook_s_secret_is_put_in_and_kept_nowhere(account, call):
    call("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(SNOWFLAKE.NOTIFICATION.TEXT_PLAIN('hello'), SNOWFLAKE.NOTIFICATION.INTEGRATION('hook'))")

    assert sent(account) == [("HOOK", ("https://hooks.slack.com/services/********",), None, '{"text": "hello"}')]
    assert not [path for path in account.folder.rglob("*") if path.is_file() and b"verysecret" in path.read_bytes()]


def test_a_body_that_its_receiver_does_not_understand_is_a_failure_in_the_history(account, call):
    call("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(?, '{\"hook\": {}}')", [json.dumps({"text/plain": 'a "quoted" word'})])

    assert sent(account) == []
    found = notification_history(account, account.session(), {"INTEGRATION_NAME": "hook"}).rows[0]
    assert found[3:5] == ("HOOK", "FAILURE") and "invalid_payload" in found[5]


@pytest.mark.parametrize(("sql", "message"), [
    pytest.param("CALL SYSTEM$SEND_EMAIL('mail', 'a@b.c, x@y.z', 's', 't')", "not allowed", id="a stranger among the recipients"),
    pytest.param("CALL SYSTEM$SEND_EMAIL('mail', 'a@b.c', '', 't')", "empty", id="no subject"),
    pytest.param("CALL SYSTEM$SEND_EMAIL('mail', 'a@b.c', 's', 't', 'text/markdown')", "MIME", id="a MIME type that does not exist"),
    pytest.param("CALL SYSTEM$SEND_EMAIL('topic', 'a@b.c', 's', 't')", "EMAIL", id="a mail by a queue"),
    pytest.param("CALL SYSTEM$SEND_EMAIL('nothing', 'a@b.c', 's', 't')", "does not exist", id="no such integration"),
    pytest.param("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION('{\"text/plain\": \"x\"}', '{\"mail\": {}}')", "no recipients", id="nobody to send to"),
    pytest.param("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION('{\"application/json\": \"x\"}', '{\"mail\": {\"toAddress\": [\"a@b.c\"]}}')", "EMAIL sends", id="JSON by mail"),
    pytest.param("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION('{\"text/markdown\": \"x\"}', '{\"topic\": {}}')", "content type", id="an unknown content type"),
    pytest.param("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION('hello', '{\"topic\": {}}')", "not JSON", id="text that is no JSON"),
    pytest.param("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION('{\"text/plain\": \"x\"}', ARRAY_CONSTRUCT('{\"topic\": {}}', '{\"topic\": {}}'))", "more than one", id="an integration twice"),
    pytest.param("SELECT SYSTEM$SEND_EMAIL('mail', 'a@b.c', 's', 't')", "SEND_EMAIL", id="a procedure in a SELECT"),
])  # fmt: skip
def test_what_snowflake_does_not_send_is_not_sent(account, call, sql, message):
    with pytest.raises(ProgrammingError, match=message):
        call(sql)

    assert sent(account) == []


def test_who_has_no_usage_of_an_integration_does_not_know_it(account, call):
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        account.answer(account.session("LANDING", "WATCH", role="READER"), "CALL SYSTEM$SEND_EMAIL('mail', 'a@b.c', 's', 't')")
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        account.answer(account.session("LANDING", "WATCH", app="FIRN"), "CALL SYSTEM$SEND_EMAIL('mail', 'a@b.c', 's', 't')")


def test_a_queue_tells_whom_its_role_must_trust(call):
    properties = {row[0]: row[2] for row in call("DESC INTEGRATION topic")}

    assert properties["SF_AWS_IAM_USER_ARN"].startswith("arn:aws:iam::") and properties["SF_AWS_EXTERNAL_ID"]
    assert properties == {row[0]: row[2] for row in call("DESC NOTIFICATION INTEGRATION topic")}


@pytest.mark.parametrize(("sql", "message"), [
    pytest.param("CREATE NOTIFICATION INTEGRATION x ENABLED = TRUE TYPE = QUEUE DIRECTION = OUTBOUND", "Missing option", id="a queue without its topic"),
    pytest.param(TOPIC.replace("topic ENABLED", "x ENABLED").replace("arn:aws:sns:us-east-1:123456789012:t", "t"), "AWS_SNS_TOPIC_ARN", id="a topic without its ARN"),
    pytest.param("CREATE NOTIFICATION INTEGRATION x ENABLED = TRUE TYPE = PIGEON", "PIGEON", id="another kind of way out"),
    pytest.param("CREATE NOTIFICATION INTEGRATION x ENABLED = TRUE TYPE = EMAIL WEBHOOK_URL = 'https://x'", "WEBHOOK_URL", id="an option of another kind"),
    pytest.param("CREATE NOTIFICATION INTEGRATION x ENABLED = TRUE TYPE = EMAIL ALLOWED_RECIPIENTS = ('nobody')", "nobody", id="what is no address"),
    pytest.param(HOOK.replace("INTEGRATION hook", "INTEGRATION x").replace("hooks.slack.com/services", "evil.example"), "WEBHOOK_URL", id="a webhook of somebody else"),
    pytest.param(HOOK.replace("INTEGRATION hook", "INTEGRATION x").replace("WEBHOOK_HEADERS", "COMMENT = 'x' --"), "Content-Type", id="a template without a content type"),
    pytest.param(HOOK.replace("INTEGRATION hook", "INTEGRATION x").replace("watch.hook", "watch.gone"), "does not exist", id="a secret that is not there"),
    pytest.param(MAIL, "already exists", id="a name that is taken"),
    pytest.param("CREATE SECRET landing.watch.y TYPE = PASSWORD USERNAME = 'u' PASSWORD = 'p'", "GENERIC_STRING", id="another kind of secret"),
])  # fmt: skip
def test_what_cannot_be_made_is_refused(account, sql, message):
    with pytest.raises(ProgrammingError, match=message):
        account.answer(account.session("LANDING", "WATCH"), sql)
