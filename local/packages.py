"""Application packages: a database with a stage whose files `snow app` keeps in step with the project.

docs.snowflake.com/en/sql-reference/sql/create-application-package, alter-application-package.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from local import stages
from local.answer import Answer, status, table
from local.catalog import Thing
from local.dialect_names import quoted
from local.errors import exists, failed, missing, refused
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session


def create_package(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE", "APPLICATION", "PACKAGE")
    lenient = reader.words("IF", "NOT", "EXISTS")
    (name,) = reader.name()
    if account.catalog.get("application package", name):
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(name)
    said = reader.options()
    session.connection.cursor().execute(f"CREATE DATABASE {quoted(name)}")
    account.catalog.put("application package", name, comment=str(said.get("COMMENT", "")), distribution=str(said.get("DISTRIBUTION", "INTERNAL")))
    session.connection.cursor().execute(f"USE DATABASE {quoted(name)}")
    return status(f"Application Package '{name}' created successfully.")


def show_packages(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "APPLICATION", "PACKAGES")
    rows = [(p.created_at, p.name, "N", "N", p["distribution"], session.role, p["comment"]) for p in liked(account, reader, "application package")]
    return table("created_on name is_default is_current distribution owner comment", rows)


def describe_package(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect(reader.peek(), "APPLICATION", "PACKAGE")
    (name,) = reader.name()
    package = account.catalog.get("application package", name) or raise_(missing("Application package", name))
    return table("property value", [("name", name), ("owner", session.role), ("comment", package["comment"]), ("distribution", package["distribution"])])


def alter_package(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "APPLICATION", "PACKAGE")
    (name,) = reader.name()
    package = account.catalog.get("application package", name) or raise_(missing("Application package", name))
    if not reader.words("SET"):
        raise refused("ALTER APPLICATION PACKAGE: the local account has SET DISTRIBUTION and SET COMMENT only; versions and release channels are not emulated")
    said = {key.lower(): str(value) for key, value in reader.options().items()}
    unknown = set(said) - {"distribution", "comment", "enable_release_channels"}
    if unknown:
        raise refused(f"ALTER APPLICATION PACKAGE: the local account does not know {', '.join(sorted(unknown))}")
    account.catalog.change(package, **said)
    return status("Statement executed successfully.")


def drop_package(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "APPLICATION", "PACKAGE")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    if account.catalog.get("application package", name) is None:
        if lenient:
            return status("Drop statement executed successfully.")
        raise missing("Application package", name)
    installed = [a.name for a in account.catalog.find("application") if a["package"] == name]
    if installed:
        raise failed(f"Cannot drop application package {name}: applications {', '.join(installed)} still come from it.")
    drop_database(account, name)
    account.catalog.drop("application package", name)
    return status(f"{name} successfully dropped.")


def raise_(error: Exception) -> Any:
    raise error


def liked(account: Account, reader: Reader, kind: str) -> list[Thing]:
    pattern = None
    if reader.words("LIKE"):
        pattern = reader.string().replace("\\\\", "\\").replace("\\_", "_").replace("%", "*").upper()
    return [t for t in account.catalog.find(kind) if pattern is None or fnmatch.fnmatchcase(t.name.upper(), pattern)]


def drop_database(account: Account, name: str) -> None:
    """Sessions that stand in the database are put out of it first: DuckDB cannot detach what is in use."""
    for session in account.sessions.values():
        if session.connection.database == name:
            session.rollback()
            connection = session.connection
            connection.database = connection._schema = None
            connection.database_set = connection.schema_set = False
            connection._duck_conn.execute("USE memory.main")
    cleaner = account.session(None, None)
    try:
        if account.duck.has_database(name):
            cleaner.connection.cursor().execute(f"DROP DATABASE {quoted(name)}")
    finally:
        account.forget(cleaner)
    stages.forget(account, name)
    account.catalog.drop_all(database=name)


STATEMENTS = {
    ("CREATE", "APPLICATION", "PACKAGE"): create_package,
    ("SHOW", "APPLICATION", "PACKAGES"): show_packages,
    ("DESCRIBE", "APPLICATION", "PACKAGE"): describe_package,
    ("ALTER", "APPLICATION", "PACKAGE"): alter_package,
    ("DROP", "APPLICATION", "PACKAGE"): drop_package,
}
