"""Roles, grants, and who may touch which table.

Enough to show that a reader reaches gold and nothing else, and that an application sees its own database and what
was granted to it. System roles (ACCOUNTADMIN, …) may do everything outside applications; inside an application they hold
what its application roles grant, as on Snowflake, where the installing role owns the application and gets its application roles.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlglot
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from local import usage
from local.answer import Answer, status, table
from local.dialect import parse
from local.dialect_text import shape
from local.errors import denied, exists, missing
from local.pipes_access import created
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session


DIRECTORY = "_firn_directory_"  # with a stage's schema and name after it: its directory table


@dataclass(frozen=True)
class Use:
    """One table a statement touches. `locks` is true for what waits for other writers (UPDATE, DELETE, MERGE, TRUNCATE)."""

    parts: tuple[str, ...]
    privilege: str

    @property
    def locks(self) -> bool:
        return self.privilege in ("UPDATE", "DELETE", "TRUNCATE")


# --- what a statement touches


def uses(sql: str) -> tuple[Use, ...]:
    return uses_of_shape(shape(sql))


@functools.lru_cache(maxsize=2000)
def uses_of_shape(sql: str) -> tuple[Use, ...]:
    """Tables and views read and written, by privilege; names as written (upper-cased unless quoted)."""
    try:
        tree = parse(sql)
    except (sqlglot.errors.SqlglotError, ProgrammingError):
        return ()  # the cursor will give the syntax error
    ctes = {cte.alias_or_name.upper() for cte in tree.find_all(exp.CTE)}
    found: list[Use] = []
    target = written_table(tree)
    if target is not None:
        found += [Use(parts_of(target), privilege) for privilege in privileges_of(tree)]
    for node in tree.find_all(exp.Table):
        parts = parts_of(node)
        if node is target or not parts or (len(parts) == 1 and parts[0].upper() in ctes):
            continue
        if not isinstance(tree, (exp.Use, exp.Show, exp.Create, exp.Drop, exp.Alter)) or node.find_ancestor(exp.Select):
            found.append(Use(parts, "SELECT"))
    return tuple(found)


def written(sql: str) -> tuple[Use, ...]:
    return tuple(use for use in uses(sql) if use.privilege != "SELECT")


def written_table(tree: exp.Expression) -> exp.Table | None:
    if isinstance(tree, exp.TruncateTable):
        return tree.expressions[0] if tree.expressions else None
    if isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        return target if isinstance(target, exp.Table) else None
    return None


def privileges_of(tree: exp.Expression) -> tuple[str, ...]:
    return {
        exp.TruncateTable: ("TRUNCATE",),
        exp.Insert: ("INSERT",),
        exp.Update: ("UPDATE",),
        exp.Delete: ("DELETE",),
        exp.Merge: ("INSERT", "UPDATE"),
    }[type(tree)]


def parts_of(node: exp.Table) -> tuple[str, ...]:
    return tuple(
        part.this if part.quoted else part.this.upper() for part in node.parts if isinstance(part, exp.Identifier)
    )


# --- who may


def check_statement(account: Account, session: Session, sql: str) -> None:
    """Refuse, in Snowflake's words, a table that the session's role or application may not touch."""
    for use in uses(sql):
        if "INFORMATION_SCHEMA" in use.parts or use.parts[:2] == ("TEMP", "MAIN"):
            continue  # the account's own answers, made for this session
        if len(use.parts) == 1 and not session.schema:
            continue  # DuckDB says what is missing
        name = session.resolve(use.parts)
        if name[2].startswith(DIRECTORY):  # what DIRECTORY(@stage) became: the right is the stage's
            schema, _, stage = name[2].removeprefix(DIRECTORY).partition(".")
            check(account, session, "USAGE", (name[0], schema, stage), "Stage")
        else:
            check(account, session, use.privilege, name)


def check(account: Account, session: Session, privilege: str, name: tuple[str, str, str], kind: str = "Object") -> None:
    if not may(account, session, privilege, name):
        raise missing(kind, ".".join(name))


def may(account: Account, session: Session, privilege: str, name: tuple[str, str, str]) -> bool:
    database = name[0]
    if session.app == database or database in ("TEMP", "SYSTEM"):
        return True
    if database == "SNOWFLAKE":
        return privilege == "SELECT" and not session.app and may_read_usage(account, session.role, name[2])
    if session.app:
        return granted(account, ("APPLICATION", session.app), privilege, name)
    in_app = account.catalog.get("application", database) is not None
    if session.role in SYSTEM and not in_app:
        return True
    return any(granted(account, who, privilege, name) for who in held_roles(account, session.role, database if in_app else None))


def may_read_usage(account: Account, role: str, view: str) -> bool:
    """ACCOUNTADMIN, and whoever holds one of SNOWFLAKE's database roles that read the view."""
    held = [name for kind, name in held_roles(account, role, None) if kind == "DATABASE ROLE"]
    return role == "ACCOUNTADMIN" or any(view in usage.READERS[name.partition(".")[2]] for name in held)


