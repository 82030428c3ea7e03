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
class Merged:
    """Rows of a table that were added, changed and removed."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


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


def update(table: Table, desired: DataFrame, key: Sequence[str], values: Sequence[str], *, stamp: dict[str, Column]) -> int:
    """Gives rows with the same key the desired values, where one differs; `stamp` is set on those and only those."""
    if not values:
        return 0
    new = names.apart("new", columns_of(table, [*key, *values]))
    differs = reduce(or_, [~F.col(column).equal_null(F.col(f"{new}_{column}")) for column in values])
    same = match(key, [f"{new}_{column}" for column in key])
    assignments = {column: F.col(f"{new}_{column}") for column in values}
    result = table.update({**assignments, **stamp}, same & differs, renamed(desired, [*key, *values], new))
    return int(result.rows_updated)


def missing(table: DataFrame, desired: DataFrame, key: Sequence[str]) -> DataFrame:
    """Desired rows whose key the table does not have."""
    there = names.apart("there", columns_of(desired, key))
    return told.joined(desired, renamed(table, key, there), match(key, [f"{there}_{column}" for column in key]), "leftanti")


def columns_of(rows: DataFrame, known: Sequence[str]) -> list[str]:
    """The columns of a frame as far as they are known without asking."""
    return [*known, *(told.types_of(rows) or ())]


def in_scope(rows: DataFrame, scope: DataFrame, key: Sequence[str]) -> DataFrame:
    """Rows of the scope, whose columns are named `touched_…`."""
    return told.joined(rows, scope, match(key, [f"touched_{column}" for column in key]), "leftsemi")


def count_of_batch(session: Session, table: str, batch_no: int) -> int:
    """Rows that carry this batch number: what was really written, not what was meant to be."""
    return session.table(table).filter(F.col("batch_no") == F.lit(batch_no)).count()


def merge(
    table: Table, standing: DataFrame, desired: DataFrame, *, key: Sequence[str], values: Sequence[str], stamp: dict[str, Column]
) -> Merged:
    """Makes the rows of a table that stand in a scope the desired ones, in one statement, and touches no row that already is.

    NULL is a key like any other.  The numbers given are the server's: rows it wrote.  `stamp` is set on every row that is
    added or changed.  https://docs.snowflake.com/en/sql-reference/sql/merge
    """
    merged = names.apart("merged", [*key, *values, *stamp])
    rows, is_gone = differing(standing, desired, key, values, stamp, merged), F.col("is_gone")
    made = {column: F.col(f"{merged}_{column}") for column in (*key, *values, *stamp)}
    changed = {column: value for column, value in made.items() if column not in key}
    clauses = [F.when_matched(is_gone).delete(), F.when_matched(~is_gone).update(changed), F.when_not_matched(~is_gone).insert(made)]
    done = table.merge(rows, match(key, [f"{merged}_{column}" for column in key], null_keys=True), clauses)
    return Merged(done.rows_inserted, done.rows_updated, done.rows_deleted)


def fill(session: Session, to: str, desired: DataFrame, *, columns: Sequence[str], stamp: dict[str, Column]) -> Merged:
    """What `merge` does with a table that is empty: every desired row is added, and nothing need be compared."""
    rows = desired.select(*[F.col(column) for column in columns], *[value.alias(column) for column, value in stamp.items()])
    return Merged(inserted=insert(session, rows, to, (*columns, *stamp)))


def numbers(session: Session, *counts: DataFrame) -> list[int]:
    """What frames of one number each come to, in one statement."""
    queries = [f"({query})" for (query,) in (rows.queries["queries"] for rows in counts)]
    return [int(number) for number in session.sql(f"SELECT {', '.join(queries)}").collect()[0]]


def differing(standing: DataFrame, desired: DataFrame, key: Sequence[str], values: Sequence[str], stamp: dict[str, Column], merged: str = "merged") -> DataFrame:
    """What has to be done to make the standing rows the desired ones: a row for each that is missing, other, or gone.

    Gives: `merged`_… (key, values and stamp), is_gone (it stands and nobody desires it)
    """
    columns = (*key, *values)
    new, old = told.side(desired, columns, "desired"), told.side(standing, columns, "there")
    wanted, there = [f"desired_{column}" for column in columns], [f"there_{column}" for column in columns]
    pairs = list(zip(wanted, there, strict=True))
    beside = told.joined(new, old, match(wanted[: len(key)], there[: len(key)], null_keys=True), "full")
    one_side = F.col("is_desired").is_null() | F.col("is_there").is_null()
    differs = reduce(or_, [~F.col(a).equal_null(F.col(b)) for a, b in pairs[len(key) :]], one_side)
    return beside.filter(differs).select(
        *[F.coalesce(F.col(a), F.col(b)).alias(f"{merged}_{column}") for column, (a, b) in zip(key, pairs, strict=False)],
        *[F.col(f"desired_{column}").alias(f"{merged}_{column}") for column in values],
        *[value.alias(f"{merged}_{column}") for column, value in stamp.items()],
        F.col("is_desired").is_null().alias("is_gone"),
    )

