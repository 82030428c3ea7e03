"""CREATE, ALTER, DROP, COMMENT and TRUNCATE for tables, views, schemas, databases and sequences.

Each function gives a `Change`: DuckDB statements to run as one, and the sentence Snowflake answers with.
Constraints other than NOT NULL are recorded and not enforced: docs.snowflake.com/en/sql-reference/constraints-overview
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_errors import COMPILATION, error, missing_object, unsupported
from local.dialect_functions import Resolve, translate
from local.dialect_names import dotted, full_name, no_database, qualify, quoted
from local.dialect_record import GLOBAL, Record, declared, forget
from local.dialect_tables import sequences, values_columns
from local.dialect_types import duck_type

if TYPE_CHECKING:
    from local.duck import Connection

SUCCESS = "Statement executed successfully."
REFUSED = {
    "DynamicProperty": "DYNAMIC TABLE", "MaterializedProperty": "MATERIALIZED VIEW", "ExternalProperty": "EXTERNAL TABLE",
    "IcebergProperty": "ICEBERG TABLE",
}  # fmt: skip


@dataclass
class Change:
    message: str = SUCCESS
    statements: list[str] = field(default_factory=list)
    after: Callable[[], None] | None = None


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def properties(tree: exp.Create) -> list[Expression]:
    found = tree.args.get("properties")
    return found.expressions if found else []


def refuse_kinds(tree: exp.Create) -> None:
    for prop in properties(tree):
        if kind := REFUSED.get(type(prop).__name__):
            raise unsupported(f"CREATE {kind}")


def comment_of(tree: exp.Create) -> str | None:
    return next((p.this.name for p in properties(tree) if isinstance(p, exp.SchemaCommentProperty)), None)


def query_sql(query: Expression, session: Connection, resolve: Resolve) -> str:
    """A SELECT inside a CREATE, for DuckDB. Its identifiers are folded already."""
    query = query.copy()
    values_columns(query)
    sequences(query, session)
    query = translate(query, resolve)
    qualify(query, session, "CREATE")
    return query.sql("duckdb", identify=True)


def exists(session: Connection, parts: tuple[str, str, str]) -> bool:
    if parts in session.temporary:
        return True
    sql = "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ? UNION ALL SELECT 1 FROM duckdb_views() WHERE database_name = ? AND schema_name = ? AND view_name = ?"
    return session.probe.execute(sql, [*parts, *parts]).fetchone() is not None


# --- tables


def create_table(tree: exp.Create, session: Connection, resolve: Resolve) -> Change:
    """docs.snowflake.com/en/sql-reference/sql/create-table"""
    refuse_kinds(tree)
    shape = tree.this
    table = shape.this if isinstance(shape, exp.Schema) else shape
    parts = full_name(table, session, "CREATE TABLE")
    temporary = any(isinstance(p, exp.TemporaryProperty) for p in properties(tree))
    if tree.args.get("exists") and exists(session, parts):
        return Change(f"{parts[2]} already exists, statement succeeded.")
    target = dotted(("temp", "main", ".".join(parts))) if temporary else dotted(parts)
    before = [f"DROP TABLE IF EXISTS {target}"] if temporary and tree.args.get("replace") else []
    verb = "CREATE TEMPORARY TABLE" if temporary else "CREATE OR REPLACE TABLE" if tree.args.get("replace") else "CREATE TABLE"
    columns = shape.expressions if isinstance(shape, exp.Schema) else []
    source = tree.expression
    like = next((p.this for p in properties(tree) if isinstance(p, exp.LikeProperty)), None)
    clone = tree.args.get("clone")
    record = Record(parts, is_transient=any(isinstance(p, exp.TransientProperty) for p in properties(tree)))
    change = Change(f"Table {parts[2]} successfully created.", before)
    if like is not None or clone is not None:
        origin = full_name(like if like is not None else clone.this, session)
        change.statements.append(f"{verb} {target} ({', '.join(copied_columns(session, origin))})")
        if clone is not None:
            change.statements.append(f"INSERT INTO {target} SELECT * FROM {reference(session, origin)}")
    elif source is not None:
        query = query_sql(source, session, resolve)
        names = [quoted(c.name) for c in columns]
        if columns and all(isinstance(c, exp.ColumnDef) and c.args.get("kind") for c in columns):
            change.statements.append(f"{verb} {target} ({column_list(columns, session, resolve, record, change, parts)})")
            change.statements.append(f"INSERT INTO {target} {query}")
        else:
            query = f"SELECT * FROM ({query}) AS _({', '.join(names)})" if names else query
            change.statements.append(f"{verb} {target} AS {query}")
    else:
        change.statements.append(f"{verb} {target} ({column_list(columns, session, resolve, record, change, parts)})")
    if not temporary:
        change.statements += [f"COMMENT ON COLUMN {target}.{quoted(c)} IS {literal(text)}" for c, text in record.comments.items()]

    def after() -> None:
        if temporary:
            session.temporary[parts] = ".".join(parts)
        else:
            record.write(session, comment_of(tree))

    change.after = after
    return change


def reference(session: Connection, parts: tuple[str, str, str]) -> str:
    return dotted(("temp", "main", session.temporary[parts])) if parts in session.temporary else dotted(parts)


def copied_columns(session: Connection, origin: tuple[str, str, str]) -> list[str]:
    """Column definitions of a table that exists: LIKE and CLONE keep NOT NULL and defaults."""
    at = ("temp", "main", session.temporary[origin]) if origin in session.temporary else origin
    sql = (
        "SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns() "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index"
    )
    rows = session._duck_conn.execute(sql, list(at)).fetchall()
    if not rows:
        raise missing_object(".".join(origin))
    return [
        f"{quoted(name)} {kind}{'' if nullable else ' NOT NULL'}{f' DEFAULT {default}' if default else ''}"
        for name, kind, nullable, default in rows
    ]


def column_list(
    columns: list[Expression], session: Connection, resolve: Resolve, record: Record, change: Change, parts: tuple[str, str, str]
) -> str:
    made = []
    for item in columns:
        if isinstance(item, exp.ColumnDef):
            made.append([item, column_definition(item, session, resolve, record, change, parts)])
        else:
            table_constraint(item, record)
    keys = {c for kind, _, names, _ in record.constraints if kind == "PRIMARY KEY" for c in names}
    return ", ".join(sql + (" NOT NULL" if item.name in keys and "NOT NULL" not in sql else "") for item, sql in made)


def column_definition(
    item: exp.ColumnDef, session: Connection, resolve: Resolve, record: Record, change: Change | None, parts: tuple[str, str, str]
) -> str:
    kind = item.args.get("kind")
    if kind is None:
        raise error(f"{COMPILATION}Missing data type for column '{item.name}'", 1003, "42000")
    record.types[item.name] = declared(kind)
    text = f"{quoted(item.name)} {duck_type(kind).sql('duckdb')}"
    for constraint in item.args.get("constraints") or []:
        what = constraint.args.get("kind")
        match what:
            case exp.NotNullColumnConstraint():
                text += "" if what.args.get("allow_null") else " NOT NULL"
            case exp.DefaultColumnConstraint():
                text += f" DEFAULT ({query_sql(what.this, session, resolve)})"
            case exp.CommentColumnConstraint():
                record.comments[item.name] = what.this.name
            case exp.PrimaryKeyColumnConstraint():
                record.constraints.append(("PRIMARY KEY", f"PK_{parts[2]}", [item.name], ""))
            case exp.UniqueColumnConstraint():
                record.constraints.append(("UNIQUE", f"UK_{parts[2]}_{item.name}", [item.name], ""))
            case exp.Reference():
                record.constraints.append(("FOREIGN KEY", f"FK_{parts[2]}_{item.name}", [item.name], referenced(what, record)))
            case exp.AutoIncrementColumnConstraint() | exp.GeneratedAsIdentityColumnConstraint() if change is not None:
                text += autoincrement(what, item.name, parts, change)
            case _:
                continue
    return text


def autoincrement(what: Expression, column: str, parts: tuple[str, str, str], change: Change) -> str:
    """A sequence of DuckDB's behind the column: docs.snowflake.com/en/sql-reference/sql/create-table (AUTOINCREMENT)"""
    start, step = what.args.get("start"), what.args.get("increment")
    name = dotted((parts[0], parts[1], f"_{parts[2]}_{column}_SEQ"))
    begin = f"START WITH {start.sql('duckdb') if start else 1} INCREMENT BY {step.sql('duckdb') if step else 1}"
    change.statements.append(f"CREATE OR REPLACE SEQUENCE {name} {begin}")
    return f" DEFAULT nextval({literal(name)})"