SYSTEM = ("ACCOUNTADMIN", "SYSADMIN", "SECURITYADMIN", "ORGADMIN")


def held_roles(account: Account, role: str, app: str | None) -> list[tuple[str, str]]:
    """The role and every role and application role granted to it, directly or through others."""
    held, todo = [], [("ROLE", role)]
    if role in SYSTEM and app:
        todo += [("APPLICATION ROLE", f"{app}.{r.name}") for r in account.catalog.find("application role", database=app)]
    grants = [g.properties for g in account.catalog.find("role grant")]
    while todo:
        who = todo.pop()
        if who not in held:
            held.append(who)
            todo += [(g["role_kind"], g["role"]) for g in grants if (g["to_kind"], g["to"]) == who]
    return held


def granted(account: Account, who: tuple[str, str], privilege: str, name: tuple[str, str, str]) -> bool:
    database, schema, _ = name
    for grant in account.catalog.find("grant"):
        if (grant["to_kind"], grant["to"]) != who:
            continue
        if not ({privilege, "ALL", "OWNERSHIP"} & set(grant["privileges"])):
            continue
        on = tuple(grant["on"])
        if on == name or (grant["every"] and (on == (database, schema) or on == (database,))):
            return True
    return False


def holds(account: Account, session: Session, privilege: str, on: tuple[str, ...]) -> bool:
    """Whether the session's role or application has a privilege on the account, on an integration, or on another thing with one name."""
    if not session.app and session.role in SYSTEM:
        return True
    holders = [("APPLICATION", session.app)] if session.app else held_roles(account, session.role, None)
    return any(
        (grant["to_kind"], grant["to"]) in holders and tuple(grant["on"]) == on and {privilege, "ALL", "OWNERSHIP"} & set(grant["privileges"])
        for grant in account.catalog.find("grant")
    )


def owned(account: Account, session: Session, name: tuple[str, str, str]) -> None:
    """Who makes a table owns it. System roles may do everything anyway; a table that has an owner keeps it."""
    if session.app or session.role in SYSTEM or any(tuple(g["on"]) == name and "OWNERSHIP" in g["privileges"] for g in account.catalog.find("grant")):
        return
    key = f"ROLE {session.role} {'.'.join(name)} False"
    account.catalog.put("grant", key, privileges=["OWNERSHIP"], on=list(name), every=False, to_kind="ROLE", to=session.role)


# --- statements


