"""Objects that the local account remembers and shows, and that do nothing here: monitors, warehouses, Streamlit pages.

docs.snowflake.com/en/sql-reference/sql/create-resource-monitor, …/create-warehouse, …/create-streamlit.
What CREATE answers says so.
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
from local.version_files import file_in

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

Handler = Callable[..., Answer]
OF_ACCOUNT = ("RESOURCE MONITOR", "WAREHOUSE")
NOT_DONE = {
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
        if kind == "STREAMLIT":
            check_page(account, session, name, said)
        account.catalog.put(kind.lower(), name, database=database, schema=schema, said=said, state="suspended", owner=session.role)
        return status(f"{kind.capitalize()} {name} successfully created. Recorded only: {NOT_DONE[kind]}.")

    return made


def check_page(account: Account, session: Session, name: str, said: str) -> None:
    """FROM and MAIN_FILE of a page in an application: the folder is below the version's root, the file in it.

    docs.snowflake.com/en/developer-guide/native-apps/adding-streamlit
    """
    source, options = page_parts(said)
    if unknown := set(options) - {"MAIN_FILE", "QUERY_WAREHOUSE", "COMMENT", "TITLE", "RUNTIME_NAME"}:
        raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'STREAMLIT'")
    if session.app is None or not source.startswith("/"):
        raise refused(f"Streamlit {name}: the local account records pages of applications, FROM '/folder' MAIN_FILE = 'file'.")
    folder = version_folder(account, account.catalog.get("application", session.app))
    page = str(options.get("MAIN_FILE", "streamlit_app.py"))
    if file_in(folder, f"{source.strip('/')}/{page.lstrip('/')}") is None:
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
    ("SHOW", "STREAMLITS"): show_pages,
    ("SHOW", "RESOURCE", "MONITORS"): show_of_account("RESOURCE MONITOR", "RESOURCE MONITORS"),
}