def table_constraint(item: Expression, record: Record) -> None:
    name = item.name if isinstance(item, exp.Constraint) else ""
    for part in item.expressions if isinstance(item, exp.Constraint) else [item]:
        table = record.parts[2]
        if isinstance(part, exp.PrimaryKey):
            record.constraints.append(("PRIMARY KEY", name or f"PK_{table}", names_in(part.expressions), relied(part)))
        elif isinstance(part, exp.ForeignKey):
            target = part.args.get("reference")
            record.constraints.append(("FOREIGN KEY", name or f"FK_{table}", names_in(part.expressions), referenced(target, record) if target else ""))
        elif isinstance(part, exp.UniqueColumnConstraint):
            inner = part.this.expressions if isinstance(part.this, exp.Schema) else []
            record.constraints.append(("UNIQUE", name or f"UK_{table}", names_in(inner), ""))


def relied(part: Expression) -> str:
    return "RELY" if "RELY" in (part.args.get("options") or []) else ""


def referenced(target: exp.Reference, record: Record) -> str:
    """The key a foreign key names, in full, and whether it is relied on; as JSON."""
    shape = target.this
    table = shape.this if isinstance(shape, exp.Schema) else shape
    columns = names_in(shape.expressions) if isinstance(shape, exp.Schema) else []
    where = [table.catalog or record.parts[0], table.db or record.parts[1], table.name]
    return json.dumps({"table": where, "columns": columns, "rely": bool(relied(target))})


