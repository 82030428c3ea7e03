"""Whose statements are whose: every statement of a session carries a tag, by which QUERY_HISTORY is read.

A procedure with its owner's rights may not ALTER SESSION, so `session.query_tag` is closed to it; a parameter of the single
statement is not.  The client takes it with every action (`statement_params`), and sends all of them by one method.
https://docs.snowflake.com/en/developer-guide/stored-procedure/stored-procedures-rights
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from snowflake.snowpark import Session

SENDS = "execute_and_notify_query_listener"  # of the client's connection; where it is not, statements go untagged


def mark(session: Session, tag: str) -> None:
    """Statements from now on carry this tag.  It costs no statement."""
    connection = getattr(session, "_conn", None)
    send = getattr(connection, SENDS, None)
    if connection is None or send is None:
        return
    if not hasattr(connection, "firn_tag"):

        def tagged(query: str, **options: Any) -> Any:
            if connection.firn_tag:
                options["_statement_params"] = {**(options.get("_statement_params") or {}), "QUERY_TAG": connection.firn_tag}
            return send(query, **options)

        setattr(connection, SENDS, tagged)
    connection.firn_tag = tag


def clear(session: Session) -> None:
    """Statements from now on carry none of ours."""
    if hasattr(getattr(session, "_conn", None), "firn_tag"):
        session._conn.firn_tag = ""


def cleared(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler after which nothing is tagged any more: a session may serve another call."""

    @wraps(handler)
    def handled(session: Session, *arguments: Any, **named: Any) -> Any:
        try:
            return handler(session, *arguments, **named)
        finally:
            clear(session)

    return handled
