"""Objects that the local account remembers and shows, and that do nothing here: alerts, notification integrations, monitors,
warehouses, Streamlit pages.

docs.snowflake.com/en/sql-reference/sql/create-alert, …/create-notification-integration, …/create-resource-monitor, …/create-warehouse,
…/create-streamlit.
What CREATE answers says so, and what would make one act (EXECUTE ALERT, SYSTEM$SEND_EMAIL) is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local.answer import Answer, status, table
from local.apps import version_folder
from local.errors import exists, missing, refused, syntax
from local.packages import liked
from local.pipes_access import created
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

Handler = Callable[..., Answer]
OF_ACCOUNT = ("NOTIFICATION INTEGRATION", "RESOURCE MONITOR", "WAREHOUSE")
NOT_DONE = {
    "ALERT": "the local account does not run alerts",
    "NOTIFICATION INTEGRATION": "the local account sends no messages",
    "RESOURCE MONITOR": "nothing costs credits here",
    "WAREHOUSE": "everything runs in the account's process",
    "STREAMLIT": "the local account serves no pages; the same page on a laptop: firn console",
}


def place(session: Session, kind: str, reader: Reader) -> tuple[str, str, str]:
    """Database, schema and name; the first two are empty for objects of the account."""
    return ("", "", reader.name()[-1]) if kind in OF_ACCOUNT else session.resolve(reader.name())


def create(kind: str) -> Handler:
    def made(account: Account, session: Session, reader: Reader) -> Answer:
        reader.expect("CREATE")
        replace = reader.words("OR", "REPLACE")
        reader.expect(*kind.split())
        lenient = reader.words("IF", "NOT", "EXISTS")
        database, schema, name = place(session, kind, reader)
        before = account.catalog.get(kind.lower(), name, database=database, schema=schema)
        if before and lenient:
            return status(f"{name} already exists, statement succeeded.")
        if before and not replace:
            raise exists(name)
        said = reader.rest()
        check(kind, name, said)
        if kind == "STREAMLIT":
            check_page(account, session, name, said)
        account.catalog.put(kind.lower(), name, database=database, schema=schema, said=said, state="suspended", owner=session.role)
        return status(f"{kind.capitalize()} {name} successfully created. Recorded only: {NOT_DONE[kind]}.")

    return made


def check(kind: str, name: str, said: str) -> None:
    """What Snowflake asks of the statement, as far as it can be seen without carrying it out."""
    reader = Reader(said)
    if kind == "ALERT":
        options = reader.options("IF")
        reader.expect("IF", "(", "EXISTS")
        reader.parenthesised()
        reader.expect(")", "THEN")
        if not reader.rest():
            raise syntax(f"Alert {name}: THEN <action> is missing")
        if unknown := set(options) - {"SCHEDULE", "WAREHOUSE", "COMMENT", "CONFIG", "RUNBOOK", "SUSPEND_ALERT_AFTER_NUM_FAILURES"}:
            raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'ALERT'")
    if kind == "NOTIFICATION INTEGRATION":
        options = reader.options()
        needed = {"EMAIL": ["ENABLED"], "QUEUE": ["ENABLED", "DIRECTION", "NOTIFICATION_PROVIDER", "AWS_SNS_TOPIC_ARN", "AWS_SNS_ROLE_ARN"]}
        kind_of = str(options.get("TYPE", "")).upper()
        if kind_of not in needed:
            raise refused("The local account records notification integrations with TYPE = EMAIL and TYPE = QUEUE only.")
        for option in needed[kind_of]:
            if option not in options:
                raise syntax(f"Missing option(s): [{option}]")


def check_page(account: Account, session: Session, name: str, said: str) -> None:
    """FROM and MAIN_FILE of a page in an application: the folder is below the version's root, the file in it.

    docs.snowflake.com/en/developer-guide/native-apps/adding-streamlit
    """
    source, options = page_parts(said)
    if unknown := set(options) - {"MAIN_FILE", "QUERY_WAREHOUSE", "COMMENT", "TITLE", "RUNTIME_NAME"}:
        raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'STREAMLIT'")
    if session.app is None or not source.startswith("/"):
        raise refused(f"Streamlit {name}: the local account records pages of applications, FROM '/folder' MAIN_FILE = 'file'.")
    folder = version_folder(account, account.catalog.get("application", session.app)) / source.strip("/")
    page = str(options.get("MAIN_FILE", "streamlit_app.py"))
    if not (folder / page.lstrip("/")).is_file():
        raise missing("File", f"{source}/{page.lstrip('/')}")


def page_parts(said: str) -> tuple[str, dict[str, Any]]:
    """The folder after FROM, empty when there is none, and the options."""
    reader = Reader(said)
    source = reader.string() if reader.words("FROM") else ""
    return source, reader.options()


def find(account: Account, session: Session, kind: str, reader: Reader) -> tuple[str, Thing | None]:
    database, schema, name = place(session, kind, reader)
    return name, account.catalog.get(kind.lower(), name, database=database, schema=schema)


def drop(kind: str) -> Handler:
    def gone(account: Account, session: Session, reader: Reader) -> Answer:
        reader.expect("DROP", *kind.split())
        lenient = reader.words("IF", "EXISTS")
        name, thing = find(account, session, kind, reader)
        if thing is None and not lenient:
            raise missing(kind, name)
        if thing is not None:
            account.catalog.drop(kind.lower(), thing.name, database=thing.database, schema=thing.schema)
        return status(f"{name} successfully dropped.")

    return gone


def alter_alert(account: Account, session: Session, reader: Reader) -> Answer:
    """RESUME and SUSPEND change what SHOW ALERTS says, and nothing else."""
    reader.expect("ALTER", "ALERT")
    lenient = reader.words("IF", "EXISTS")
    name, alert = find(account, session, "ALERT", reader)
    if alert is None:
        if lenient:
            return status("Statement executed successfully.")
        raise missing("Alert", name)
    if not (reader.starts("RESUME") or reader.starts("SUSPEND")):
        raise refused("The local account records ALTER ALERT … RESUME and SUSPEND only.")
    account.catalog.change(alert, state="started" if reader.words("RESUME") else "suspended")
    return status(f"Statement executed successfully. Recorded only: {NOT_DONE['ALERT']}.")


def execute_alert(account: Account, session: Session, reader: Reader, params: Any = None) -> Answer:
    raise refused(f"EXECUTE ALERT: {NOT_DONE['ALERT']}.")


def show_alerts(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "ALERTS")
    rows = [
        (created(alert), alert.name, alert.database, alert.schema, alert["owner"], options.get("COMMENT", ""), options.get("WAREHOUSE"),
         options.get("SCHEDULE"), alert["state"], condition, action)
        for alert in liked(account, reader, "alert")
        for options, condition, action in [parts(alert["said"])]
    ]  # fmt: skip
    return table("created_on:timestamp_ltz name database_name schema_name owner comment warehouse schedule state condition action", rows)


def parts(said: str) -> tuple[dict[str, Any], str, str]:
    reader = Reader(said)
    options = reader.options("IF")
    reader.expect("IF", "(", "EXISTS")
    condition = reader.parenthesised().strip()
    reader.expect(")", "THEN")
    return options, condition, reader.rest()


def show_pages(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "STREAMLITS")
    rows = [
        (created(page), page.name, page.database, page.schema, page["owner"], options.get("TITLE"), options.get("COMMENT", ""))
        for page in liked(account, reader, "streamlit")
        for _, options in [page_parts(page["said"])]
    ]
    return table("created_on:timestamp_ltz name database_name schema_name owner title comment", rows)


def show_of_account(kind: str, words: str) -> Handler:
    def shown(account: Account, session: Session, reader: Reader) -> Answer:
        reader.expect("SHOW", *words.split())
        rows = [(created(thing), thing.name, thing["owner"], thing["said"]) for thing in liked(account, reader, kind.lower())]
        return table("created_on:timestamp_ltz name owner definition", rows)

    return shown


STATEMENTS = {
    **{("CREATE", *kind.split()): create(kind) for kind in NOT_DONE},
    **{("DROP", *kind.split()): drop(kind) for kind in NOT_DONE},
    ("ALTER", "ALERT"): alter_alert,
    ("EXECUTE", "ALERT"): execute_alert,
    ("SHOW", "ALERTS"): show_alerts,
    ("SHOW", "NOTIFICATION", "INTEGRATIONS"): show_of_account("NOTIFICATION INTEGRATION", "NOTIFICATION INTEGRATIONS"),
    ("SHOW", "STREAMLITS"): show_pages,
    ("SHOW", "RESOURCE", "MONITORS"): show_of_account("RESOURCE MONITOR", "RESOURCE MONITORS"),
}
