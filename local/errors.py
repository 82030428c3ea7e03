"""Snowflake's errors, with its own codes and wording.

Source of the codes: docs.snowflake.com/en/sql-reference (messages as the drivers show them).
"""

from __future__ import annotations

from snowflake.connector.errors import ProgrammingError


def unsupported(sql: str) -> ProgrammingError:
    """The account does not know this statement: an error, never a silent success."""
    words = " ".join(sql.split()[:6])
    return ProgrammingError(
        msg=f"SQL compilation error:\nsyntax error line 1 at position 0: the local account does not know this statement: {words}",
        errno=1003,
        sqlstate="42000",
    )


def syntax(message: str) -> ProgrammingError:
    return ProgrammingError(msg=f"SQL compilation error:\n{message}", errno=1003, sqlstate="42000")


def missing(kind: str, name: str) -> ProgrammingError:
    return ProgrammingError(
        msg=f"SQL compilation error:\n{kind.capitalize()} '{name}' does not exist or not authorized.", errno=2003, sqlstate="02000"
    )


def exists(name: str) -> ProgrammingError:
    return ProgrammingError(msg=f"SQL compilation error:\nObject '{name}' already exists.", errno=2002, sqlstate="42710")


def denied(message: str) -> ProgrammingError:
    return ProgrammingError(msg=f"SQL access control error:\n{message}", errno=3001, sqlstate="42501")


def refused(message: str) -> ProgrammingError:
    """Snowflake refuses this in an application, a setup script or an owner's-rights procedure."""
    return ProgrammingError(msg=f"SQL compilation error:\n{message}", errno=1003, sqlstate="42601")


def failed(message: str) -> ProgrammingError:
    """A statement that was understood and could not be carried out."""
    return ProgrammingError(msg=message, errno=100357, sqlstate="P0000")


def lock_timeout(message: str) -> ProgrammingError:
    """Code and state as servers send them for a lock that somebody else has; the words are ours."""
    return ProgrammingError(msg=message, errno=625, sqlstate="57014")
