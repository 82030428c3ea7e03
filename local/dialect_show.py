"""DESCRIBE and SHOW for tables, views, columns, schemas, databases: the columns that clients read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_ddl import exists, literal
from local.dialect_errors import COMPILATION, error, missing_object, unsupported
from local.dialect_names import full_name
from local.dialect_record import GLOBAL

if TYPE_CHECKING:
    from local.duck import Connection

TYPE_SQL = """coalesce(f.declared, CASE
    WHEN c.data_type IN ('BIGINT', 'HUGEINT', 'INTEGER') THEN 'NUMBER(38,0)'
    WHEN c.data_type LIKE 'DECIMAL%' THEN replace(c.data_type, 'DECIMAL', 'NUMBER')
    WHEN c.data_type = 'VARCHAR' THEN 'VARCHAR(16777216)'
    WHEN c.data_type = 'DOUBLE' THEN 'FLOAT'
    WHEN c.data_type = 'BLOB' THEN 'BINARY(8388608)'
    WHEN c.data_type = 'TIMESTAMP' THEN 'TIMESTAMP_NTZ(9)'
    WHEN c.data_type = 'TIMESTAMP WITH TIME ZONE' THEN 'TIMESTAMP_LTZ(9)'
    WHEN c.data_type = 'TIME' THEN 'TIME(9)'
    WHEN c.data_type = 'JSON' THEN 'VARIANT'
    ELSE c.data_type END)"""
COLUMNS_FROM = f"""FROM duckdb_columns() c LEFT JOIN {GLOBAL}._firn_columns f
    ON f.table_catalog = c.database_name AND f.table_schema = c.schema_name AND f.table_name = c.table_name AND f.column_name = c.column_name"""
HIDDEN = "('_fs_information_schema', '_FS_INFORMATION_SCHEMA', 'main', 'pg_catalog', 'information_schema')"


def describe(tree: exp.Describe, session: Connection) -> tuple[str, list[Any]]:
    """docs.snowflake.com/en/sql-reference/sql/desc-table"""
    if not isinstance(tree.this, exp.Table):
        raise unsupported(tree.sql("snowflake"))
    kind = str(tree.args.get("kind") or "TABLE").upper()
    if kind not in ("TABLE", "VIEW"):
        raise unsupported(tree.sql("snowflake"))
    parts = full_name(tree.this, session, "DESCRIBE TABLE")
    if parts[1] == "INFORMATION_SCHEMA":
        parts = (parts[0], "_fs_information_schema", f"_fs_{parts[2].lower()}")
    elif not exists(session, parts):
        raise missing_object(".".join(parts))
    at = ("temp", "main", session.temporary[parts]) if parts in session.temporary else parts
    keyed = f"SELECT unnest(columns) FROM {GLOBAL}._firn_constraints k WHERE k.table_catalog = c.database_name AND k.table_schema = c.schema_name AND k.table_name = c.table_name AND k.kind"
    sql = f"""SELECT c.column_name AS "name", {TYPE_SQL} AS "type", 'COLUMN' AS "kind",
        CASE WHEN c.is_nullable THEN 'Y' ELSE 'N' END AS "null?", c.column_default AS "default",
        CASE WHEN c.column_name IN ({keyed} = 'PRIMARY KEY') THEN 'Y' ELSE 'N' END AS "primary key",
        CASE WHEN c.column_name IN ({keyed} = 'UNIQUE') THEN 'Y' ELSE 'N' END AS "unique key",
        NULL::VARCHAR AS "check", NULL::VARCHAR AS "expression", c.comment AS "comment", NULL::VARCHAR AS "policy name",
        NULL::VARCHAR AS "privacy domain"
        {COLUMNS_FROM} WHERE c.database_name = ? AND c.schema_name = ? AND c.table_name = ? ORDER BY c.column_index"""
    return sql, list(at)


def scope(tree: exp.Show, session: Connection) -> tuple[str | None, str | None]:
    """(database, schema) that a SHOW looks in; None is everywhere."""
    kind, place = str(tree.args.get("scope_kind") or "").upper(), tree.args.get("scope")
    names = [fold(i) for i in place.find_all(exp.Identifier, bfs=False)] if isinstance(place, Expression) else []
    if isinstance(place, exp.Table):
        names = [fold(i) for i in (place.args.get("catalog"), place.args.get("db"), place.this) if isinstance(i, exp.Identifier)]
    if kind == "ACCOUNT":
        return None, None
    if kind == "DATABASE":
        database, schema = (names[-1] if names else session.database), None
    elif names:
        database, schema = (names[-2] if len(names) > 1 else session.database), names[-1]
    else:
        database, schema = session.database, session.schema
    if database and not session.duck.has_database(database):
        raise error(f"{COMPILATION}Database '{database}' does not exist or not authorized.", 2003, "02000")
    if schema and schema != "INFORMATION_SCHEMA" and not session.duck.has_schema(database, schema):
        raise error(f"{COMPILATION}Schema '{database}.{schema}' does not exist or not authorized.", 2003, "02000")
    return database, schema


def fold(identifier: exp.Identifier) -> str:
    return identifier.name if identifier.quoted else identifier.name.upper()


def conditions(tree: exp.Show, name: str) -> str:
    found = ""
    if isinstance(like := tree.args.get("like"), Expression):
        # LIKE of SHOW does not look at case.
        found += f" AND {name} ILIKE {like.sql('duckdb')} ESCAPE '\\'"
    if isinstance(start := tree.args.get("starts_with"), Expression):
        found += f" AND starts_with({name}, {start.sql('duckdb')})"
    return found


def limited(tree: exp.Show) -> str:
    limit = tree.args.get("limit")
    return f" {limit.sql('duckdb')}" if isinstance(limit, Expression) else ""


EPOCH = "to_timestamp(0)"


def show(tree: exp.Show, session: Connection, command: str) -> tuple[str, list[Any]]:
    """docs.snowflake.com/en/sql-reference/sql/show-tables and its neighbours"""
    what = tree.name.upper()
    makers = {"TABLES": tables, "VIEWS": views, "OBJECTS": objects, "SCHEMAS": schemas, "DATABASES": databases, "COLUMNS": columns,
              "PRIMARY KEYS": keys, "UNIQUE KEYS": keys, "IMPORTED KEYS": keys, "SEQUENCES": sequences}  # fmt: skip
    if what not in makers:
        raise unsupported(command)
    return makers[what](tree, session)


def where(database: str | None, schema: str | None, prefix: str = "") -> str:
    made = f"{prefix}schema_name NOT IN {HIDDEN} AND {prefix}database_name NOT IN ('system', 'temp', 'memory', '_fs_global', '_sf')"
    made += f" AND {prefix}database_name = {literal(database)}" if database else ""
    return made + (f" AND {prefix}schema_name = {literal(schema)}" if schema else "")


TABLE_COLUMNS = f"""SELECT {EPOCH} AS "created_on", table_name AS "name", t.database_name AS "database_name", t.schema_name AS "schema_name",
    CASE WHEN EXISTS (SELECT 1 FROM {GLOBAL}._firn_transient k WHERE k.table_catalog = t.database_name AND k.table_schema = t.schema_name
        AND k.table_name = t.table_name) THEN 'TRANSIENT' ELSE 'TABLE' END AS "kind", coalesce(e.comment, '') AS "comment", '' AS "cluster_by", t.estimated_size AS "rows", 0 AS "bytes",
    'ACCOUNTADMIN' AS "owner", '1' AS "retention_time", 'OFF' AS "automatic_clustering", 'OFF' AS "change_tracking", 'ROLE' AS "owner_role_type"
    FROM duckdb_tables() t LEFT JOIN {GLOBAL}._fs_tables_ext e ON e.ext_table_catalog = t.database_name
        AND e.ext_table_schema = t.schema_name AND e.ext_table_name = t.table_name"""
VIEW_COLUMNS = f"""SELECT {EPOCH} AS "created_on", view_name AS "name", '' AS "reserved", t.database_name AS "database_name",
    t.schema_name AS "schema_name", 'ACCOUNTADMIN' AS "owner", coalesce(e.comment, '') AS "comment", t.sql AS "text",
    'false' AS "is_secure", 'false' AS "is_materialized", 'ROLE' AS "owner_role_type", 'OFF' AS "change_tracking"
    FROM duckdb_views() t LEFT JOIN {GLOBAL}._fs_tables_ext e ON e.ext_table_catalog = t.database_name
        AND e.ext_table_schema = t.schema_name AND e.ext_table_name = t.view_name"""


def tables(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    at = where(*scope(tree, session), prefix="t.")
    return f'{TABLE_COLUMNS} WHERE {at}{conditions(tree, "table_name")} ORDER BY 3, 4, 2{limited(tree)}', []


def views(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    at = where(*scope(tree, session), prefix="t.")
    return f'{VIEW_COLUMNS} WHERE {at} AND NOT internal{conditions(tree, "view_name")} ORDER BY 4, 5, 2{limited(tree)}', []


def objects(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    at = where(*scope(tree, session))
    both = f"""SELECT database_name, schema_name, table_name AS name, 'TABLE' AS kind, estimated_size AS row_count FROM duckdb_tables() WHERE {at}
        UNION ALL SELECT database_name, schema_name, view_name, 'VIEW', NULL FROM duckdb_views() WHERE {at} AND NOT internal"""
    return f"""SELECT {EPOCH} AS "created_on", name AS "name", database_name AS "database_name", schema_name AS "schema_name", kind AS "kind",
        '' AS "comment", '' AS "cluster_by", row_count AS "rows", 0 AS "bytes", 'ACCOUNTADMIN' AS "owner", '1' AS "retention_time",
        'ROLE' AS "owner_role_type" FROM ({both}) WHERE true{conditions(tree, "name")} ORDER BY 3, 4, 2{limited(tree)}""", []


def schemas(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    kind = str(tree.args.get("scope_kind") or "").upper()
    place = tree.args.get("scope")
    names = [fold(i) for i in place.find_all(exp.Identifier)] if isinstance(place, Expression) else []
    database = None if kind == "ACCOUNT" else names[-1] if names else session.database
    if database and not session.duck.has_database(database):
        raise error(f"{COMPILATION}Database '{database}' does not exist or not authorized.", 2003, "02000")
    return f"""SELECT {EPOCH} AS "created_on", schema_name AS "name", 'N' AS "is_default",
        CASE WHEN database_name = {literal(session.database or '')} AND schema_name = {literal(session.schema or '')} THEN 'Y' ELSE 'N' END AS "is_current",
        database_name AS "database_name", 'ACCOUNTADMIN' AS "owner", '' AS "comment", '' AS "options", '1' AS "retention_time", 'ROLE' AS "owner_role_type"
        FROM duckdb_schemas() WHERE {where(database, None)}{conditions(tree, "schema_name")} ORDER BY 5, 2{limited(tree)}""", []


def databases(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    return f"""SELECT {EPOCH} AS "created_on", database_name AS "name", 'N' AS "is_default",
        CASE WHEN database_name = {literal(session.database or '')} THEN 'Y' ELSE 'N' END AS "is_current", '' AS "origin", 'ACCOUNTADMIN' AS "owner",
        '' AS "comment", '' AS "options", '1' AS "retention_time", 'STANDARD' AS "kind", 'ROLE' AS "owner_role_type"
        FROM duckdb_databases() WHERE path IS NOT NULL AND database_name <> '_fs_global'{conditions(tree, "database_name")} ORDER BY 2{limited(tree)}""", []


def columns(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    kind, place = str(tree.args.get("scope_kind") or "").upper(), tree.args.get("scope")
    if kind in ("TABLE", "VIEW") and isinstance(place, exp.Table):
        for identifier in place.find_all(exp.Identifier):
            identifier.set("this", fold(identifier))
        parts = full_name(place, session)
        if not exists(session, parts):
            raise missing_object(".".join(parts))
        at = where(parts[0], parts[1], "c.") + f" AND c.table_name = {literal(parts[2])}"
    else:
        at = where(*scope(tree, session), prefix="c.")
    return f"""SELECT c.table_name AS "table_name", c.schema_name AS "schema_name", c.column_name AS "column_name",
        json_object('type', split_part({TYPE_SQL}, '(', 1), 'nullable', c.is_nullable)::VARCHAR AS "data_type", c.is_nullable::VARCHAR AS "null?",
        coalesce(c.column_default, '') AS "default", 'COLUMN' AS "kind", '' AS "expression", coalesce(c.comment, '') AS "comment",
        c.database_name AS "database_name", '' AS "autoincrement" {COLUMNS_FROM}
        WHERE {at}{conditions(tree, "c.column_name")} ORDER BY 10, 2, 1, c.column_index{limited(tree)}""", []


def keys(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    kind = {"PRIMARY KEYS": "PRIMARY KEY", "UNIQUE KEYS": "UNIQUE", "IMPORTED KEYS": "FOREIGN KEY"}[tree.name.upper()]
    place = tree.args.get("scope")
    at = f"kind = {literal(kind)}"
    if str(tree.args.get("scope_kind") or "").upper() == "TABLE" and isinstance(place, exp.Table):
        for identifier in place.find_all(exp.Identifier):
            identifier.set("this", fold(identifier))
        database, schema, name = full_name(place, session)
        at += f" AND table_catalog = {literal(database)} AND table_schema = {literal(schema)} AND table_name = {literal(name)}"
    else:
        database, schema = scope(tree, session)
        at += f" AND table_catalog = {literal(database)}" if database else ""
        at += f" AND table_schema = {literal(schema)}" if schema else ""
    if kind == "FOREIGN KEY":
        return imported_keys(at), []
    return f"""SELECT {EPOCH} AS "created_on", table_catalog AS "database_name", table_schema AS "schema_name", table_name AS "table_name",
        unnest(columns) AS "column_name", generate_subscripts(columns, 1) AS "key_sequence", constraint_name AS "constraint_name", (referenced = 'RELY')::VARCHAR AS "rely",
        '' AS "comment" FROM {GLOBAL}._firn_constraints WHERE {at} ORDER BY 2, 3, 4, 6""", []


def imported_keys(at: str) -> str:
    """Foreign keys with the keys they name, as the drivers of BI tools read them."""
    where = [f"referenced::JSON->'table'->>{position}" for position in range(3)]
    return f"""SELECT {EPOCH} AS "created_on", {where[0]} AS "pk_database_name", {where[1]} AS "pk_schema_name", {where[2]} AS "pk_table_name",
        unnest((referenced::JSON->'columns')::VARCHAR[]) AS "pk_column_name", table_catalog AS "fk_database_name", table_schema AS "fk_schema_name",
        table_name AS "fk_table_name", unnest(columns) AS "fk_column_name", generate_subscripts(columns, 1) AS "key_sequence", 'NO ACTION' AS "update_rule",
        'NO ACTION' AS "delete_rule", constraint_name AS "fk_name", NULL::VARCHAR AS "pk_name", 'NOT DEFERRABLE' AS "deferrability",
        referenced::JSON->>'rely' AS "rely", '' AS "comment" FROM {GLOBAL}._firn_constraints WHERE {at} AND referenced LIKE '{{%' ORDER BY 8, 13, 10"""


def sequences(tree: exp.Show, session: Connection) -> tuple[str, list[Any]]:
    at = where(*scope(tree, session))
    return f"""SELECT sequence_name AS "name", database_name AS "database_name", schema_name AS "schema_name", start_value AS "next_value",
        increment_by AS "interval", {EPOCH} AS "created_on", 'ACCOUNTADMIN' AS "owner", '' AS "comment", 'ROLE' AS "owner_role_type", 'N' AS "ordered"
        FROM duckdb_sequences() WHERE {at}{conditions(tree, "sequence_name")} ORDER BY 2, 3, 1{limited(tree)}""", []
