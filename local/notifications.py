"""Notification integrations (mail, webhook, SNS topic), the secrets of webhooks, and what sends by them; messages arrive in the outbox.

docs.snowflake.com/en/sql-reference/sql/create-notification-integration, …/create-secret,
…/sql-reference/stored-procedures/system_send_snowflake_notification, …/system_send_email, …/functions/notification_history.
Differs: addresses need no user who has verified them; a webhook's answer is made up (a body that is no JSON under a JSON header is refused, as
the receivers do); the text of a secret is not kept, and eight stars stand where it would.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

from local.answer import Answer, status, table
from local.catalog import Thing
from local.errors import exists, failed, missing, refused, syntax
from local.grants import holds, may
from local.outbox import Message
from local.pipes_access import IAM_USER_ARN, created, like
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

KIND = "notification integration"
COMMON = {"TYPE", "ENABLED", "COMMENT"}
OPTIONS = {
    "EMAIL": COMMON | {"ALLOWED_RECIPIENTS", "DEFAULT_RECIPIENTS", "DEFAULT_SUBJECT"},
    "WEBHOOK": COMMON | {"WEBHOOK_URL", "WEBHOOK_SECRET", "WEBHOOK_BODY_TEMPLATE", "WEBHOOK_HEADERS"},
    "QUEUE": COMMON | {"DIRECTION", "NOTIFICATION_PROVIDER", "AWS_SNS_TOPIC_ARN", "AWS_SNS_ROLE_ARN"},
}
NEEDED = {
    "EMAIL": ("ENABLED",),
    "WEBHOOK": ("ENABLED", "WEBHOOK_URL"),
    "QUEUE": ("ENABLED", "DIRECTION", "NOTIFICATION_PROVIDER", "AWS_SNS_TOPIC_ARN", "AWS_SNS_ROLE_ARN"),
}
URLS = (
    r"https://hooks\.slack\.com/services/.+", r"https://[\w.-]+\.logic\.azure\.com/workflows/.+",
    r"https://default[\w.-]+\.environment\.api\.powerplatform\.com/powerautomate/.+", r"https://events\.pagerduty\.com/v2/enqueue",
    r"https://api-private\.atlassian\.com/automation/webhooks/jira/.+", r"https://[\w-]+\.service-now\.com/.+",
)  # fmt: skip
SECRET, MESSAGE, STARS = "SNOWFLAKE_WEBHOOK_SECRET", "SNOWFLAKE_WEBHOOK_MESSAGE", "********"
MOST_RECIPIENTS, LONGEST_SUBJECT = 50, 256
ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+")
CONTENT_TYPES = ("text/plain", "text/html", "application/json")


# --- integrations


def create(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.expect("NOTIFICATION", "INTEGRATION")
    lenient = reader.words("IF", "NOT", "EXISTS")
    if replace and lenient:
        raise syntax("options OR REPLACE and IF NOT EXISTS are incompatible")
    (name,) = reader.name()
    before = account.catalog.get(KIND, name)
    if before and lenient:
        return status(f"{name} already exists, statement succeeded.")
    if before and not replace:
        raise exists(name)
    if session.app:
        raise refused(f"An application cannot make integrations, nor be given one by a reference: {name} belongs in setup_sql.")
    options = checked(account, session, name, reader.options())
    account.catalog.put(KIND, name, options=options, owner=session.role)
    return status(f"Integration {name} successfully created.")


def checked(account: Account, session: Session, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of one kind, in upper case; raises for what is missing, unknown or not allowed."""
    kind = str(options.get("TYPE", "")).upper()
    if kind not in OPTIONS:
        raise refused(f"Integration {name}: the local account has notification integrations with TYPE = EMAIL, WEBHOOK and QUEUE, not '{kind}'.")
    if unknown := set(options) - OPTIONS[kind]:
        raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'NOTIFICATION INTEGRATION' of type {kind}")
    for option in NEEDED[kind]:
        if option not in options:
            raise syntax(f"Missing option(s): [{option}]")
    if not isinstance(options["ENABLED"], bool):
        raise syntax(f"invalid value [{options['ENABLED']}] for property 'ENABLED': TRUE or FALSE")
    {"EMAIL": check_mail, "WEBHOOK": check_webhook, "QUEUE": check_queue}[kind](account, session, options)
    return {**options, "TYPE": kind}


