"""Who may make, change, drop, run, look into and hand on objects: what grants.py says of rows, for everything else.

Asked of roles that are not system roles. An application's own rights are the setup rules' and the grants' affair.
https://docs.snowflake.com/en/user-guide/security-access-control-privileges
Differs: USAGE on the database and schema on the way to an object is not asked for; SHOW lists objects whatever one may do with them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError

from local import grants
from local.errors import denied, missing
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

SYSTEM_ROLES = (*grants.SYSTEM, "USERADMIN")
IN_SCHEMA = ("TABLE", "VIEW", "STAGE", "PIPE", "STREAM", "TASK", "ALERT", "FILE FORMAT", "PROCEDURE", "FUNCTION", "SEQUENCE", "STREAMLIT")
OF_ACCOUNT = (
    *("APPLICATION PACKAGE", "APPLICATION ROLE", "APPLICATION", "STORAGE INTEGRATION", "NOTIFICATION INTEGRATION", "INTEGRATION"),
    *("RESOURCE MONITOR", "WAREHOUSE", "DATABASE", "USER", "ROLE"),
)
KINDS = (*OF_ACCOUNT, "SCHEMA", *IN_SCHEMA)
OPERATED = ("TASK", "PIPE", "ALERT")  # what OPERATE suffices to suspend, resume or pause
OWN_SESSION = ("SESSION",)


def check(account: Account, session: Session, words: tuple[str, ...], sql: str) -> None:
    """Refuses, in Snowflake's words, what the session's role may not do to an object."""
    if session.app or session.role in SYSTEM_ROLES or not words:
        return
    reader = Reader(sql)
    first = reader.token().text.upper()
    first = {"DESC": "DESCRIBE", "LS": "LIST", "RM": "REMOVE"}.get(first, first)
    if first == "CREATE":
        check_create(account, session, reader)
    elif first in ("ALTER", "DROP", "UNDROP", "COMMENT", "DESCRIBE"):
        if first == "COMMENT":
            reader.words("IF", "EXISTS")
            reader.words("ON")
        check_change(account, session, first, reader)
    elif first == "EXECUTE" and reader.peek() in ("TASK", "ALERT"):
        check_change(account, session, "EXECUTE", reader)
    elif first in ("GRANT", "REVOKE"):
        check_handing_on(account, session, sql)
    elif first in ("LIST", "REMOVE", "PUT", "GET", "COPY"):
        for name in re.findall(r"(?:^|\s)'?@([\w.$\"]+)", sql):
            check_stage(account, session, name)


def check_create(account: Account, session: Session, reader: Reader) -> None:
    reader.words("OR", "REPLACE") or reader.words("OR", "ALTER")
    is_temporary = False
    while reader.peek() in ("SCOPED", "TEMPORARY", "TEMP", "LOCAL", "GLOBAL", "TRANSIENT", "SECURE", "VOLATILE", "VERSIONED", "MANAGED"):
        is_temporary |= reader.token().text.upper() in ("TEMPORARY", "TEMP", "VOLATILE")
    kind = kind_of(reader)
    if kind is None:
        return  # the account says that it does not know the statement
    reader.words("IF", "NOT", "EXISTS")
    if kind in OF_ACCOUNT:
        if not holds(account, session, {f"CREATE {kind}"}, ("ACCOUNT",)):
            raise insufficient(kind, "ACCOUNT")
        return
    parts = reader.name()
    if kind == "SCHEMA":
        where: tuple[str, ...] = session.resolve_schema(parts)[:1]
    else:
        where = session.resolve(parts)[:2]
    in_app = account.catalog.get("application", where[0]) is not None
    if (is_temporary and not in_app) or (not in_app and holds(account, session, {f"CREATE {kind}", "ALL", "OWNERSHIP"}, where)):
        return
    raise insufficient("SCHEMA" if len(where) == 2 else "DATABASE", where[-1])


def check_change(account: Account, session: Session, verb: str, reader: Reader) -> None:
    """ALTER, DROP and COMMENT belong to the owner; OPERATE runs and stops; any right at all lets one look at what it is."""
    kind = kind_of(reader)
    if kind is None or reader.peek() in OWN_SESSION:
        return
    lenient = reader.words("IF", "EXISTS")
    parts = reader.name()
    name = parts if kind in OF_ACCOUNT else session.resolve_schema(parts) if kind == "SCHEMA" else session.resolve(parts)
    if verb == "DESCRIBE":
        if kind in IN_SCHEMA and not holds(account, session, set(), name):
            raise missing(kind, ".".join(name))
        return
    if lenient and not is_there(account, kind, name):
        return
    enough = {"OWNERSHIP"} | ({"OPERATE"} if kind in OPERATED and verb in ("ALTER", "EXECUTE") else set())
    if not holds(account, session, enough, name):
        raise insufficient(kind, name[-1])


def is_there(account: Account, kind: str, name: tuple[str, ...]) -> bool:
    """Whether there is such an object; of a kind that is kept in some other way than these: yes, so that it is asked for rights."""
    if kind in ("TABLE", "VIEW"):
        with account.duck.duck_conn.cursor() as cursor:
            found = cursor.execute(
                "SELECT 1 FROM information_schema.tables WHERE table_catalog = ? AND table_schema = ? AND table_name = ?", list(name)
            ).fetchone()
        return found is not None
    if kind in ("STAGE", "PIPE", "STREAM", "TASK", "ALERT"):
        return account.catalog.get(kind.lower(), name[2], database=name[0], schema=name[1]) is not None
    if kind == "ROLE":
        return account.role_exists(name[-1])
    return True


def check_handing_on(account: Account, session: Session, sql: str) -> None:
    """Only who owns an object grants on it; roles are granted by system roles."""
    reader = Reader(sql)
    reader.token()
    if reader.peek() in ("ROLE", "APPLICATION", "DATABASE"):
        raise denied(f"Insufficient privileges to grant or revoke a role: role {session.role} has no MANAGE GRANTS.")
    reader.words("GRANT", "OPTION", "FOR")
    grants.privilege_list(reader)
    on, _, kind = grants.securable(account, session, reader)
    if not holds(account, session, {"OWNERSHIP"}, on):
        raise insufficient(kind, on[-1])


def check_stage(account: Account, session: Session, text: str) -> None:
    parts = Reader(text).name()
    name = session.resolve(parts)
    stage = account.catalog.get("stage", name[2], database=name[0], schema=name[1])
    if stage is not None and not holds(account, session, {"USAGE", "READ", "WRITE", "ALL", "OWNERSHIP"}, name):
        raise missing("Stage", ".".join(name))


def check_function(account: Account, session: Session, name: str, arguments: list[object]) -> None:
    """System functions that change something: by the right on what they change."""
    if session.app or session.role in SYSTEM_ROLES or name not in ("SYSTEM$PIPE_FORCE_RESUME", "SYSTEM$TASK_DEPENDENTS_ENABLE"):
        return
    kind = "PIPE" if "PIPE" in name else "TASK"
    on = session.resolve(Reader(str(arguments[0])).name()) if arguments else ("",)
    if not holds(account, session, {"OWNERSHIP", "OPERATE"}, on):
        raise insufficient(kind, on[-1])


def holds(account: Account, session: Session, privileges: set[str], name: tuple[str, ...]) -> bool:
    """Whether the role, or one granted to it, has one of these on the object; with none named: any at all."""
    app = name[0] if account.catalog.get("application", name[0]) else None
    held = grants.held_roles(account, session.role, app)
    for grant in account.catalog.find("grant"):
        on = tuple(grant["on"])
        covers = on == name or (grant["every"] and on in (name[:2], name[:1]))
        if covers and (grant["to_kind"], grant["to"]) in held and (set(grant["privileges"]) & privileges if privileges else grant["privileges"]):
            return True
    return False


def owned(account: Account, session: Session, words: tuple[str, ...], sql: str) -> None:
    """Who made an object in a schema owns it."""
    if words[:1] != ("CREATE",) or session.app or session.role in SYSTEM_ROLES:
        return
    reader = Reader(sql)
    while not reader.done and not any(reader.starts(*kind.split()) for kind in KINDS):
        reader.token()
    kind = kind_of(reader)
    reader.words("IF", "NOT", "EXISTS")
    if kind in IN_SCHEMA and kind != "TABLE":  # a table's owner is written down where it is made
        grants.owned(account, session, session.resolve(reader.name()))


def kind_of(reader: Reader) -> str | None:
    return next((kind for kind in KINDS if reader.words(*kind.split())), None)


def insufficient(kind: str, name: str) -> ProgrammingError:
    return denied(f"Insufficient privileges to operate on {kind.lower()} '{name}'.")