def names_in(nodes: list[Expression]) -> list[str]:
    return [n.name for n in nodes]


# --- views, schemas, databases, sequences


def create_view(tree: exp.Create, session: Connection, resolve: Resolve) -> Change:
    """docs.snowflake.com/en/sql-reference/sql/create-view; a materialized view would be a frozen copy here, so it is refused."""
    refuse_kinds(tree)
    shape = tree.this
    table = shape.this if isinstance(shape, exp.Schema) else shape
    parts = full_name(table, session, "CREATE VIEW")
    if tree.args.get("exists") and exists(session, parts):
        return Change(f"{parts[2]} already exists, statement succeeded.")
    columns = f" ({', '.join(quoted(c.name) for c in shape.expressions)})" if isinstance(shape, exp.Schema) else ""
    verb = "CREATE OR REPLACE VIEW" if tree.args.get("replace") else "CREATE VIEW"
    record = Record(parts)
    said = {c.name: what.this.name for c in (shape.expressions if columns else []) for what in c.find_all(exp.CommentColumnConstraint)}
    return Change(
        f"View {parts[2]} successfully created.",
        [
            f"{verb} {dotted(parts)}{columns} AS {query_sql(tree.expression, session, resolve)}",
            *[f"COMMENT ON COLUMN {dotted(parts)}.{quoted(name)} IS {literal(text)}" for name, text in said.items()],
        ],
        lambda: record.write(session, comment_of(tree)),
    )


def create_schema(tree: exp.Create, session: Connection, resolve: Resolve) -> Change:
    """A new schema becomes the current one: docs.snowflake.com/en/sql-reference/sql/create-schema"""
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    database, schema = schema_names(table, session)
    if not session.duck.has_database(database):
        raise error(f"{COMPILATION}Database '{database}' does not exist or not authorized.", 2003, "02000")
    if session.duck.has_schema(database, schema) and not tree.args.get("replace"):
        if tree.args.get("exists"):
            session.use(database, schema)
            return Change(f"{schema} already exists, statement succeeded.")
        raise error(f"{COMPILATION}Object '{schema}' already exists.", 2002, "42710")
    drop = [f"DROP SCHEMA IF EXISTS {dotted((database, schema))} CASCADE"] if tree.args.get("replace") else []
    create = f"CREATE SCHEMA {dotted((database, schema))}"
    return Change(f"Schema {schema} successfully created.", [*drop, create], lambda: session.use(database, schema))


def schema_names(table: exp.Table, session: Connection) -> tuple[str, str]:
    """(database, schema) of a schema's name; sqlglot puts it where a table's schema stands."""
    names = [p.name for p in (table.args.get("catalog"), table.args.get("db"), table.args.get("this")) if p and p.name]
    database = names[-2] if len(names) > 1 else session.database
    if not database:
        raise no_database("CREATE SCHEMA")
    return database, names[-1]


def create_database(tree: exp.Create, session: Connection, resolve: Resolve) -> Change:
    """It comes with PUBLIC, and both become current: docs.snowflake.com/en/sql-reference/sql/create-database"""
    name = tree.this.name
    if session.duck.has_database(name):
        if tree.args.get("exists"):
            return Change(f"{name} already exists, statement succeeded.")
        if not tree.args.get("replace"):
            raise error(f"{COMPILATION}Object '{name}' already exists.", 2002, "42710")
        leave(session, name)
        session.duck.drop_database(name)
    session.duck.create_database(name)
    session.use(name, "PUBLIC")
    return Change(f"Database {name} successfully created.")


def use(tree: exp.Use, session: Connection) -> None:
    """docs.snowflake.com/en/sql-reference/sql/use-schema; roles and warehouses are the account's affair."""
    kind = tree.args.get("kind")
    kind = (kind.name if isinstance(kind, Expression) else str(kind or "")).upper()
    if kind in ("ROLE", "WAREHOUSE", "SECONDARY ROLES"):
        return
    table, duck = tree.this, session.duck
    if kind == "DATABASE" or (not kind and not table.db):
        database, schema = table.name, "PUBLIC" if duck.has_schema(table.name, "PUBLIC") else None
        found = duck.has_database(database)
    else:
        database, schema = table.db or session.database, table.name
        found = duck.has_schema(database, schema)
    if not found:
        raise error(f"{COMPILATION}Object does not exist, or operation cannot be performed.", 2043, "02000")
    session.use(database, schema)