def check_mail(account: Account, session: Session, options: dict[str, Any]) -> None:
    for option in ("ALLOWED_RECIPIENTS", "DEFAULT_RECIPIENTS"):
        addresses = options.get(option, [])
        if len(addresses) > MOST_RECIPIENTS:
            raise syntax(f"{option}: at most {MOST_RECIPIENTS} addresses")
        if wrong := [address for address in addresses if not ADDRESS.fullmatch(address)]:
            raise syntax(f"{option}: '{wrong[0]}' is not an e-mail address")
    if len(options.get("DEFAULT_SUBJECT", "")) > LONGEST_SUBJECT:
        raise syntax(f"DEFAULT_SUBJECT: at most {LONGEST_SUBJECT} characters")


def check_webhook(account: Account, session: Session, options: dict[str, Any]) -> None:
    if not any(re.fullmatch(url, options["WEBHOOK_URL"]) for url in URLS):
        raise syntax(
            f"invalid value '{options['WEBHOOK_URL']}' for property 'WEBHOOK_URL': Snowflake sends to Slack, Microsoft Teams, PagerDuty, Jira and "
            "ServiceNow only, by https and without a port"
        )
    if "WEBHOOK_BODY_TEMPLATE" in options and "CONTENT-TYPE" not in options.get("WEBHOOK_HEADERS", {}):
        raise syntax("WEBHOOK_BODY_TEMPLATE needs WEBHOOK_HEADERS with 'Content-Type'")
    if secret := options.get("WEBHOOK_SECRET"):
        options["WEBHOOK_SECRET"] = ".".join(session.resolve(Reader(secret).name()))
        secret_for(account, session, options["WEBHOOK_SECRET"], "USAGE")


def check_queue(account: Account, session: Session, options: dict[str, Any]) -> None:
    if str(options["DIRECTION"]).upper() != "OUTBOUND" or str(options["NOTIFICATION_PROVIDER"]).upper() != "AWS_SNS":
        raise refused("The local account has queues with DIRECTION = OUTBOUND and NOTIFICATION_PROVIDER = AWS_SNS only.")
    for option, form in (("AWS_SNS_TOPIC_ARN", r"arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w-]+"), ("AWS_SNS_ROLE_ARN", r"arn:aws[\w-]*:iam::\d{12}:role/.+")):
        if not re.fullmatch(form, options[option]):
            raise syntax(f"invalid value '{options[option]}' for property '{option}'")


def alter(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "NOTIFICATION", "INTEGRATION")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    thing = account.catalog.get(KIND, name)
    if thing is None:
        if lenient:
            return status("Statement executed successfully.")
        raise missing("Integration", name)
    reader.expect("SET")
    account.catalog.change(thing, options=checked(account, session, name, {**thing["options"], **reader.options()}))
    return status("Statement executed successfully.")


def drop(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "NOTIFICATION", "INTEGRATION")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    if not account.catalog.drop(KIND, name) and not lenient:
        raise missing("Integration", name)
    return status(f"{name} successfully dropped.")


def show(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "NOTIFICATION", "INTEGRATIONS")
    pattern = reader.string() if reader.words("LIKE") else None
    rows = [
        (one.name, shown_type(one["options"]), "NOTIFICATION", str(one["options"]["ENABLED"]).lower(), one["options"].get("COMMENT"), created(one), one["options"].get("DIRECTION"))
        for one in account.catalog.find(KIND)
        if like(pattern, one.name)
    ]
    return table("name type category enabled comment created_on:timestamp_ltz direction", rows)


