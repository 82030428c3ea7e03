"""Rows into tables, inside one transaction that the caller opens with `transaction`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import names
import snowflake.snowpark.functions as F
import told
from snowflake.snowpark import Column, DataFrame, Session, Table
from snowflake.snowpark.types import BooleanType, LongType


class Transaction:
    """An open transaction; `keep = False` ends it without a trace."""

    def __init__(self) -> None:
        self.keep = True


@contextmanager
def transaction(session: Session) -> Iterator[Transaction]:
    """Everything inside commits together, or nothing does: an error rolls back and goes on its way.

    So does a COMMIT that is refused: the transaction would stay open, and take the log's row about it along when it ends.
    """
    session.begin_transaction()
    opened = Transaction()
    try:
        yield opened
        if opened.keep:
            session.commit()
        else:
            session.rollback()
    except BaseException:
        session.rollback()
        raise


@dataclass(frozen=True)
class Reconciled:
    """Rows of the target that were added, changed and removed."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Compared:
    """Desired rows that stand as they are, that stand with other values, that are missing; and rows nobody desires."""

    alike: int
    other: int
    missing: int
    undesired: int


def append(rows: DataFrame, to: str) -> None:
    """Adds rows by column name.

    The table is declared to exist: left to find out, the client runs SHOW TABLES and may create it, and DDL would
    commit the open transaction.
    """
    rows.write.save_as_table(to, mode="append", table_exists=True, column_order="name")


def insert(session: Session, rows: DataFrame, to: str, columns: Sequence[str]) -> int:
    """Adds rows by these columns and gives the number that the server says it added.

    The client's own way of saving a frame does not tell that number, and asks the server for the frame's columns first.
    """
    (query,) = rows.select(*[F.col(column) for column in columns]).queries["queries"]
    listed = ", ".join(names.identifier(column) for column in columns)
    answer = session.sql(f"INSERT INTO {names.qualified(*to.split('.'))} ({listed}) {query}").collect()
    return int(answer[0][0])


def clear(session: Session, table: str) -> None:
    """Empties a stage table; by DELETE, which a transaction can take back."""
    session.table(table).delete()


def match(left: Sequence[str], right: Sequence[str], null_keys: bool = False) -> Column:
    """Columns pairwise equal; with `null_keys`, NULL equals NULL."""
    pairs = zip(left, right, strict=True)
    return reduce(and_, [F.col(a).equal_null(F.col(b)) if null_keys else F.col(a) == F.col(b) for a, b in pairs])


def renamed(rows: DataFrame, columns: Sequence[str], prefix: str) -> DataFrame:
    """The columns under a prefix, so that both sides of a join keep their own names."""
    return rows.select(*[F.col(column).alias(f"{prefix}_{column}") for column in columns])


def update(
    table: Table, desired: DataFrame, key: Sequence[str], values: Sequence[str], *, stamp: dict[str, Column], null_keys: bool = False
) -> int:
    """Gives rows with the same key the desired values, where one differs; `stamp` is set on those and only those."""
    if not values:
        return 0
    new = renamed(desired, [*key, *values], "new")
    differs = reduce(or_, [~F.col(column).equal_null(F.col(f"new_{column}")) for column in values])
    same = match(key, [f"new_{column}" for column in key], null_keys)
    assignments = {column: F.col(f"new_{column}") for column in values}
    result = table.update({**assignments, **stamp}, same & differs, new)
    return int(result.rows_updated)


def missing(table: DataFrame, desired: DataFrame, key: Sequence[str], null_keys: bool = False) -> DataFrame:
    """Desired rows whose key the table does not have."""
    there = renamed(table, key, "there")
    return told.joined(desired, there, match(key, [f"there_{column}" for column in key], null_keys), "leftanti")


def in_scope(rows: DataFrame, scope: DataFrame, key: Sequence[str], null_keys: bool = False) -> DataFrame:
    """Rows of the scope, whose columns are named `touched_…`."""
    return told.joined(rows, scope, match(key, [f"touched_{column}" for column in key], null_keys), "leftsemi")


def undesired(
    table: DataFrame, desired: DataFrame, key: Sequence[str], scope: DataFrame, scope_key: Sequence[str], null_keys: bool = False
) -> DataFrame:
    """Rows of the scope that are not desired.  The scope's columns are named `touched_…`."""
    wanted = renamed(desired, key, "wanted")
    same = match(key, [f"wanted_{column}" for column in key], null_keys)
    return told.joined(in_scope(table, scope, scope_key, null_keys), wanted, same, "leftanti")


def count_of_batch(session: Session, table: str, batch_no: int) -> int:
    """Rows that carry this batch number: what was really written, not what was meant to be."""
    return session.table(table).filter(F.col("batch_no") == F.lit(batch_no)).count()


def compared(
    table: DataFrame, desired: DataFrame, *, key: Sequence[str], values: Sequence[str], scope: DataFrame, scope_key: Sequence[str], null_keys: bool = False
) -> Compared:
    """What would have to be done to make the table's rows of the scope the desired ones: one statement, nothing written."""
    there = told.with_column(renamed(table, [*key, *values], "there"), "is_there", F.lit(True), BooleanType())
    beside = told.joined(desired, there, match(key, [f"there_{column}" for column in key], null_keys), "left")
    is_alike = match(values, [f"there_{column}" for column in values], null_keys=True) if values else F.lit(True)
    is_there = F.col("is_there").is_not_null()
    kinds = {"alike": is_there & is_alike, "other": is_there & ~is_alike, "missing": ~is_there}
    sides = beside.agg(*[F.count(F.iff(test, F.lit(1), F.lit(None))).alias(f"{kind}_count") for kind, test in kinds.items()])
    gone = undesired(table, desired, key, scope, scope_key, null_keys).agg(F.count(F.lit(1)).alias("undesired_count"))
    whole = dict.fromkeys((*(f"{kind}_count" for kind in kinds), "undesired_count"), LongType())
    (row,) = told.joined(told.told(sides, whole), told.told(gone, whole), None, "cross").collect()
    return Compared(*(int(row[f"{field}_COUNT"]) for field in ("ALIKE", "OTHER", "MISSING", "UNDESIRED")))


def reconcile(
    session: Session,
    to: str,
    table: Table,
    desired: DataFrame,
    found: Compared,
    *,
    key: Sequence[str],
    values: Sequence[str],
    scope: DataFrame,
    scope_key: Sequence[str],
    stamp: dict[str, Column],
    null_keys: bool = False,
) -> Reconciled:
    """Makes the rows of the scope equal to the desired ones, and touches no row that already is; `to` is the table's name.

    What `found` says there is none of is not looked for.  The numbers given are the server's: rows it wrote.  `stamp` is
    set on every row that is added or changed.  Rows are removed last, so that what the desired rows take over from the
    old ones is still there when they are added.
    """
    inserted = updated = deleted = 0
    if found.other:
        updated = update(table, desired, key, values, stamp=stamp, null_keys=null_keys)
    if found.missing:
        new = missing(table, desired, key, null_keys)
        stamped = new.select(*[F.col(column) for column in (*key, *values)], *[value.alias(name) for name, value in stamp.items()])
        inserted = insert(session, stamped, to, (*key, *values, *stamp))
    if found.undesired:
        old = renamed(undesired(table, desired, key, scope, scope_key, null_keys), key, "old")
        deleted = int(table.delete(match(key, [f"old_{column}" for column in key], null_keys), old).rows_deleted)
    return Reconciled(inserted, updated, deleted)
