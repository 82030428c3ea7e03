"""Brings files to pipes: reads the account's SQS queue, finds the pipes that a new object concerns, and loads it.

docs.snowflake.com/en/user-guide/data-load-snowpipe-auto-s3. One queue for the whole account, as on Snowflake. A message is deleted
after the last commit it leads to, so a killed account gets it again; an event that S3 lost is made up for at the start, when
every pipe queues the files of its prefix that its history lacks (of the last 14 days, as far as the history reaches).
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import duckdb
from botocore.exceptions import BotoCoreError

from local import stages
from local.pipes_copy import Copy
from local.pipes_history import FAILED, PIPE_DAYS, RUNNING, known, known_file, prepare
from local.pipes_load import Loader, load_file, place_of, shown_path

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing

log = logging.getLogger("firn.pipes")
QUEUE = "sf-snowpipe-firn-local"
VISIBILITY_SECONDS = 300  # longer than any file takes to load


@dataclass(frozen=True)
class Delivery:
    """One file for one pipe. `path` is relative to the stage; `is_repeated` marks one that a test asked to see twice."""

    pipe: Thing
    path: str
    received_at: dt.datetime
    is_repeated: bool = False


def queue_url(account: Account) -> str:
    return account.s3.client("sqs").create_queue(QueueName=QUEUE)["QueueUrl"]


def queue_arn(account: Account) -> str:
    """The account's queue, made when it is first asked for: this is the notification_channel of every pipe."""
    sqs = account.s3.client("sqs")
    return sqs.get_queue_attributes(QueueUrl=queue_url(account), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


# --- which files concern which pipe


def concerns(account: Account, pipe: Thing, bucket: str, key: str) -> str | None:
    """The path within the pipe's stage of a new object, if the pipe is to load it."""
    copy = Copy.of(pipe["copy"])
    try:
        place = place_of(account, copy)
    except Exception as e:  # the stage was dropped: the pipe is stopped, the queue goes on
        log.warning("pipe %s: %s", pipe.full_name, e)
        return None
    if not place.url or not pipe["auto_ingest"]:
        return None
    own_bucket, prefix = stages.bucket_and_prefix(place.url)
    if bucket != own_bucket or not key.startswith(stages.under(prefix, place.path)):
        return None
    path = key[len(prefix.rstrip("/")) :].lstrip("/") if prefix else key
    return path if matches(copy, place.path, path) else None


def matches(copy: Copy, start: str, path: str) -> bool:
    """PATTERN is applied to what follows the stage's URL and the COPY's path."""
    return copy.pattern is None or re.fullmatch(copy.pattern, path.removeprefix(start).lstrip("/")) is not None


def missing_files(account: Account, pipe: Thing, prefix: str = "", since: dt.datetime | None = None) -> list[str]:
    """Paths of staged files that the pipe has not loaded yet. One that failed is tried again only if it changed since."""
    copy = Copy.of(pipe["copy"])
    place = place_of(account, copy)
    place = type(place)(place.stage, place.folder, place.shown_as, place.path + prefix)
    oldest = account.clock() - dt.timedelta(days=PIPE_DAYS)
    with account.duck.duck_conn.cursor() as cursor:
        seen = known(cursor, copy.table, pipe.full_name, pipe["identity"], oldest)
        copied = known(cursor, copy.table, "", "", account.clock() - dt.timedelta(days=64))
    missing = []
    for file in stages.files_at(account, place):
        name = shown_path(place, file.path)
        status, etag, *_ = seen.get(name, (None, None))
        is_done = status is not None and status != RUNNING and (status != FAILED or etag == file.etag)
        if not is_done and name not in copied and (since is None or file.modified_at >= since):
            if matches(copy, place_of(account, copy).path, file.path):
                missing.append(file.path)
    return missing


# --- files that wait: of paused pipes, and of REFRESH; kept in the catalog


def wait_for(account: Account, pipe: Thing, path: str) -> None:
    account.catalog.put("pipe_file", f"{pipe.name}\n{path}", database=pipe.database, schema=pipe.schema, pipe=pipe.name, path=path)


def waiting(account: Account, pipe: Thing) -> list[Thing]:
    return [f for f in account.catalog.find("pipe_file", database=pipe.database, schema=pipe.schema) if f["pipe"] == pipe.name]


def no_longer_waiting(account: Account, pipe: Thing, path: str) -> None:
    account.catalog.drop("pipe_file", f"{pipe.name}\n{path}", database=pipe.database, schema=pipe.schema)


def records_of(body: str) -> Iterable[tuple[str, str]]:
    """Bucket and key of each created object in a message, which may have come through an SNS topic."""
    said = json.loads(body)
    if "Records" not in said and isinstance(said.get("Message"), str):
        said = json.loads(said["Message"])
    for event in said.get("Records", []):
        if event.get("eventName", "").startswith("ObjectCreated:"):
            yield event["s3"]["bucket"]["name"], unquote_plus(event["s3"]["object"]["key"])


class Poller:
    """Loads what arrives, in a thread of its own (`start`) or when told (`step`).

    What Snowpipe may do and a test may ask for: `rows_per_commit` splits files over several commits; `arrange` puts the files of a
    step into another order (`reversed`); `deliveries` = 2 hands every file over twice, and with `remembers` = False the second
    one is loaded again, as it is after 14 days.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.rows_per_commit: int | None = None
        self.arrange: Callable[[list[Delivery]], Iterable[Delivery]] = list
        self.deliveries, self.remembers = 1, True
        self.received_at: dt.datetime | None = None  # of the last message
        self._stop = threading.Event()
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="pipes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        is_caught_up = False
        while not self._stop.is_set():
            try:
                if not is_caught_up:
                    self.catch_up()
                    is_caught_up = True
                self.step(wait_seconds=1)
            except Exception:  # the queue goes on, whatever one message or an unreachable S3 brings
                if not self._stop.is_set():
                    log.exception("pipes: trying again")
                    self._stop.wait(1)

    def catch_up(self) -> int:
        """Queue what arrived while nobody listened: the files that the pipes' histories lack."""
        count = 0
        for pipe in self.account.catalog.find("pipe"):
            if pipe["auto_ingest"]:
                try:
                    paths = missing_files(self.account, pipe)
                except Exception as e:  # bucket, stage or table gone: said in the pipe's status
                    log.warning("pipe %s: %s", pipe.full_name, e)
                    continue
                for path in paths:
                    wait_for(self.account, pipe, path)
                count += len(paths)
        return count

    def step(self, wait_seconds: int = 0) -> int:
        """Receive once and load what came and what waits; gives the number of files handled."""
        with self._busy:
            sqs, url = self.account.s3.client("sqs"), queue_url(self.account)
            has_waiting = any(True for _ in self.account.catalog.find("pipe_file"))
            messages = sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0 if has_waiting else wait_seconds, VisibilityTimeout=VISIBILITY_SECONDS
            ).get("Messages", [])
            count = self._load_all(self._delivered(messages))
            if messages:
                entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
                sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            return count

    def drain(self) -> int:
        """Step until nothing comes any more (for tests)."""
        total = 0
        while count := self.step():
            total += count
        return total

    def _delivered(self, messages: list[dict[str, Any]]) -> list[Delivery]:
        now = self.account.clock()
        deliveries: list[Delivery] = []
        pipes = list(self.account.catalog.find("pipe"))
        for message in messages:
            self.received_at = now
            try:
                created = list(records_of(message["Body"]))
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                log.warning("a message that is not an S3 event was dropped (%s): %.200s", e, message["Body"])
                continue
            for bucket, key in created:
                for pipe in pipes:
                    path = concerns(self.account, pipe, bucket, key)
                    if path is not None and pipe["paused"]:
                        wait_for(self.account, pipe, path)
                    elif path is not None:
                        deliveries.append(Delivery(pipe, path, now))
        for pipe in pipes:
            if not pipe["paused"]:
                deliveries += [Delivery(pipe, file["path"], now) for file in waiting(self.account, pipe)]
        once = list({(d.pipe.full_name, d.path): d for d in deliveries}.values())
        again = [Delivery(d.pipe, d.path, d.received_at, is_repeated=True) for d in once] * (self.deliveries - 1)
        return list(self.arrange([*once, *again]))

    def _load_all(self, deliveries: list[Delivery]) -> int:
        with self.account.duck.duck_conn.cursor() as cursor:
            for delivery in deliveries:
                self._load(cursor, delivery)
                no_longer_waiting(self.account, delivery.pipe, delivery.path)
        return len(deliveries)

    def _load(self, cursor: Any, delivery: Delivery) -> None:
        pipe = delivery.pipe
        now = self.account.catalog.get("pipe", pipe.name, database=pipe.database, schema=pipe.schema)
        if now is None or now["identity"] != pipe["identity"]:
            return  # dropped or replaced meanwhile
        copy = Copy.of(pipe["copy"])
        is_again = delivery.is_repeated and not self.remembers
        try:
            if not is_again and self._is_known(cursor, pipe, copy, delivery.path):
                return
            identity = pipe["identity"] + ("/again" if is_again else "")
            load = load_file(self.account, cursor, copy, delivery.path, Loader(pipe.full_name, identity, self.rows_per_commit), delivery.received_at)
        except Exception as e:
            if isinstance(e, (BotoCoreError, duckdb.TransactionException)):
                raise  # S3 is away, or others are writing: the message stays in the queue
            log.exception("pipe %s: %s was not loaded", pipe.full_name, delivery.path)
            self.account.catalog.change(pipe, error=f"{delivery.path}: {e}")
            return
        if load.status == FAILED or load.rejected:
            first = load.first_error
            log.warning("pipe %s: %s: %s, %d errors; first: %s", pipe.full_name, load.path, load.status, load.error_count or len(load.rejected),
                        first.reason if first else "")  # fmt: skip

    def _is_known(self, cursor: Any, pipe: Thing, copy: Copy, path: str) -> bool:
        """Path and name decide, not the content: a file that was overwritten is not loaded again."""
        name = shown_path(place_of(self.account, copy), path)
        since = self.account.clock() - dt.timedelta(days=PIPE_DAYS)
        prepare(cursor, copy.table[0])
        found = known_file(cursor, copy.table, pipe.full_name, pipe["identity"], name, since)
        return found is not None and found[0] not in (RUNNING, FAILED)
