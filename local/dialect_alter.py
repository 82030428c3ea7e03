"""ALTER TABLE, ALTER VIEW, ALTER SCHEMA … RENAME: docs.snowflake.com/en/sql-reference/sql/alter-table"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_ddl import Change, column_definition, literal, reference, table_comment
from local.dialect_errors import unsupported
from local.dialect_functions import Resolve
from local.dialect_names import dotted, full_name, quoted
from local.dialect_record import GLOBAL, Record
from local.dialect_types import duck_type

if TYPE_CHECKING:
    from local.duck import Connection

Parts = tuple[str, str, str]


def alter(tree: exp.Alter, session: Connection, resolve: Resolve) -> Change:
    kind = str(tree.args.get("kind")).upper()
    if kind not in ("TABLE", "VIEW"):
        raise unsupported(tree.sql("snowflake"))
    parts = full_name(tree.this, session, f"ALTER {kind}")
    at = f"ALTER {kind} {'IF EXISTS ' if tree.args.get('exists') else ''}{reference(session, parts)}"
    change = Change()
    for action in tree.args.get("actions") or []:
        one = alter_action(action, at, parts, session, resolve)
        change.statements += one.statements
        change.after = one.after or change.after
    return change


def alter_action(action: Expression, at: str, parts: Parts, session: Connection, resolve: Resolve) -> Change:
    match action:
        case exp.ColumnDef():
            return Change(statements=added_column(action, at, parts, session, resolve))
        case exp.Drop():
            optional = "IF EXISTS " if action.args.get("exists") else ""
            columns = action.args.get("tables") or action.expressions or [action.this]
            return Change(statements=[f"{at} DROP COLUMN {optional}{quoted(c.name)}" for c in columns])
        case exp.RenameColumn():
            return Change(statements=[f"{at} RENAME COLUMN {quoted(action.this.name)} TO {quoted(action.args['to'].name)}"])
        case exp.AlterRename():
            return renamed(action.this, at, parts, session)
        case exp.SwapTable():
            other = full_name(action.this, session)
            spare = f"{parts[2]}_SWAPPED"
            base = dotted(parts[:2])
            return Change(statements=[
                f"{at} RENAME TO {quoted(spare)}",
                f"ALTER TABLE {dotted(other)} RENAME TO {quoted(parts[2])}",
                f"ALTER TABLE {base}.{quoted(spare)} RENAME TO {quoted(other[2])}",
            ])  # fmt: skip
        case exp.AlterColumn():
            return Change(statements=altered_column(action, at, parts))
        case exp.AlterSet():
            comment = action.find(exp.SchemaCommentProperty)
            return table_comment(parts, comment.this.name, session) if comment else Change()
        case exp.Cluster() | exp.ClusterProperty():
            return Change()  # how a table is clustered changes no answer
        case exp.AddConstraint():
            return Change()
    text = action.sql("snowflake").upper()
    if any(words in text for words in ("CLUSTERING", "RECLUSTER", "SEARCH OPTIMIZATION", "UNSET", "CHANGE_TRACKING", "DATA_RETENTION", "MAX_DATA_EXTENSION")):
        return Change()
    raise unsupported(f"ALTER TABLE … {action.sql('snowflake')}")


def added_column(item: exp.ColumnDef, at: str, parts: Parts, session: Connection, resolve: Resolve) -> list[str]:
    """DuckDB takes NOT NULL for a column it adds only afterwards, when every row has its default."""
    record = Record(parts)
    definition = column_definition(item, session, resolve, record, None, parts)
    optional = "IF NOT EXISTS " if item.args.get("exists") else ""
    made = [f"{at} ADD COLUMN {optional}{definition.replace(' NOT NULL', '')}"]
    if " NOT NULL" in definition:
        made.append(f"{at} ALTER COLUMN {quoted(item.name)} SET NOT NULL")
    made += [f"COMMENT ON COLUMN {reference(session, parts)}.{quoted(c)} IS {literal(text)}" for c, text in record.comments.items()]
    return made


def renamed(to: exp.Table, at: str, parts: Parts, session: Connection) -> Change:
    target = full_name(to, session) if to.db else (*parts[:2], to.name)
    if target[:2] != parts[:2]:
        raise unsupported(f"ALTER TABLE … RENAME TO another schema ({'.'.join(target)})")
    return Change(statements=[f"{at} RENAME TO {quoted(target[2])}"], after=lambda: move_records(parts, target[2], session))


def move_records(parts: Parts, name: str, session: Connection) -> None:
    for table, prefix in (("_firn_columns", ""), ("_firn_constraints", ""), ("_firn_transient", ""), ("_fs_tables_ext", "ext_")):
        session.probe.execute(
            f"UPDATE {GLOBAL}.{table} SET {prefix}table_name = ? WHERE {prefix}table_catalog = ? AND {prefix}table_schema = ?"
            f" AND {prefix}table_name = ?",
            [name, *parts],
        )


def altered_column(action: exp.AlterColumn, at: str, parts: Parts) -> list[str]:
    column = f"{at} ALTER COLUMN {quoted(action.this.name)}"
    if kind := action.args.get("dtype"):
        return [f"{column} SET DATA TYPE {duck_type(kind).sql('duckdb')}"]
    if text := action.args.get("comment"):
        return [f"COMMENT ON COLUMN {dotted(parts)}.{quoted(action.this.name)} IS {literal(text.name)}"]
    if action.args.get("drop") and action.args.get("allow_null"):
        return [f"{column} DROP NOT NULL"]
    if action.args.get("allow_null") is False:
        return [f"{column} SET NOT NULL"]
    if action.args.get("drop"):
        return [f"{column} DROP DEFAULT"]
    raise unsupported(f"ALTER TABLE … {action.sql('snowflake')}")
