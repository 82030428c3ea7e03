"""Rows into tables, inside one transaction that the caller opens with `transaction`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import names
import snowflake.snowpark.functions as F
from snowflake.snowpark import Column, DataFrame, Session


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

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted


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
    session: Session,
    target: str,
    desired: DataFrame,
    key: Sequence[str],
    values: Sequence[str],
    *,
    stamp: dict[str, Column],
    null_keys: bool = False,
) -> int:
    """Gives rows with the same key the desired values, where one differs; `stamp` is set on those and only those."""
    if not values:
        return 0
    new = renamed(desired, [*key, *values], "new")
    differs = reduce(or_, [~F.col(column).equal_null(F.col(f"new_{column}")) for column in values])
    same = match(key, [f"new_{column}" for column in key], null_keys)
    assignments = {column: F.col(f"new_{column}") for column in values}
    result = session.table(target).update({**assignments, **stamp}, same & differs, new)
    return int(result.rows_updated)


def missing(
    session: Session, target: str, desired: DataFrame, key: Sequence[str], null_keys: bool = False
) -> DataFrame:
    """Desired rows whose key the target does not have."""
    there = renamed(session.table(target), key, "there")
    return desired.join(there, on=match(key, [f"there_{column}" for column in key], null_keys), how="leftanti")


def in_scope(rows: DataFrame, scope: DataFrame, key: Sequence[str], null_keys: bool = False) -> DataFrame:
    """Rows of the scope, whose columns are named `touched_…`."""
    return rows.join(scope, on=match(key, [f"touched_{column}" for column in key], null_keys), how="leftsemi")


def delete_undesired(
    session: Session,
    target: str,
    desired: DataFrame,
    key: Sequence[str],
    scope: DataFrame,
    scope_key: Sequence[str],
    null_keys: bool = False,
) -> int:
    """Removes rows of the scope that are not desired.  The scope's columns are named `touched_…`."""
    wanted = renamed(desired, key, "wanted")
    gone = in_scope(session.table(target), scope, scope_key, null_keys).join(wanted, on=match(key, [f"wanted_{column}" for column in key], null_keys), how="leftanti")
    old = renamed(gone, key, "old")
    result = session.table(target).delete(match(key, [f"old_{column}" for column in key], null_keys), old)
    return int(result.rows_deleted)


def count_of_batch(session: Session, table: str, batch_no: int) -> int:
    """Rows that carry this batch number: what was really written, not what was meant to be."""
    return session.table(table).filter(F.col("batch_no") == F.lit(batch_no)).count()


def count_standing(session: Session, target: str, desired: DataFrame, key: Sequence[str], values: Sequence[str]) -> int:
    """Desired rows that the target holds as they are, NULL being equal to NULL."""
    there = renamed(session.table(target), [*key, *values], "there")
    same = match([*key, *values], [f"there_{column}" for column in (*key, *values)], null_keys=True)
    return desired.join(there, on=same, how="leftsemi").count()


def reconcile(
    session: Session,
    target: str,
    desired: DataFrame,
    *,
    key: Sequence[str],
    values: Sequence[str],
    scope: DataFrame,
    scope_key: Sequence[str],
    stamp: dict[str, Column],
    batch_no: int,
    null_keys: bool = False,
) -> Reconciled:
    """Makes the target's rows of the scope equal to the desired ones, and touches no row that already is.

    `stamp` (batch_no among it) is set on every row that is added or changed.  Rows are removed last, so that what
    the desired rows take over from the old ones is still there when they are added.
    """
    updated = update(session, target, desired, key, values, stamp=stamp, null_keys=null_keys)
    new = missing(session, target, desired, key, null_keys)
    append(new.select(*[F.col(c) for c in (*key, *values)], *[c.alias(name) for name, c in stamp.items()]), target)
    inserted = count_of_batch(session, target, batch_no) - updated
    deleted = delete_undesired(session, target, desired, key, scope, scope_key, null_keys)
    return Reconciled(inserted, updated, deleted)
