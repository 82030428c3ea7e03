"""Session and account settings: USE, parameters, warehouses, and the functions that clients ask for in passing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.answer import Answer, status, table
from local.errors import missing, refused
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session


LONGEST_TAG = 2000  # docs.snowflake.com/en/sql-reference/parameters (QUERY_TAG)


def begin(account: Account, session: Session, reader: Reader) -> Answer:
    session.begin()
    return status("Statement executed successfully.")


def commit(account: Account, session: Session, reader: Reader) -> Answer:
    session.commit()
    return status("Statement executed successfully.")


def rollback(account: Account, session: Session, reader: Reader) -> Answer:
    session.rollback()
    return status("Statement executed successfully.")


def use_role(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("USE", "ROLE")
    (name,) = reader.name()
    if not account.role_exists(name):
        raise missing("Role", name)
    session.role = name
    return status("Statement executed successfully.")


def use_secondary_roles(account: Account, session: Session, reader: Reader) -> Answer:
    return status("Statement executed successfully.")


def use_warehouse(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("USE", "WAREHOUSE")
    (session.warehouse,) = reader.name()
    return status("Statement executed successfully.")


def alter_session(account: Account, session: Session, reader: Reader) -> Answer:
    """Kept: LOCK_TIMEOUT, QUERY_TAG and what clients set for themselves (TIMEZONE = UTC, result formats)."""
    if session.app:
        raise refused("Unsupported statement type 'ALTER_SESSION' in an owner's-rights procedure or setup script.")
    reader.expect("ALTER", "SESSION")
    if reader.words("UNSET"):
        if reader.starts("QUERY_TAG"):
            session.query_tag = ""
        return status("Statement executed successfully.")
    reader.expect("SET")
    for key, value in reader.options().items():
        if key == "QUERY_TAG":
            session.query_tag = str(value)[:LONGEST_TAG]
        elif key == "LOCK_TIMEOUT":
            session.lock_timeout = float(value)
        elif key == "TIMEZONE" and str(value).upper() not in ("UTC", "ETC/UTC"):
            raise refused("The local account has one time zone: UTC.")
        elif key == "AUTOCOMMIT" and value is False:
            raise refused("The local account does not know AUTOCOMMIT = FALSE; write BEGIN and COMMIT.")
    return status("Statement executed successfully.")


def show_warehouses(account: Account, session: Session, reader: Reader) -> Answer:
    return table("name state type size", [("COMPUTE_WH", "STARTED", "STANDARD", "X-Small")])


STATEMENTS = {
    ("BEGIN",): begin,
    ("COMMIT",): commit,
    ("ROLLBACK",): rollback,
    ("USE", "ROLE"): use_role,
    ("USE", "SECONDARY"): use_secondary_roles,
    ("USE", "WAREHOUSE"): use_warehouse,
    ("ALTER", "SESSION"): alter_session,
    ("SHOW", "WAREHOUSES"): show_warehouses,
}

FUNCTIONS = {
    "SYSTEM$GET_SNOWSIGHT_HOST": lambda account, session: "http://localhost",
    "SYSTEM$RETURN_CURRENT_ORG_NAME": lambda account, session: "LOCAL",
    "SYSTEM$BOOTSTRAP_DATA_REQUEST": lambda account, session, *what: json.dumps({"clientParamsInfo": []}),
    "SYSTEM$CANCEL_ALL_QUERIES": lambda account, session, *session_id: "0",
    "SYSTEM$BEHAVIOR_CHANGE_BUNDLE_STATUS": lambda account, session, *bundle: "DISABLED",
}
