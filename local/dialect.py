"""Runs Snowflake SQL on DuckDB: one cursor that reads, translates, runs, and answers with Snowflake's columns and errors.

Queries and DML are translated once per text (`Duck.plans`); DDL and SHOW each time. Session variables are
fakesnow's; everything that neither of us knows is an error, never a silent success.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.statement_type import DML_TYPE_IDS, statement_type_id
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr as Expression
from sqlglot import exp

from local import dialect_alter, dialect_ddl, dialect_dml, dialect_moulds, dialect_show, wire
from local.dialect_errors import aborted, aborts_transaction, is_conflict, locked, translated, unsupported
from local.dialect_functions import translate
from local.dialect_names import identifier_tables, qualify, upper_case
from local.dialect_record import is_transient
from local.dialect_tables import name_columns, order_by_all, sequence_order, sequences, table_functions, values_columns
from local.dialect_text import readable, shape

if TYPE_CHECKING:
    from local.duck import Connection

warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it cannot read is an error to the client, not a line in a log

QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
STATUS = ("status",)
CHANGES: dict[type[Expression], Callable[..., dialect_ddl.Change]] = {
    exp.Create: dialect_ddl.create,
    exp.Drop: dialect_ddl.drop,
    exp.Alter: dialect_alter.alter,
    exp.Comment: dialect_ddl.comment,
}
PLAN_LIMIT = 2_000
LOCK_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """A statement ready for DuckDB. `counts` names the columns of a DML's answer, `first` runs before it in one transaction,
    `shape` is what it has in common with statements that differ in constants; `scratch`: it fills a transient table; `asks`: for the
    time or for facts of the session."""

    sql: str
    type_id: int
    counts: tuple[str, ...] = ()
    merge: bool = False
    temporary: bool = False
    first: str = ""
    shape: tuple[Any, ...] = ()
    scratch: bool = False
    asks: bool = True


def parse(sql: str) -> Expression:
    """One statement as a tree. Raises sqlglot's errors."""
    tree = sqlglot.parse_one(readable(sql), read="snowflake")
    if isinstance(tree, exp.Command) and str(tree.this).upper() not in ("SHOW", "UNSET"):
        raise unsupported(sql)
    return tree