def leave(session: Connection, database: str) -> None:
    if session.database == database:
        session._duck_conn.execute("USE memory.main")
        session.database = session._schema = None
        session.database_set = session.schema_set = False


def create_sequence(tree: exp.Create, session: Connection, resolve: Resolve) -> Change:
    parts = full_name(tree.this, session, "CREATE SEQUENCE")
    found = next((p for p in properties(tree) if isinstance(p, exp.SequenceProperties)), None)
    start = found.args.get("start") if found else None
    step = found.args.get("increment") if found else None
    begin = f"START WITH {start.sql('duckdb') if start else 1} INCREMENT BY {step.sql('duckdb') if step else 1}"
    verb = "CREATE OR REPLACE SEQUENCE" if tree.args.get("replace") else "CREATE SEQUENCE IF NOT EXISTS" if tree.args.get("exists") else "CREATE SEQUENCE"
    return Change(f"Sequence {parts[2]} successfully created.", [f"{verb} {dotted(parts)} {begin}"])


CREATES = {"TABLE": create_table, "VIEW": create_view, "SCHEMA": create_schema, "DATABASE": create_database, "SEQUENCE": create_sequence}


def create(tree: exp.Create, session: Connection, resolve: Resolve) -> Change:
    made = CREATES.get(str(tree.args.get("kind")).upper())
    if made is None:
        raise unsupported(tree.sql("snowflake"))
    return made(tree, session, resolve)


def drop(tree: exp.Drop, session: Connection, resolve: Resolve) -> Change:
    """docs.snowflake.com/en/sql-reference/sql/drop-table and its neighbours; everything inside a schema goes with it."""
    kind, lenient = str(tree.args.get("kind")).upper(), bool(tree.args.get("exists"))
    table = tree.this or tree.args["tables"][0]
    if kind == "DATABASE":
        if lenient and not session.duck.has_database(table.name):
            return gone(table.name)
        leave(session, table.name)
        session.duck.drop_database(table.name)
        return Change(f"{table.name} successfully dropped.")
    if kind == "SCHEMA":
        database, schema = schema_names(table, session)
        if not session.duck.has_schema(database, schema):
            if lenient:
                return gone(schema)
            raise error(f"{COMPILATION}Schema '{database}.{schema}' does not exist or not authorized.", 2003, "02000")

        def left() -> None:
            if (session.database, session._schema) == (database, schema):
                session.use(database, None)

        return Change(f"{schema} successfully dropped.", [f"DROP SCHEMA {dotted((database, schema))} CASCADE"], left)
    if kind not in ("TABLE", "VIEW", "SEQUENCE"):
        raise unsupported(tree.sql("snowflake"))
    parts = full_name(table, session, f"DROP {kind}")
    if kind == "TABLE" and parts in session.temporary:
        return Change(f"{parts[2]} successfully dropped.", [f"DROP TABLE {reference(session, parts)}"], lambda: session.temporary.pop(parts) and None)
    if kind != "SEQUENCE" and not exists(session, parts):
        if lenient:
            return gone(parts[2])
        raise error(f"{COMPILATION}{kind.capitalize()} '{'.'.join(parts)}' does not exist or not authorized.", 2003, "42S02")
    optional = "IF EXISTS " if lenient else ""
    return Change(f"{parts[2]} successfully dropped.", [f"DROP {kind} {optional}{dotted(parts)}"], lambda: forget(session, parts))


def gone(name: str) -> Change:
    return Change(f"Drop statement executed successfully ({name} already dropped).")


def comment(tree: exp.Comment, session: Connection, resolve: Resolve) -> Change:
    """COMMENT ON TABLE / VIEW / COLUMN: docs.snowflake.com/en/sql-reference/sql/comment"""
    kind, text = str(tree.args.get("kind")).upper(), tree.expression.name
    if kind == "COLUMN":
        column = tree.this
        table = exp.Table(this=column.args.get("table"), db=column.args.get("db"), catalog=column.args.get("catalog"))
        return Change(statements=[f"COMMENT ON COLUMN {dotted(full_name(table, session))}.{quoted(column.name)} IS {literal(text)}"])
    if kind not in ("TABLE", "VIEW"):
        return Change()
    return table_comment(full_name(tree.this, session), text, session)


def table_comment(parts: tuple[str, str, str], text: str, session: Connection) -> Change:
    if not exists(session, parts):
        raise missing_object(".".join(parts))
    # Afterwards: one transaction of DuckDB writes to one database only.
    insert = f"INSERT OR REPLACE INTO {GLOBAL}._fs_tables_ext VALUES (?, ?, ?, ?)"
    return Change(after=lambda: session.probe.execute(insert, [*parts, text]) and None)
