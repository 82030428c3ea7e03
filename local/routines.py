"""Procedures and functions: CREATE, CALL, and the rules an application has to keep.

docs.snowflake.com/en/developer-guide/native-apps/adding-application-logic, …/sql-reference/sql/create-procedure, create-function.
A handler is imported from the files of the application version, in a process of its own (worker.py); a scalar Python function is registered
with DuckDB, by whole batches when its handler is vectorised.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import TYPE_CHECKING, Any

from local import grants
from local.answer import Answer, status, table
from local.catalog import Thing
from local.errors import failed, missing, refused, syntax
from local.functions_python import register, register_functions
from local.reader import Reader
from local.version_files import file_in
from local.workers import Workers

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

__all__ = ["Workers", "register_functions"]
OPTIONS = ("LANGUAGE", "RUNTIME_VERSION", "PACKAGES", "IMPORTS", "HANDLER", "COMMENT", "EXECUTE", "AS", "CALLED", "RETURNS", "STRICT", "VOLATILE", "IMMUTABLE", "MEMOIZABLE", "NOT", "COPY", "EXTERNAL_ACCESS_INTEGRATIONS", "SECRETS", "NULL", "ARTIFACT_REPOSITORY")  # fmt: skip


def create_procedure(account: Account, session: Session, reader: Reader) -> Answer:
    return create(account, session, reader, "procedure")


def create_function(account: Account, session: Session, reader: Reader) -> Answer:
    return create(account, session, reader, "function")


def create(account: Account, session: Session, reader: Reader, kind: str) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.words("SECURE")
    reader.expect(kind.upper())
    reader.words("IF", "NOT", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    parameters = parameter_list(reader.parenthesised())
    said = options(reader)
    check(account, session, kind, database, schema, name, said)
    before = overloads(account, kind, database, schema, name)
    same = [t for t in before if len(t["parameters"]) == len(parameters)]
    if same and not replace:
        raise syntax(f"Object '{name}' already exists.")
    key = f"{name}/{len(parameters)}"
    thing = account.catalog.put(
        kind,
        key,
        database=database,
        schema=schema,
        parameters=parameters,
        version=session.account.catalog.get("application", session.app)["version"] if session.app else None,
        owner=session.role,
        **said,
    )
    if kind == "function":
        register(account, thing)
    grants.owned(account, session, (database, schema, name))
    return status(f"{kind.capitalize()} {name} successfully created.")


def parameter_list(text: str) -> list[dict[str, Any]]:
    """`a VARCHAR, b NUMBER(10, 2) DEFAULT 1` → [{'name': 'A', 'type': 'VARCHAR', 'default': None}, …]."""
    parameters: list[dict[str, Any]] = []
    reader = Reader(text)
    while not reader.done:
        (name,) = reader.name()
        kind = reader.token().text.upper()
        if reader.starts("("):
            kind += f"({reader.parenthesised()})"
        default = None
        if reader.words("DEFAULT"):
            start = reader.position()
            depth = 0
            while not reader.done and not (depth == 0 and reader.starts(",")):
                depth += {"(": 1, ")": -1}.get(reader.token().text, 0)
            default = text[start : reader.position()].strip()
        parameters.append({"name": name, "type": kind, "default": default})
        if not reader.done:
            reader.expect(",")
    return parameters


def options(reader: Reader) -> dict[str, Any]:
    said: dict[str, Any] = {"language": "SQL", "execute_as": "OWNER", "imports": [], "packages": [], "handler": None, "body": None, "returns": "VARCHAR"}
    while not reader.done:
        if reader.words("RETURNS", "NULL", "ON", "NULL", "INPUT") or reader.words("CALLED", "ON", "NULL", "INPUT"):
            continue
        if reader.words("COPY", "GRANTS") or reader.words("NOT", "NULL") or reader.words("STRICT") or reader.words("IMMUTABLE") or reader.words("VOLATILE"):
            continue
        if reader.words("RETURNS"):
            kind = reader.token().text.upper()
            said["returns"] = f"{kind}({reader.parenthesised()})" if reader.starts("(") else kind
        elif reader.words("LANGUAGE"):
            said["language"] = reader.token().text.upper()
        elif reader.words("EXECUTE", "AS"):
            said["execute_as"] = " ".join(reader.token().text.upper() for _ in range(2 if reader.starts("RESTRICTED") else 1))
        elif reader.words("AS"):
            said["body"] = reader.string() if reader.is_string() else reader.rest()
        elif reader.peek() in OPTIONS and reader.peek(1) == "=":
            key = reader.token().text.lower()
            reader.expect("=")
            said[key] = reader.value()
        else:
            raise syntax(f"syntax error at '{reader.peek()}'")
    return said


def check(account: Account, session: Session, kind: str, database: str, schema: str, name: str, said: dict[str, Any]) -> None:
    """Refuse what Snowflake refuses when the object is made."""
    if said["language"] != "PYTHON":
        raise refused(f"{kind} {name}: the local account runs LANGUAGE PYTHON only, not {said['language']}")
    if not said.get("handler"):
        raise syntax(f"{kind} {name}: HANDLER is missing")
    if kind == "procedure" and "snowflake-snowpark-python" not in {str(p).split("==")[0] for p in said["packages"]}:
        raise refused(f"Package 'snowflake-snowpark-python' must be specified in the PACKAGES clause of procedure {name}.")
    if not session.app:
        if said["imports"]:
            raise refused(f"{kind} {name}: outside an application the local account takes no IMPORTS")
        return
    if said["execute_as"] != "OWNER":
        raise refused(f"{name}: EXECUTE AS {said['execute_as']} is not allowed in an application (only OWNER)")
    if said["imports"] and not versioned(account, database, schema):
        raise refused(f"{name}: a {kind} with IMPORTS must be in a versioned schema, and {schema} is not one")
    root = account.folder / "applications" / session.app / str(account.catalog.get("application", session.app)["version"])
    for path in said["imports"]:
        if not str(path).startswith("/"):
            raise refused(f"{name}: import '{path}' must start with '/', the root of the version's stage")
        if file_in(root, str(path)) is None:
            raise refused(f"{name}: import '{path}' is not among the files of the application's stage")
    module = said["handler"].split(".")[0]
    if said.get("body") is None and module not in {str(p).rsplit("/", 1)[-1].removesuffix(".py") for p in said["imports"]}:
        raise refused(f"{name}: handler '{said['handler']}': module {module} is not in IMPORTS")


def versioned(account: Account, database: str, schema: str) -> bool:
    return account.catalog.get("versioned schema", schema, database=database) is not None


def overloads(account: Account, kind: str, database: str, schema: str, name: str) -> list[Thing]:
    return [t for t in account.catalog.find(kind, database=database, schema=schema) if t.name.rsplit("/", 1)[0] == name]


def show(kind: str) -> Any:
    def show_them(account: Account, session: Session, reader: Reader) -> Answer:
        rows = [
            (t.created_at, t.name.rsplit("/", 1)[0], t.database, t.schema, f"({', '.join(p['type'] for p in t['parameters'])}) RETURN {t['returns']}", t["language"])
            for t in account.catalog.find(kind)
        ]
        return table("created_on name catalog_name schema_name arguments language", rows)

    return show_them


def drop(kind: str) -> Any:
    def drop_it(account: Account, session: Session, reader: Reader) -> Answer:
        reader.expect("DROP", kind.upper())
        lenient = reader.words("IF", "EXISTS")
        database, schema, name = session.resolve(reader.name())
        count = len(parameter_types(reader.parenthesised())) if reader.starts("(") else 0
        if not account.catalog.drop(kind, f"{name}/{count}", database=database, schema=schema) and not lenient:
            raise missing(kind, name)
        return status(f"{name} successfully dropped.")

    return drop_it


def parameter_types(text: str) -> list[str]:
    return [part for part in (p.strip() for p in text.split(",")) if part]


# --- CALL


def call(account: Account, session: Session, reader: Reader, params: Any) -> Answer:
    reader.expect("CALL")
    parts = reader.name()
    arguments = arguments_of(reader.parenthesised())
    if parts[-1].startswith("SYSTEM$"):
        from local.statements import PROCEDURES, system_function

        values = evaluated(session, [text for _, text in arguments], params)
        if procedure := PROCEDURES.get(parts[-1]):
            return table(parts[-1], [(procedure(account, session, *values),)])
        return table(parts[-1], [(system_function(account, session, parts[-1], values),)])
    thing, name = find_procedure(account, session, parts, arguments)
    values = bind(session, thing, arguments, params)
    outer = session.in_transaction
    value = account.workers.call(session, thing, values)
    if session.in_transaction and not outer:
        session.rollback()
    kind = {"VARIANT": "variant", "OBJECT": "object", "ARRAY": "array"}.get(thing["returns"].split("(")[0])
    text = json.dumps(value, indent=2) if kind else None if value is None else str(value)
    return Answer([(name, kind or "text")], [(text,)])


def described(account: Account, session: Session, reader: Reader) -> list[tuple[str, str]]:
    """The result column of a CALL, without calling."""
    reader.expect("CALL")
    parts = reader.name()
    arguments = arguments_of(reader.parenthesised())
    if parts[-1].startswith("SYSTEM$"):
        return [(parts[-1], "text")]
    thing, name = find_procedure(account, session, parts, arguments)
    kind = {"VARIANT": "variant", "OBJECT": "object", "ARRAY": "array"}.get(thing["returns"].split("(")[0])
    return [(name, kind or "text")]


DEPTHS = {"(": 1, ")": -1, "{": 1, "}": -1, "[": 1, "]": -1}  # commas inside a list or an object separate no arguments


def arguments_of(text: str) -> list[tuple[str | None, str]]:
    """`1, name => 'x'` → [(None, '1'), ('NAME', "'x'")]: texts, to be evaluated as SQL."""
    found: list[tuple[str | None, str]] = []
    reader = Reader(text)
    while not reader.done:
        named = None
        if reader.peek(1) == "=>":
            (named,) = reader.name()
            reader.expect("=>")
        start, depth = reader.position(), 0
        while not reader.done and not (depth == 0 and reader.starts(",")):
            depth += DEPTHS.get("" if reader.is_string() else reader.peek(), 0)
            reader.token()
        found.append((named, text[start : reader.position()].strip()))
        if not reader.done:
            reader.expect(",")
    return found


def find_procedure(account: Account, session: Session, parts: tuple[str, ...], arguments: list[tuple[str | None, str]]) -> tuple[Thing, str]:
    from local.grants import may

    database, schema, name = session.resolve(parts)
    known = overloads(account, "procedure", database, schema, name)
    for thing in known:
        required = sum(1 for p in thing["parameters"] if p["default"] is None)
        if required <= len(arguments) <= len(thing["parameters"]) and may(account, session, "USAGE", (database, schema, name)):
            return thing, name
    given = f"{name}({', '.join(text[:40] for _, text in arguments)})"
    raise missing("Procedure", f"{database}.{schema}.{given}") if not known else syntax(
        f"Invalid argument types or number of arguments for procedure '{given}'; it takes "
        + " or ".join("(" + ", ".join(f"{p['name'].lower()} {p['type']}" for p in t["parameters"]) + ")" for t in known)
        + ", or is not authorized."
    )


def bind(session: Session, thing: Thing, arguments: list[tuple[str | None, str]], params: Any) -> list[Any]:
    """Argument values in the order of the declaration; defaults where nothing was given."""
    given: dict[str, Any] = {}
    for i, (named, text) in enumerate(arguments):
        key = named or thing["parameters"][i]["name"]
        if key not in {p["name"] for p in thing["parameters"]}:
            raise syntax(f"{thing.name}: no parameter is called {key}")
        given[key] = evaluate(session, text, params, position=sum(t == "?" for _, t in arguments[:i]))
    values = []
    for p in thing["parameters"]:
        value = given[p["name"]] if p["name"] in given else evaluate(session, p["default"] or "NULL", None)
        values.append(cast(value, p["type"]))
    return values


def evaluated(session: Session, texts: list[str], params: Any) -> list[Any]:
    """Arguments in order; each takes as many of the bound values as it has marks."""
    values, at = [], 0
    for text in texts:
        marks = sum(token.text == "?" for token in Reader(text).tokens)
        if text == "?":
            values.append(params[at])
        else:
            row = session.connection.cursor().execute(f"SELECT {text}", list(params[at : at + marks]) if marks else None).fetchone()
            values.append(row[0] if row else None)
        at += marks
    return values


def evaluate(session: Session, text: str, params: Any, position: int = 0) -> Any:
    if text == "?":
        return params[position]
    from local.grants import check_statement

    check_statement(session.account, session, f"SELECT {text}")  # an argument may be a query of its own
    row = session.connection.cursor().execute(f"SELECT {text}").fetchone()
    return row[0] if row else None


def cast(value: Any, kind: str) -> dict[str, Any]:
    """An argument as it goes to the worker: a type name and JSON."""
    base = kind.split("(")[0].upper()
    if value is None:
        return {"type": "str", "value": None}
    if base in ("VARIANT", "OBJECT", "ARRAY"):
        return {"type": "json", "value": value if isinstance(value, str) else json.dumps(value, default=str)}
    if base.startswith("TIMESTAMP") or base == "DATETIME":
        return {"type": "datetime", "value": value.isoformat() if isinstance(value, (dt.date, dt.datetime)) else dt.datetime.fromisoformat(str(value)).isoformat()}
    if base == "DATE":
        return {"type": "date", "value": str(value)[:10]}
    if base in ("NUMBER", "DECIMAL", "INTEGER", "INT", "BIGINT"):
        number = decimal.Decimal(str(value))
        return {"type": "int", "value": str(int(number))} if number == int(number) else {"type": "decimal", "value": str(number)}
    if base in ("FLOAT", "DOUBLE", "REAL"):
        return {"type": "float", "value": str(value)}
    if base == "BOOLEAN":
        return {"type": "bool", "value": bool(value) if not isinstance(value, str) else value.lower() in ("true", "t", "yes", "1")}
    return {"type": "str", "value": str(value)}


# --- EXECUTE IMMEDIATE FROM


def execute_immediate(account: Account, session: Session, reader: Reader, params: Any) -> Answer:
    """Inside a setup script: run another file of the version. Elsewhere the local account refuses it."""
    reader.expect("EXECUTE", "IMMEDIATE")
    if not reader.words("FROM"):
        raise refused("EXECUTE IMMEDIATE of a text: the local account runs EXECUTE IMMEDIATE FROM '<file>' in setup scripts only")
    from local.apps import run_file

    if not session.setup:
        raise refused("EXECUTE IMMEDIATE FROM: the local account runs it in setup scripts only")
    run_file(account, session, reader.string())
    return status("Statement executed successfully.")


def enter_call(account: Account, session: Session, call_id: str) -> str:
    account.workers.enter(session, call_id)
    return "ok"


def leave_call(account: Account, session: Session, call_id: str) -> str:
    """The procedure is over: a transaction it left open is rolled back, and that is an error, as on Snowflake."""
    open_transaction = session.in_transaction
    session.rollback()
    session.task = None
    if open_transaction:
        raise failed("Stored procedure execution error: Scoped transaction started in stored procedure is incomplete and it was rolled back.")
    return "ok"


STATEMENTS = {
    ("CREATE", "PROCEDURE"): create_procedure,
    ("CREATE", "FUNCTION"): create_function,
    ("DROP", "PROCEDURE"): drop("procedure"),
    ("DROP", "FUNCTION"): drop("function"),
    ("SHOW", "PROCEDURES"): show("procedure"),
    ("SHOW", "FUNCTIONS"): show("function"),
    ("SHOW", "USER", "FUNCTIONS"): show("function"),
    ("SHOW", "USER", "PROCEDURES"): show("procedure"),
    ("CALL",): call,
    ("EXECUTE", "IMMEDIATE"): execute_immediate,
}
FUNCTIONS = {"SYSTEM$ENTER_CALL": enter_call, "SYSTEM$LEAVE_CALL": leave_call}