class Cursor(FakeSnowflakeCursor):
    """As the driver's cursor; `payload()` gives what goes over the wire."""

    _conn: Connection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.columns: wire.RowType = []
        self.type_id = 0

    # --- hooks

    def resolve_function(self, parts: tuple[str, ...]) -> str | None:
        """DuckDB's name for a user-defined function, by its name as written, folded; None if there is none."""
        hook = self._conn.duck.resolve_function
        return hook(self._conn, parts) if hook else None

    # --- running

    def execute(self, command: str, params: Sequence[Any] | dict[Any, Any] | None = None, *args: Any, **kwargs: Any) -> Cursor:
        params = kwargs.get("binding_params") or params
        self._arrow_table = self._arrow_table_fetch_index = self._rowcount = None
        self._sfqid, self._sqlstate = str(uuid.uuid4()), None
        try:
            self._run(command, params)
        except Exception as e:
            cause = e.__cause__ if isinstance(e, NotBound) and isinstance(e.__cause__, Exception) else e
            raised = translated(cause, command)
            self._sqlstate = raised.sqlstate
            self._note_abort(e, raised)
            raise raised from (None if isinstance(e, ProgrammingError) else e)
        self._conn.remember(self._sfqid, self._arrow_table)
        return self

    def execute_batch(self, command: str, rows: Sequence[Sequence[Any]]) -> Cursor:
        """A statement for many rows of parameters: an INSERT of VALUES runs once, anything else row by row."""
        self._sfqid = str(uuid.uuid4())
        name = f"FIRN_ROWS_{self._sfqid.replace('-', '_')}"
        once = dialect_dml.insert_from(parse(command), name) if rows else None
        if once is None:
            count = 0
            for row in rows:
                self.execute(command, binding_params=list(row))
                count += self._rowcount or 0
            self._rowcount = count
            return self
        self._duck_conn.register(name, dialect_dml.rows_table(rows))
        try:
            return self.execute(once)
        finally:
            self._duck_conn.unregister(name)

    def _run(self, command: str, params: Any) -> None:
        key = (command, self._conn.database, self._conn._schema, self._conn.app)
        plan = self._conn.duck.plans.get(key) if not self._conn.temporary else None
        if plan is None:
            plan = self._moulded(command, key) or self._plan(command, params, key)
        if plan is not None:
            if plan.asks:
                self.set_variables()
            self._carry_out(plan, params)

    def _moulded(self, command: str, key: tuple) -> Plan | None:
        """The plan of a statement that was translated before with other constants, see dialect_moulds."""
        places = dialect_moulds.constants(command)
        if not 0 < len(places) <= dialect_moulds.MOST or self._conn.temporary or self._conn.variables._variables:
            return None
        plans, key = self._conn.duck.plans, ("mould", dialect_moulds.key_of(command, places), *key[1:])
        if key not in plans:
            try:
                self._keep(key, self._mould(command, places))
            except (ProgrammingError, sqlglot.errors.SqlglotError):
                return None  # as it stands, the statement gives the error that names what stands in it
        values = [command[begin:end] for begin, end in places]
        return plans[key].plan_for(values) if plans[key] is not None else None

    def _mould(self, command: str, places: list[tuple[int, int]]) -> dialect_moulds.Mould | None:
        marks = dialect_moulds.stand_ins(command, places)
        if any(mark in command for mark in marks) or not dialect_moulds.are_tokens(command, places):
            return None
        marked = dialect_moulds.filled(dialect_moulds.parts_between(command, places), marks)
        tree = parse(marked)
        if not isinstance(tree, (*QUERIES, exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            return None
        upper_case(tree)
        plan = self._translated(tree, marked)
        if "FIRN_ROWS_" in plan.sql or params_in_names(tree):
            return None
        return dialect_moulds.mould_of(plan, marks)

    def _plan(self, command: str, params: Any, key: tuple) -> Plan | None:
        """Translate a query or DML. Other statements are carried out here and now, and have no plan."""
        command = self._inline_variables(command)
        tree = parse(command)
        self.type_id = statement_type_id(tree)
        if not isinstance(tree, exp.Show):
            upper_case(tree)
        if isinstance(tree, (*QUERIES, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)):
            plan = self._translated(tree, command)
            cacheable = not self._conn.temporary and not self._conn.variables._variables and "FIRN_ROWS_" not in plan.sql
            if cacheable and not params_in_names(tree):
                self._keep(key, plan)
            return plan
        self._other(tree, command)
        return None

    def _keep(self, key: tuple, plan: Any) -> None:
        if len(self._conn.duck.plans) >= PLAN_LIMIT:
            self._conn.duck.forget_plans()
        self._conn.duck.plans[key] = plan

    def _translated(self, tree: Expression, command: str) -> Plan:
        session = self._conn
        type_id = statement_type_id(tree)
        truncates = isinstance(tree, exp.TruncateTable)
        if truncates:  # as a DELETE it keeps to the transaction, as Snowflake's does
            tree = exp.Delete(this=tree.expressions[0])
        if isinstance(tree, QUERIES):
            name_columns(tree, command)
        identifier_tables(tree)
        upper_case(tree)
        overwritten = dialect_dml.overwritten(tree)
        values_columns(tree)
        sequence_order(tree)
        order_by_all(tree)
        sequences(tree, session)
        counts = dialect_dml.prepare(tree)
        tree = translate(tree, self.resolve_function)
        table_functions(tree, session)
        temporary = qualify(tree, session, type(tree).__name__.upper())
        sql = dialect_dml.finish(tree, tree.sql("duckdb", identify=True))
        first = ""
        if overwritten is not None:
            qualify(overwritten, session, "INSERT")
            first = overwritten.sql("duckdb", identify=True)
        place = (shape(command), session.database, session._schema, session.app)
        scratch = isinstance(tree, exp.Insert) and is_transient(session, dialect_dml.inserted_into(tree))
        return Plan(sql, type_id, STATUS if truncates else counts, isinstance(tree, exp.Merge), temporary, first, place, scratch, session.duck.asking.asks(sql))

    def _carry_out(self, plan: Plan, params: Any) -> None:
        self.type_id = plan.type_id
        values = list(params) if isinstance(params, tuple) else params
        if self._conn._in_transaction and self._conn.aborted:
            raise aborted(self._conn.aborted)
        if self._conn._in_transaction and not plan.temporary:
            # Errors that DuckDB finds while binding would end the transaction: find them outside it first.
            self._bind_elsewhere(plan, values)
        with self._conn.duck.scratch() if plan.scratch else nullcontext():
            if plan.first:
                self._overwrite(plan, values)
            else:
                self._retrying(plan.sql, values)
        if plan.type_id in DML_TYPE_IDS:
            self._dml_answer(plan)
        elif plan.counts == STATUS:
            self._duck_conn.fetchall()
            self._status(dialect_ddl.SUCCESS)
        else:
            described = self._duck_conn.description or []
            table = self._duck_conn.to_arrow_table()
            self.columns, self._arrow_table, self._rowcount = wire.rowtype(described), table, table.num_rows
        self._last_sql, self._last_params, self._last_transformed = plan.sql, values, None

    def _overwrite(self, plan: Plan, values: Any) -> None:
        """INSERT OVERWRITE empties the table and fills it as one: docs.snowflake.com/en/sql-reference/sql/insert"""
        alone = not self._conn._in_transaction
        if alone:
            self._duck_conn.execute("BEGIN TRANSACTION")
        try:
            self._duck_conn.execute(plan.first)
            self._duck_conn.execute(plan.sql, values) if values else self._duck_conn.execute(plan.sql)
            count = self._duck_conn.fetchall()
            if alone:
                self._duck_conn.execute("COMMIT")
            self._duck_conn.execute("SELECT unnest([?::BIGINT])", [count[0][0]])
        except duckdb.Error:
            if alone:
                self._duck_conn.execute("ROLLBACK")
            raise

    def _bind_elsewhere(self, plan: Plan, values: Any) -> None:
        bound = self._conn.duck.bound
        if plan.shape in bound:  # it was good before, with these constants or others, and no DDL has run since
            return
        try:
            self._conn.probe.execute(f"EXPLAIN {plan.sql}", values) if values else self._conn.probe.execute(f"EXPLAIN {plan.sql}")
            bound.add(plan.shape)
        except (duckdb.BinderException, duckdb.CatalogException) as e:
            raise NotBound from e
        except duckdb.Error:
            return

    def _retrying(self, sql: str, values: Any) -> None:
        """Outside a transaction a statement that meets another's change waits and tries again, as it would for a lock.

        docs.snowflake.com/en/sql-reference/transactions (LOCK_TIMEOUT)
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        pause = 0.005
        while True:
            try:
                self._duck_conn.execute(sql, values) if values else self._duck_conn.execute(sql)
                return
            except duckdb.Error as e:
                if not is_conflict(e) or self._conn._in_transaction:
                    raise
                if time.monotonic() > deadline:
                    raise locked(str(e).split("\n")[0]) from e
                time.sleep(pause)
                pause = min(pause * 2, 0.2)

    def _dml_answer(self, plan: Plan) -> None:
        if plan.merge:  # a row for each it wrote
            numbers = dialect_dml.merged(plan.counts, self._duck_conn.to_arrow_table())
        else:  # one number: as a row it costs a tenth of an Arrow table
            found = self._duck_conn.fetchall()
            numbers = [found[0][0] if found else 0] + [0] * (len(plan.counts) - 1)
        self._answer([(name, "fixed") for name in plan.counts], tuple(numbers))
        self._rowcount = sum(numbers)

    # --- the statements that are not queries

    def _other(self, tree: Expression, command: str) -> None:
        if isinstance(tree, (exp.Transaction, exp.Commit, exp.Rollback)):
            return self._transaction(tree)
        self.set_variables()
        match tree:
            case exp.Use():
                dialect_ddl.use(tree, self._conn)
                self._status(dialect_ddl.SUCCESS)
            case exp.Alter() if str(tree.args.get("kind")).upper() == "SESSION":
                self._status(dialect_ddl.SUCCESS)  # parameters of a session change nothing here
            case exp.Create() | exp.Drop() | exp.Alter() | exp.Comment():
                self._end_transaction("COMMIT")  # docs.snowflake.com/en/sql-reference/transactions (DDL)
                identifier_tables(tree)
                upper_case(tree)
                self._change(CHANGES[type(tree)](tree, self._conn, self.resolve_function))
            case exp.Describe():
                identifier_tables(tree)
                upper_case(tree)
                self._from_duck(*dialect_show.describe(tree, self._conn))
            case exp.Show():
                self._from_duck(*dialect_show.show(tree, self._conn, command))
            case exp.Set() | exp.Alias():
                super().execute(command)
                self.columns = wire.rowtype([("status", "VARCHAR")])
            case _:
                raise unsupported(command)

    def _transaction(self, tree: Expression) -> None:
        """BEGIN in a transaction, and COMMIT or ROLLBACK without one, do nothing."""
        if isinstance(tree, exp.Transaction):
            if not self._conn._in_transaction:
                self._duck_conn.execute("BEGIN TRANSACTION")
                self._conn._in_transaction, self._conn.aborted = True, None
        else:
            self._end_transaction("COMMIT" if isinstance(tree, exp.Commit) else "ROLLBACK")
        self._status(dialect_ddl.SUCCESS)

    def _end_transaction(self, how: str) -> None:
        if not self._conn._in_transaction:
            return
        reason, self._conn.aborted, self._conn._in_transaction = self._conn.aborted, None, False
        if reason is None:
            self._duck_conn.execute(how)
            return
        self._duck_conn.execute("ROLLBACK")
        if how == "COMMIT":
            raise aborted(f"{reason}\nNothing was committed: the transaction was rolled back.")

    def _note_abort(self, raised: Exception, shown: ProgrammingError) -> None:
        if self._conn._in_transaction and aborts_transaction(raised) and not self._conn.aborted:
            self._conn.aborted = str(shown.raw_msg or shown.msg)

    def _change(self, change: dialect_ddl.Change) -> None:
        """Run a change as one: all of its statements or none."""
        several = len(change.statements) > 1
        run = self._duck_conn.execute
        if several:
            run("BEGIN TRANSACTION")
        try:
            for statement in change.statements:
                run(statement)
            if several:
                run("COMMIT")
        except Exception:
            if several:
                run("ROLLBACK")
            raise
        if change.after:
            change.after()
        self._conn.duck.defined(change.statements)
        self._status(change.message)

    # --- answers

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Rows as tuples. fakesnow's go through dicts, where columns of one name become one."""
        if self._use_dict_result or self._arrow_table is None:
            return super().fetchmany(size)
        at = self._arrow_table_fetch_index or 0
        rows = self._arrow_table.slice(at, size or self._arraysize)
        self._arrow_table_fetch_index = at + rows.num_rows
        return list(zip(*[column.to_pylist() for column in rows.columns], strict=True))

    def _from_duck(self, sql: str, params: list[Any] | None = None) -> None:
        self._duck_conn.execute(sql, params) if params else self._duck_conn.execute(sql)
        self.columns = wire.rowtype(self._duck_conn.description or [])
        self._arrow_table = self._duck_conn.to_arrow_table()
        self._rowcount = self._arrow_table.num_rows

    def _status(self, message: str) -> None:
        self._answer([("status", "text")], (message,))

    def _answer(self, columns: list[tuple[str, str]], row: tuple[Any, ...]) -> None:
        table, self.columns = wire.rows_table(columns, [row])
        self._arrow_table, self._rowcount = table.rename_columns([name for name, _ in columns]), 1

    def payload(self) -> dict[str, Any]:
        """Rows, row type and statement type, for the `data` of an answer."""
        make = wire.json_payload if self.type_id in DML_TYPE_IDS else wire.payload
        return {**make(self._arrow_table, self.columns), "statementTypeId": self.type_id, "queryId": self._sfqid}

    def describe_only(self, sql: str) -> dict[str, Any]:
        """The columns a statement would answer with, without running it."""
        key = ("described", shape(sql), self._conn.database, self._conn._schema)
        known = self._conn.duck.plans.get(key) if not self._conn.temporary else None
        if known is not None:
            self.type_id = known["statementTypeId"]
            return known
        try:
            tree = parse(self._inline_variables(sql))
            self.type_id = statement_type_id(tree)
            binds = len(list(tree.find_all(exp.Placeholder)))
            columns = self._described(tree, sql)
        except Exception as e:
            raise translated(e, sql) from None
        extra = {"statementTypeId": self.type_id, "numberOfBinds": binds, "arrayBindSupported": isinstance(tree, exp.Insert)}
        answer = {**wire.payload(None, columns), **extra}
        if isinstance(tree, QUERIES) and not self._conn.temporary and not self._conn.variables._variables and "FIRN_ROWS_" not in sql:
            self._conn.duck.plans[key] = answer  # until the next DDL, as plans are
        return answer

    def _described(self, tree: Expression, sql: str) -> wire.RowType:
        if isinstance(tree, QUERIES):
            self.set_variables()
            upper_case(tree)
            nulls = tree.transform(lambda n: exp.Null() if isinstance(n, exp.Placeholder) else n)
            plan = self._translated(nulls, sql)
            described = self._duck_conn.execute(f"DESCRIBE {plan.sql}").fetchall()
            return wire.rowtype(described)
        if isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            return [wire.column(name, "fixed") for name in dialect_dml.prepare(tree)]
        if isinstance(tree, (exp.Show, exp.Describe)):
            self._other(tree, sql)
            return self.columns
        return [wire.column("status", "text")]

    def set_variables(self) -> None:
        """Facts of the session that SQL can ask for, and the statement's time; see `asking` for who can."""
        session = self._conn
        facts = session.facts()
        moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        changed = [(k, v) for k, v in facts.items() if session.facts_set.get(k, ...) != v]
        if session.aborted is not None:
            return
        self._duck_conn.execute(f"SET VARIABLE sf_now = TIMESTAMPTZ '{moment}'")
        for name, value in changed:
            shown = "NULL" if value is None else dialect_ddl.literal(str(value))
            self._duck_conn.execute(f"SET VARIABLE sf_{name} = {shown}")
        session.facts_set = facts


class NotBound(Exception):
    """A statement that does not bind, found outside the transaction, which therefore goes on."""


def params_in_names(tree: Expression) -> bool:
    return any(isinstance(n.this, exp.Placeholder) for n in tree.find_all(exp.DynamicIdentifier))
