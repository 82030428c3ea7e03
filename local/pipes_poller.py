"""Brings files to pipes: reads the account's SQS queue, finds the pipes that a new object concerns, and loads it.

docs.snowflake.com/en/user-guide/data-load-snowpipe-auto-s3. One queue for the whole account, as on Snowflake. A message is deleted
after the last commit it leads to, so a killed account gets it again; an event that S3 lost is made up for at the start, when
every pipe queues the files of its prefix that its history lacks (of the last 14 days, as far as the history reaches).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from local import stages
from local.pipes_copy import Copy
from local.pipes_history import FAILED, PIPE_DAYS, RUNNING, Load, known, known_files, prepare
from local.pipes_load import NOT_THE_FILE, Loader, load_file, load_files, place_of, shown_path

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.stages import Location

log = logging.getLogger("firn.pipes")
QUEUE = "sf-snowpipe-firn-local"
VISIBILITY_SECONDS = 300  # longer than any step takes
# What is received in one step and loaded in one transaction: small files share one, a large file has its own.
BATCH_FILES, BATCH_BYTES = 200, 16 << 20
RECEIVED = 10  # messages at once, SQS's limit


@dataclass(frozen=True)
class Delivery:
    """One file for one pipe. `path` is relative to the stage; `is_repeated` marks one that a test asked to see twice."""

    pipe: Thing
    path: str
    size: int
    received_at: dt.datetime
    has_waited: bool = False
    is_repeated: bool = False


def batches(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """What may be loaded in one transaction: files of one pipe, in their order, up to a number and a size."""
    by_pipe: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        by_pipe.setdefault(delivery.pipe.full_name, []).append(delivery)
    for of_pipe in by_pipe.values():
        batch: list[Delivery] = []
        for delivery in of_pipe:
            if batch and (len(batch) == BATCH_FILES or sum(d.size for d in batch) + delivery.size > BATCH_BYTES):
                yield batch
                batch = []
            batch.append(delivery)
        yield batch


def queue_url(account: Account) -> str:
    sqs = account.s3.client("sqs")
    try:
        return sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        return sqs.create_queue(QueueName=QUEUE)["QueueUrl"]


def queue_arn(account: Account) -> str:
    """The account's queue, made when it is first asked for: this is the notification_channel of every pipe."""
    sqs = account.s3.client("sqs")
    return sqs.get_queue_attributes(QueueUrl=queue_url(account), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


# --- which files concern which pipe


@dataclass(frozen=True)
class Listening:
    """A pipe and where it looks for files."""

    pipe: Thing
    copy: Copy
    place: Location


def listening(account: Account) -> list[Listening]:
    """The pipes that take events."""
    found = []
    for pipe in account.catalog.find("pipe"):
        copy = Copy.of(pipe["copy"])
        try:
            place = place_of(account, copy)
        except Exception as e:  # the stage was dropped: the pipe is stopped, the queue goes on
            log.warning("pipe %s: %s", pipe.full_name, e)
            continue
        if place.url and pipe["auto_ingest"]:
            found.append(Listening(pipe, copy, place))
    return found


def concerns(listener: Listening, bucket: str, key: str) -> str | None:
    """The path within the pipe's stage of a new object, if the pipe is to load it."""
    own_bucket, prefix = stages.bucket_and_prefix(listener.place.url)
    if bucket != own_bucket or not key.startswith(stages.under(prefix, listener.place.path)):
        return None
    path = key[len(prefix.rstrip("/")) :].lstrip("/") if prefix else key
    return path if matches(listener.copy, listener.place.path, path) else None


def matches(copy: Copy, start: str, path: str) -> bool:
    """PATTERN is applied to what follows the stage's URL and the COPY's path."""
    return copy.pattern is None or re.fullmatch(copy.pattern, path.removeprefix(start).lstrip("/")) is not None


def missing_files(account: Account, pipe: Thing, prefix: str = "", since: dt.datetime | None = None) -> dict[str, int]:
    """Paths and sizes of staged files that the pipe has not loaded yet. One that failed is tried again only if it changed since."""
    copy = Copy.of(pipe["copy"])
    place = place_of(account, copy)
    place = type(place)(place.stage, place.folder, place.shown_as, place.path + prefix)
    oldest = account.clock() - dt.timedelta(days=PIPE_DAYS)
    with account.duck.duck_conn.cursor() as cursor:
        seen = known(cursor, copy.table, pipe.full_name, pipe["identity"], oldest)
        copied = known(cursor, copy.table, "", "", account.clock() - dt.timedelta(days=64))
    missing = {}
    for file in stages.files_at(account, place):
        name = shown_path(place, file.path)
        status, etag, *_ = seen.get(name, (None, None))
        is_done = status is not None and status != RUNNING and (status != FAILED or etag == file.etag)
        if not is_done and name not in copied and (since is None or file.modified_at >= since):
            if matches(copy, place_of(account, copy).path, file.path):
                missing[file.path] = file.size
    return missing


# --- files that wait: of paused pipes, and of REFRESH; kept in the catalog


def wait_for(account: Account, pipe: Thing, path: str, size: int) -> None:
    account.catalog.put("pipe_file", f"{pipe.name}\n{path}", database=pipe.database, schema=pipe.schema, pipe=pipe.name, path=path, size=size)


def waiting(account: Account, pipe: Thing) -> list[Thing]:
    return [f for f in account.catalog.find("pipe_file", database=pipe.database, schema=pipe.schema) if f["pipe"] == pipe.name]


def no_longer_waiting(account: Account, pipe: Thing, path: str) -> None:
    account.catalog.drop("pipe_file", f"{pipe.name}\n{path}", database=pipe.database, schema=pipe.schema)


def records_of(body: str) -> Iterable[tuple[str, str, int]]:
    """Bucket, key and size of each created object in a message, which may have come through an SNS topic."""
    said = json.loads(body)
    if "Records" not in said and isinstance(said.get("Message"), str):
        said = json.loads(said["Message"])
    for event in said.get("Records", []):
        if event.get("eventName", "").startswith("ObjectCreated:"):
            thing = event["s3"]["object"]
            yield event["s3"]["bucket"]["name"], unquote_plus(thing["key"]), int(thing.get("size", BATCH_BYTES))


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
        self._url: str | None = None
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
                self._url = None
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
                for path, size in paths.items():
                    wait_for(self.account, pipe, path, size)
                count += len(paths)
        return count

    def step(self, wait_seconds: int = 0) -> int:
        """Receive what is there and load it and what waits; gives the number of files handled."""
        with self._busy:
            sqs, url = self.account.s3.client("sqs"), self._queue_url()
            has_waiting = any(True for _ in self.account.catalog.find("pipe_file"))
            receipts: list[str] = []
            try:
                created = self._received(sqs, url, receipts, 0 if has_waiting else wait_seconds)
                count = self._load_all(self._delivered(created))
            except BaseException:
                # Seen again at once, not when their time is up: nothing is wrong with them.
                with contextlib.suppress(ClientError, BotoCoreError):
                    for some in chunked(receipts):
                        entries = [{"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": 0} for i, receipt in enumerate(some)]
                        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
                raise
            for some in chunked(receipts):
                sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(some)])
            return count

    def _queue_url(self) -> str:
        if self._url is None:
            self._url = queue_url(self.account)
        return self._url

    def _received(self, sqs: Any, url: str, receipts: list[str], wait_seconds: int) -> list[tuple[str, str, int]]:
        """Bucket, key and size of the objects that messages tell of, as many as one step may load; `receipts` takes the messages' own."""
        created: list[tuple[str, str, int]] = []
        while len(receipts) < BATCH_FILES and sum(size for *_, size in created) < BATCH_BYTES:
            messages = sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=RECEIVED, WaitTimeSeconds=0 if receipts else wait_seconds, VisibilityTimeout=VISIBILITY_SECONDS
            ).get("Messages", [])
            for message in messages:
                receipts.append(message["ReceiptHandle"])
                try:
                    created += list(records_of(message["Body"]))
                except (ValueError, KeyError, TypeError, AttributeError) as e:
                    log.warning("a message that is not an S3 event was dropped (%s): %.200s", e, message["Body"])
            if len(messages) < RECEIVED:
                break
        if receipts:
            self.received_at = self.account.clock()
        return created

    def drain(self) -> int:
        """Step until nothing comes any more (for tests)."""
        total = 0
        while count := self.step():
            total += count
        return total

    def _delivered(self, created: list[tuple[str, str, int]]) -> list[Delivery]:
        now = self.account.clock()
        deliveries: list[Delivery] = []
        listeners = listening(self.account) if created else []
        for bucket, key, size in created:
            for listener in listeners:
                path = concerns(listener, bucket, key)
                if path is not None and listener.pipe["paused"]:
                    wait_for(self.account, listener.pipe, path, size)
                elif path is not None:
                    deliveries.append(Delivery(listener.pipe, path, size, now))
        for pipe in self.account.catalog.find("pipe"):
            if not pipe["paused"]:
                deliveries += [Delivery(pipe, f["path"], f.get("size", BATCH_BYTES), now, has_waited=True) for f in waiting(self.account, pipe)]
        once = list({(d.pipe.full_name, d.path): d for d in deliveries}.values())
        again = [replace(d, has_waited=False, is_repeated=True) for d in once] * (self.deliveries - 1)
        return list(self.arrange([*once, *again]))

    def _load_all(self, deliveries: list[Delivery]) -> int:
        with self.account.duck.duck_conn.cursor() as cursor:
            for batch in batches(deliveries):
                self._load_batch(cursor, batch)
                for delivery in batch:
                    if delivery.has_waited:
                        no_longer_waiting(self.account, delivery.pipe, delivery.path)
        return len(deliveries)

    def _load_batch(self, cursor: Any, batch: list[Delivery]) -> None:
        """All files in one transaction; where that cannot be, one by one, as then the one to blame is known."""
        if len(batch) == 1 or self.rows_per_commit or any(delivery.is_repeated for delivery in batch):
            rest = batch
        else:
            try:
                rest = self._load_together(cursor, batch)
            except (BotoCoreError, *NOT_THE_FILE):
                raise
            except Exception as e:
                log.warning("pipe %s: %d files one by one, as together they failed: %s", batch[0].pipe.full_name, len(batch), e)
                rest = batch
        for delivery in rest:
            self._load(cursor, delivery)

    def _load_together(self, cursor: Any, batch: list[Delivery]) -> list[Delivery]:
        """Load what is new; gives back files of which a part is loaded, by an attempt that was interrupted."""
        pipe = batch[0].pipe
        if self._is_gone(pipe):
            return []
        copy = Copy.of(pipe["copy"])
        place = place_of(self.account, copy)
        prepare(cursor, copy.table[0])
        names = {delivery.path: shown_path(place, delivery.path) for delivery in batch}
        since = self.account.clock() - dt.timedelta(days=PIPE_DAYS)
        seen = known_files(cursor, copy.table, pipe.full_name, pipe["identity"], list(names.values()), since)
        status = {path: seen[name][0] if name in seen else FAILED for path, name in names.items()}
        new = [(delivery.path, delivery.received_at) for delivery in batch if status[delivery.path] == FAILED]
        for load in load_files(self.account, cursor, copy, new, Loader(pipe.full_name, pipe["identity"])) if new else []:
            tell(pipe, load)
        return [delivery for delivery in batch if status[delivery.path] == RUNNING]

    def _is_gone(self, pipe: Thing) -> bool:
        """Whether the pipe was dropped or replaced meanwhile."""
        now = self.account.catalog.get("pipe", pipe.name, database=pipe.database, schema=pipe.schema)
        return now is None or now["identity"] != pipe["identity"]

    def _load(self, cursor: Any, delivery: Delivery) -> None:
        pipe = delivery.pipe
        if self._is_gone(pipe):
            return
        copy = Copy.of(pipe["copy"])
        is_again = delivery.is_repeated and not self.remembers
        try:
            if not is_again and self._is_known(cursor, pipe, copy, delivery.path):
                return
            identity = pipe["identity"] + ("/again" if is_again else "")
            load = load_file(self.account, cursor, copy, delivery.path, Loader(pipe.full_name, identity, self.rows_per_commit), delivery.received_at)
        except Exception as e:
            if isinstance(e, (BotoCoreError, *NOT_THE_FILE)):
                raise  # S3 is away, others are writing or the disk is full: the message stays in the queue
            log.exception("pipe %s: %s was not loaded", pipe.full_name, delivery.path)
            self.account.catalog.change(pipe, error=f"{delivery.path}: {e}")
            return
        tell(pipe, load)

    def _is_known(self, cursor: Any, pipe: Thing, copy: Copy, path: str) -> bool:
        """Path and name decide, not the content: a file that was overwritten is not loaded again."""
        name = shown_path(place_of(self.account, copy), path)
        since = self.account.clock() - dt.timedelta(days=PIPE_DAYS)
        prepare(cursor, copy.table[0])
        found = known_files(cursor, copy.table, pipe.full_name, pipe["identity"], [name], since).get(name)
        return found is not None and found[0] not in (RUNNING, FAILED)


def tell(pipe: Thing, load: Load) -> None:
    if load.status == FAILED or load.rejected:
        first = load.first_error
        log.warning("pipe %s: %s: %s, %d errors; first: %s", pipe.full_name, load.path, load.status, load.error_count or len(load.rejected),
                    first.reason if first else "")  # fmt: skip


def chunked(receipts: list[str]) -> Iterator[list[str]]:
    """By tens, as many as SQS takes at once."""
    return (receipts[start : start + RECEIVED] for start in range(0, len(receipts), RECEIVED))
