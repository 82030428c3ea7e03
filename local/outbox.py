"""Where messages arrive that an account would send: mails, webhook requests, messages to topics; kept in the account's folder.

Nothing leaves this machine.  A message to a topic is also published where the local account has such a topic (moto's SNS).
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, processed TEXT, integration TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
    error TEXT, sent_to TEXT NOT NULL, subject TEXT, content_type TEXT NOT NULL, body TEXT NOT NULL, headers TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Message:
    """One message as its receiver would get it.  `sent_to`: addresses, an URL, or a topic; secrets are left out of URL, headers and body."""

    integration: str
    kind: str  # EMAIL, WEBHOOK, QUEUE
    sent_to: tuple[str, ...]
    content_type: str
    body: str
    subject: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    error: str | None = None  # what the receiver said to it
    id: str = ""
    created: str = ""

    @property
    def status(self) -> str:
        return "FAILURE" if self.error else "SUCCESS"


class Outbox:
    """Messages in order of arrival."""

    def __init__(self, path: Path) -> None:
        self.guard = threading.RLock()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.executescript(SCHEMA)

    def put(self, message: Message) -> None:
        now = dt.datetime.now(dt.UTC).isoformat()
        row = (
            str(uuid.uuid4()), now, now, message.integration, message.kind, message.status, message.error, json.dumps(message.sent_to),
            message.subject, message.content_type, message.body, json.dumps(message.headers),
        )  # fmt: skip
        with self.guard:
            self.db.execute(f"INSERT INTO message VALUES ({', '.join('?' * len(row))})", row)

    def messages(self) -> list[Message]:
        """What arrived, the oldest first; messages that their receiver refused are not among them."""
        return [message for message in self.all() if not message.error]

    def all(self) -> list[Message]:
        with self.guard:
            rows = self.db.execute(
                "SELECT integration, kind, sent_to, content_type, body, subject, headers, error, id, created FROM message ORDER BY rowid"
            ).fetchall()
        return [Message(i, k, tuple(json.loads(to)), c, b, s, json.loads(h), e, n, at) for i, k, to, c, b, s, h, e, n, at in rows]

    def close(self) -> None:
        with self.guard:
            self.db.close()