def create_role(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.expect("ROLE")
    lenient = reader.words("IF", "NOT", "EXISTS")
    (name,) = reader.name()
    if account.role_exists(name) and not replace:
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(name)
    account.catalog.put("role", name)
    return status(f"Role {name} successfully created.")


def drop_role(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "ROLE")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    if not account.catalog.drop("role", name) and not lenient:
        raise missing("Role", name)
    return status(f"{name} successfully dropped.")


def show_roles(account: Account, session: Session, reader: Reader) -> Answer:
    return table("created_on name comment", [(r.created_at, r.name, r.get("comment", "")) for r in account.catalog.find("role")])


def create_application_role(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    reader.words("OR", "REPLACE")
    reader.expect("APPLICATION", "ROLE")
    lenient = reader.words("IF", "NOT", "EXISTS")
    parts = reader.name()
    app = parts[0] if len(parts) == 2 else session.app
    if not app:
        raise denied("Application roles are created by an application's setup script.")
    if account.catalog.get("application role", parts[-1], database=app) and not lenient:
        raise exists(parts[-1])
    account.catalog.put("application role", parts[-1], database=app)
    return status(f"Application role {parts[-1]} successfully created.")


def grant(account: Account, session: Session, reader: Reader) -> Answer:
    return give_or_take(account, session, reader, give=not reader.starts("REVOKE"))


def give_or_take(account: Account, session: Session, reader: Reader, *, give: bool) -> Answer:
    reader.expect("GRANT" if give else "REVOKE")
    for kind in ("APPLICATION ROLE", "DATABASE ROLE", "ROLE"):
        if reader.words(*kind.split()):
            return role_to_role(account, session, reader, kind, give)
    reader.words("GRANT", "OPTION", "FOR")
    privileges = privilege_list(reader)
    on, every, kind = securable(account, session, reader)
    reader.words("TO") or reader.words("FROM")
    to_kind, to = grantee(account, session, reader)
    key = f"{to_kind} {to} {'.'.join(on)} {every}"
    before = account.catalog.get("grant", key)
    held = set(before["privileges"]) if before else set()
    held = held | privileges if give else held - privileges
    if kind == "ACCOUNT" and to_kind == "APPLICATION" and (app := account.catalog.get("application", to)):
        account.catalog.change(app, privileges=sorted(set(app["privileges"]) | privileges if give else set(app["privileges"]) - privileges))
    account.catalog.put("grant", key, privileges=sorted(held), on=list(on), every=every, object_kind=kind, to_kind=to_kind, to=to)
    return status("Statement executed successfully.")


def privilege_list(reader: Reader) -> set[str]:
    words: list[list[str]] = [[]]
    while not reader.starts("ON"):
        word = reader.token().text.upper()
        if word == ",":
            words.append([])
        elif word != "PRIVILEGES":
            words[-1].append(word)
    return {" ".join(w) for w in words}


KINDS = ("TABLE", "VIEW", "SCHEMA", "DATABASE", "PROCEDURE", "FUNCTION", "STREAM", "STAGE", "PIPE", "INTEGRATION", "WAREHOUSE", "TASK", "STREAMLIT", "ACCOUNT", "FILE FORMAT", "RESOURCE MONITOR", "SEQUENCE", "SECRET", "ALERT")  # fmt: skip


def securable(account: Account, session: Session, reader: Reader, *, begun: bool = False) -> tuple[tuple[str, ...], bool, str]:
    """(full name, whether it stands for every object inside, its kind): ON ALL TABLES IN SCHEMA x.y → (('X', 'Y'), True, 'TABLE')."""
    if not begun:
        reader.expect("ON")
    if reader.words("ACCOUNT"):
        return ("ACCOUNT",), False, "ACCOUNT"
    if reader.words("ALL") or reader.words("FUTURE"):
        kind = reader.token().text.upper().removesuffix("S")
        reader.expect("IN")
        if reader.words("DATABASE"):
            return reader.name(), True, kind
        reader.expect("SCHEMA")
        return session.resolve_schema(reader.name()), True, kind
    kind = next((known for known in KINDS if reader.words(*known.split())), "TABLE")
    parts = reader.name()
    if reader.starts("("):
        reader.parenthesised()
    if kind in ("DATABASE", "WAREHOUSE", "INTEGRATION", "RESOURCE MONITOR"):
        return parts, False, kind
    if kind == "SCHEMA":
        return session.resolve_schema(parts), False, kind
    return session.resolve(parts), False, kind


def grantee(account: Account, session: Session, reader: Reader) -> tuple[str, str]:
    for kind in ("APPLICATION ROLE", "APPLICATION", "ROLE", "DATABASE ROLE", "USER"):
        if reader.words(*kind.split()):
            parts = reader.name()
            if kind == "APPLICATION ROLE":
                return kind, ".".join(parts if len(parts) == 2 else (session.app or "", *parts))
            name = parts[-1]
            known = {"APPLICATION": account.catalog.get("application", name) is not None, "ROLE": account.role_exists(name)}
            if not known.get(kind, True):
                raise missing(kind, name)
            return kind, name
    return "ROLE", reader.name()[-1]


def role_to_role(account: Account, session: Session, reader: Reader, kind: str, give: bool) -> Answer:
    parts = reader.name()
    role = ".".join(parts)
    if kind == "APPLICATION ROLE":
        known = account.catalog.get("application role", parts[-1], database=parts[0]) is not None
    elif kind == "DATABASE ROLE":  # the account has those of SNOWFLAKE and no others
        known = parts[0] == "SNOWFLAKE" and parts[-1] in usage.READERS
    else:
        known = account.role_exists(role)
    if not known:
        raise missing(kind, role)
    reader.words("TO") or reader.words("FROM")
    to_kind, to = grantee(account, session, reader)
    key = f"{kind} {role} {to_kind} {to}"
    if give:
        account.catalog.put("role grant", key, role_kind=kind, role=role, to_kind=to_kind, to=to)
    else:
        account.catalog.drop("role grant", key)
    return status("Statement executed successfully.")


GRANTS = "created_on:timestamp_ltz privilege granted_on name granted_to grantee_name grant_option granted_by"
HOLDERS = "created_on:timestamp_ltz role granted_to grantee_name granted_by"


def show_grants(account: Account, session: Session, reader: Reader) -> Answer:
    """SHOW GRANTS TO whom, OF a role, ON an object; without any of these: all there are.

    Differs: grants ON ALL and ON FUTURE objects are one row with the name of their schema and every kind, as they are kept.
    https://docs.snowflake.com/en/sql-reference/sql/show-grants
    """
    reader.expect("SHOW", "GRANTS")
    if reader.words("OF"):
        kind = "APPLICATION ROLE" if reader.words("APPLICATION") else "ROLE"
        reader.expect("ROLE")
        role = role_name(session, kind, reader)
        held = [g for g in account.catalog.find("role grant") if (g["role_kind"], g["role"]) == (kind, role)]
        return table(HOLDERS, [(created(g), role.rpartition(".")[2], g["to_kind"], g["to"], "ACCOUNTADMIN") for g in held])
    if reader.words("TO"):
        kind = next((k for k in ("APPLICATION ROLE", "APPLICATION", "ROLE") if reader.words(*k.split())), "ROLE")
        to = role_name(session, kind, reader)
        roles = [g for g in account.catalog.find("role grant") if (g["to_kind"], g["to"]) == (kind, to)]
        rows = [(created(g), "USAGE", g["role_kind"].replace(" ", "_"), g["role"], kind, to, "false", "ACCOUNTADMIN") for g in roles]
        return table(GRANTS, [*rows, *[row for row in grant_rows(account) if (row[4], row[5]) == (kind, to)]])
    if reader.words("ON"):
        on = ".".join(securable(account, session, reader, begun=True)[0])
        return table(GRANTS, [row for row in grant_rows(account) if row[3] == on])
    return table(GRANTS, grant_rows(account))


def grant_rows(account: Account) -> list[tuple[Any, ...]]:
    return [
        (created(g), privilege, g.get("object_kind", "TABLE"), ".".join(g["on"]), g["to_kind"], g["to"], "false", "ACCOUNTADMIN")
        for g in account.catalog.find("grant")
        for privilege in g["privileges"]
    ]


def role_name(session: Session, kind: str, reader: Reader) -> str:
    parts = reader.name()
    if kind == "APPLICATION ROLE" and len(parts) == 1:
        return f"{session.app or session.database}.{parts[0]}"
    return ".".join(parts)


STATEMENTS = {
    ("CREATE", "ROLE"): create_role,
    ("DROP", "ROLE"): drop_role,
    ("SHOW", "ROLES"): show_roles,
    ("CREATE", "APPLICATION", "ROLE"): create_application_role,
    ("GRANT",): grant,
    ("REVOKE",): grant,
    ("SHOW", "GRANTS"): show_grants,
}