def shown_type(options: dict[str, Any]) -> str:
    return "QUEUE - AWS_SNS" if options["TYPE"] == "QUEUE" else options["TYPE"]


def describe(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("NOTIFICATION", "INTEGRATION")
    (name,) = reader.name()
    return described(account, name)


def described(account: Account, name: str) -> Answer:
    thing = account.catalog.get(KIND, name)
    if thing is None:
        raise missing("Integration", name)
    rows = [(key, "Boolean" if isinstance(value, bool) else "String", plain(value), "") for key, value in thing["options"].items() if key != "TYPE"]
    if thing["options"]["TYPE"] == "QUEUE":
        rows += [("SF_AWS_IAM_USER_ARN", "String", IAM_USER_ARN, ""), ("SF_AWS_EXTERNAL_ID", "String", f"FIRN_LOCAL_SFCRole=2_{name}=", "")]
    return table("property property_type property_value property_default", rows)


def plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


# --- secrets of webhooks


def create_secret(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.expect("SECRET")
    lenient = reader.words("IF", "NOT", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    if account.catalog.get("secret", name, database=database, schema=schema) and not replace:
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(name)
    options = reader.options()
    if str(options.get("TYPE", "")).upper() != "GENERIC_STRING":
        raise refused("The local account has secrets with TYPE = GENERIC_STRING only.")
    if not options.get("SECRET_STRING"):
        raise syntax("Missing option(s): [SECRET_STRING]")
    account.catalog.put("secret", name, database=database, schema=schema, owner=session.role, comment=options.get("COMMENT", ""))
    return status(f"Secret {name} successfully created.")


def drop_secret(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "SECRET")
    lenient = reader.words("IF", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    if not account.catalog.drop("secret", name, database=database, schema=schema) and not lenient:
        raise missing("Secret", name)
    return status(f"{name} successfully dropped.")


def secret_for(account: Account, session: Session, full: str, privilege: str) -> None:
    """Raises, as if it were not there, when the session may not use a secret."""
    place = tuple(full.split("."))
    found = account.catalog.get("secret", place[2], database=place[0], schema=place[1])
    if found is None or not (found["owner"] == session.role or may(account, session, privilege, place)):
        raise missing("Secret", full)


# --- sending


def send_notification(account: Account, session: Session, messages: Any = None, configurations: Any = None) -> str:
    """SYSTEM$SEND_SNOWFLAKE_NOTIFICATION: every message that suits an integration, by each of the integrations named."""
    contents = one_each(objects(messages, "message"), "message content type")
    wanted = one_each(objects(configurations, "integration configuration"), "notification integration")
    if wrong := set(contents) - set(CONTENT_TYPES):
        raise failed(f"Invalid message content type '{sorted(wrong)[0]}': expected one of {', '.join(CONTENT_TYPES)}.")
    ready = [
        message
        for name, overrides in wanted.items()
        for integration in [usable(account, session, name)]
        for message in made(account, session, integration, contents, overrides)
    ]
    for message in ready:  # nothing is sent unless everything can be
        account.outbox.put(handed_over(account, message))
    return "Enqueued notifications"


def send_email(account: Account, session: Session, integration: Any, addresses: Any, subject: Any, content: Any, mime_type: Any = "text/plain") -> str:
    """SYSTEM$SEND_EMAIL: docs.snowflake.com/en/sql-reference/stored-procedures/system_send_email"""
    if mime_type not in ("text/plain", "text/html"):
        raise failed(f"SYSTEM$SEND_EMAIL: invalid MIME type '{mime_type}': text/plain or text/html.")
    if not subject or not content:
        raise failed("SYSTEM$SEND_EMAIL: subject and content may not be empty.")
    found = usable(account, session, str(integration))
    if found["options"]["TYPE"] != "EMAIL":
        raise failed(f"SYSTEM$SEND_EMAIL: integration {found.name} is not of type EMAIL.")
    wanted = {"subject": subject, "toAddress": [part.strip() for part in str(addresses).split(",")]}
    for message in mails(found, {str(mime_type): str(content)}, wanted):
        account.outbox.put(message)
    return "true"


def objects(said: Any, what: str) -> list[dict[str, Any]]:
    """One JSON text or an array of them, as objects."""
    try:
        found = json.loads(said)
        listed = found if isinstance(found, list) else [found]
        made = [json.loads(item) if isinstance(item, str) else item for item in listed]
    except (TypeError, ValueError):
        raise failed(f"Invalid {what}: '{str(said)[:80]}' is not JSON.") from None
    if not made or not all(isinstance(item, dict) and len(item) == 1 for item in made):
        raise failed(f"Invalid {what}: expected an object with one property, or an array of such.")
    return made


def one_each(items: list[dict[str, Any]], what: str) -> dict[str, Any]:
    names = [name for item in items for name in item]
    if len(set(names)) < len(names):
        raise failed(f"The array contains more than one object for the same {what}.")
    return {name: value for item in items for name, value in item.items()}


def usable(account: Account, session: Session, name: str) -> Thing:
    """An enabled integration that the session's role, or the application, may use."""
    found = account.catalog.get(KIND, Reader(name).name()[-1])
    if found is None or not ((found["owner"] == session.role and not session.app) or holds(account, session, "USAGE", (found.name,))):
        raise missing("Integration", name)
    if not found["options"]["ENABLED"]:
        raise failed(f"Integration {found.name} is not enabled.")
    return found


def made(account: Account, session: Session, integration: Thing, contents: dict[str, Any], overrides: Any) -> list[Message]:
    """The messages of one integration: mails as text or HTML, a webhook's request, a topic's message."""
    if not isinstance(overrides, dict):
        raise failed(f"Invalid integration configuration of {integration.name}: expected an object.")
    kind = integration["options"]["TYPE"]
    if kind == "EMAIL":
        return mails(integration, contents, overrides)
    if overrides:
        raise failed(f"Integration {integration.name} of type {kind} takes no {sorted(overrides)[0]}.")
    if kind == "WEBHOOK":
        return [webhook(account, session, integration, str(next(iter(contents.values()))))]
    preferred = "application/json" if "application/json" in contents else next(iter(contents))
    return [Message(integration.name, "QUEUE", (integration["options"]["AWS_SNS_TOPIC_ARN"],), preferred, str(contents[preferred]))]


def mails(integration: Thing, contents: dict[str, Any], overrides: dict[str, Any]) -> list[Message]:
    options = integration["options"]
    if unknown := set(overrides) - {"subject", "toAddress", "ccAddress", "bccAddress"}:
        raise failed(f"Invalid property '{sorted(unknown)[0]}' for an e-mail.")
    to = overrides.get("toAddress") or options.get("DEFAULT_RECIPIENTS") or []
    everybody = [*to, *(overrides.get("ccAddress") or []), *(overrides.get("bccAddress") or [])]
    subject = overrides.get("subject") or options.get("DEFAULT_SUBJECT") or "Snowflake Email Notification"
    if not to:
        raise failed(f"Integration {integration.name}: no recipients: neither toAddress nor DEFAULT_RECIPIENTS is set.")
    if len(subject) > LONGEST_SUBJECT:
        raise failed(f"The subject has {len(subject)} characters; at most {LONGEST_SUBJECT} are allowed.")
    allowed = options.get("ALLOWED_RECIPIENTS")
    if allowed is not None and (strangers := [address for address in everybody if address not in allowed]):
        raise failed(f"Email recipients in the given list at indexes {[everybody.index(s) + 1 for s in strangers]} are not allowed. Either these email addresses are not yet validated or do not belong to any user in the current account.")
    kind = next((known for known in ("text/html", "text/plain") if known in contents), None)
    if kind is None:
        raise failed(f"Integration {integration.name} of type EMAIL sends text/plain and text/html, not {', '.join(contents)}.")
    return [Message(integration.name, "EMAIL", tuple(everybody), kind, str(contents[kind]), subject)]


def webhook(account: Account, session: Session, integration: Thing, content: str) -> Message:
    """The request: template and headers with message and secret in the place of their placeholders."""
    options = integration["options"]
    if options.get("WEBHOOK_SECRET"):
        secret_for(account, session, options["WEBHOOK_SECRET"], "READ")
    hidden = lambda text: text.replace(SECRET, STARS) if options.get("WEBHOOK_SECRET") else text  # noqa: E731
    body = hidden(options.get("WEBHOOK_BODY_TEMPLATE", MESSAGE).replace(MESSAGE, content))
    headers = {name: hidden(str(value)) for name, value in options.get("WEBHOOK_HEADERS", {}).items()}
    content_type = headers.get("CONTENT-TYPE", "text/plain")
    error = None
    if content_type == "application/json":
        try:
            json.loads(body)
        except ValueError as e:
            error = f"400 invalid_payload: {e}"
    return Message(integration.name, "WEBHOOK", (hidden(options["WEBHOOK_URL"]),), content_type, body, headers=headers, error=error)


def handed_over(account: Account, message: Message) -> Message:
    """A message to a topic is published there, where the local account has the topic."""
    if message.kind != "QUEUE" or account.s3 is None:
        return message
    try:
        account.s3.client("sns").publish(TopicArn=message.sent_to[0], Message=message.body)
    except Exception as e:  # whatever AWS answers; the statement that sent it is over by then
        return Message(**{**message.__dict__, "error": str(e)})
    return message


def notification_history(account: Account, session: Session, arguments: dict[str, Any]) -> Answer:
    """Rows of the last 14 days, the newest first."""
    name, limit = arguments.get("INTEGRATION_NAME"), int(arguments.get("RESULT_LIMIT") or 100)
    start, end = (as_time(arguments.get(key)) for key in ("START_TIME", "END_TIME"))
    rows = [
        (at, at, "STORED_PROCEDURE", message.integration, message.status, message.error, message.id, 1, "{}")
        for message in reversed(account.outbox.all())
        for at in [dt.datetime.fromisoformat(message.created)]
        if (not name or message.integration == str(name).upper()) and (start is None or at >= start) and (end is None or at <= end)
    ]
    columns = "created:timestamp_ltz processed:timestamp_ltz message_source integration_name status error_message id attempt:fixed message_source_info"
    return table(columns, rows[:limit])


def as_time(value: Any) -> dt.datetime | None:
    if value is None or not isinstance(value, dt.datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


HELPERS = {
    "TEXT_PLAIN": "_sf.text_plain",
    "TEXT_HTML": "_sf.text_html",
    "APPLICATION_JSON": "_sf.application_json",
    "INTEGRATION": "_sf.integration",
    "SANITIZE_WEBHOOK_CONTENT": "_sf.sanitize_webhook_content",
}  # of SNOWFLAKE.NOTIFICATION, by their macros in functions.py
STATEMENTS = {
    ("CREATE", "NOTIFICATION", "INTEGRATION"): create,
    ("ALTER", "NOTIFICATION", "INTEGRATION"): alter,
    ("DROP", "NOTIFICATION", "INTEGRATION"): drop,
    ("SHOW", "NOTIFICATION", "INTEGRATIONS"): show,
    ("DESCRIBE", "NOTIFICATION", "INTEGRATION"): describe,
    ("CREATE", "SECRET"): create_secret,
    ("DROP", "SECRET"): drop_secret,
}
PROCEDURES = {"SYSTEM$SEND_SNOWFLAKE_NOTIFICATION": send_notification, "SYSTEM$SEND_EMAIL": send_email}
TABLE_FUNCTIONS = {"NOTIFICATION_HISTORY": notification_history}
