"""Queues in the local S3, when a thousand events wait in one.

moto asks for all attributes of a queue to learn how long it keeps a message, for each message that it hands out, and an attribute
counts all messages: a thousand events cost half a minute. Here the same questions are answered without the counting.
"""

from __future__ import annotations

import time
from typing import Any


def answer_without_counting() -> None:
    """Patch moto; once, before it serves."""
    from moto.sqs.models import Queue, SQSBackend

    def is_kept(self: Any, queue_name: str, message: Any) -> bool:
        return self.get_queue(queue_name).message_retention_period + message.sent_timestamp / 1000 > time.time()

    def messages(self: Any) -> list[Any]:
        now = time.time() * 1000
        return [message for message in self._messages if now > message.visible_at and now >= message.delayed_until]

    SQSBackend.is_message_valid_based_on_retention_period = is_kept
    Queue.messages = property(messages)
