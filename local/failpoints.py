"""Accidents on purpose: a procedure's process dies, or the server answers an error, at a chosen statement.

Only statements of an application's own sessions count, from 1, since the point was set; describes and the account's own calls
do not.  Dying after statement n and before n + 1 is the same: nothing of the process reaches the account in between.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.errors import failed

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

READING = ("SELECT", "WITH")  # first words of statements that change nothing
HOWS = ("die", "kill", "kill account", "error")


@dataclass(frozen=True)
class FailPoint:
    """`die`: the account loses the session, as when its process ended: what is open is rolled back, what comes later is not heard.
    `kill`: the sandbox process is killed in earnest.  `kill account`: this process is.  `error`: the server says no, once."""

    at: int
    how: str
    is_after: bool = False  # the statement was carried out, and its answer was lost


@dataclass
class Watch:
    """Statements of the application's sessions since the point was set, by their first words."""

    point: FailPoint | None = None
    seen: list[str] = field(default_factory=list)
    is_inside: list[bool] = field(default_factory=list)  # a transaction was open
    has_effect: list[bool] = field(default_factory=list)  # it was carried out and changed something, and no rollback will take it back
    has_struck: bool = False

    def __call__(self, session: Session, sql: str, carry_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if session.setup or re.match(r"\s*CALL\s+SYSTEM\$", sql, re.IGNORECASE):
            return carry_out()
        self.seen.append(first_words(sql))
        point, is_struck = self.point, self.point is not None and len(self.seen) == self.point.at
        if is_struck and point and not point.is_after:
            self.strike(session, point)
        self.is_inside.append(session.in_transaction)
        self.has_effect.append(False)
        answer = carry_out()
        self.has_effect[-1] = not session.in_transaction and self.seen[-1] not in READING
        if is_struck and point and point.is_after:
            self.strike(session, point)
        return answer

    def strike(self, session: Session, point: FailPoint) -> None:
        self.has_struck = True
        if point.how == "kill account":
            os.kill(os.getpid(), signal.SIGKILL)
        if point.how == "kill":
            for worker in session.account.workers.running.values():
                worker.process.kill()
                worker.process.wait()
        if point.how == "die":
            session.account.forget(session)
        raise failed(f"SQL execution internal error: a failure on purpose at statement {point.at}")


def first_words(sql: str) -> str:
    """What a statement is, in a few words.

    >>> first_words('INSERT  INTO "SILVER"."ORDERS"("ID") SELECT 1'), first_words("COMMIT")
    ('INSERT INTO SILVER.ORDERS', 'COMMIT')
    """
    words = re.match(r"\s*((?:INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|UPDATE)\s+[\w.\"$]+|\w+)", sql, re.IGNORECASE)
    return re.sub(r"\s+", " ", words[1]).replace('"', "") if words else sql[:20]


@contextmanager
def watched(account: Account, point: FailPoint | None = None) -> Iterator[Watch]:
    """Watches the application's statements, and strikes at `point`.  One at a time."""
    account.watch = watch = Watch(point)
    try:
        yield watch
    finally:
        account.watch = None
