"""A folder → S3: files that have come to rest are uploaded, verified and moved to `done/`.

    firn land /data/outbox --bucket landing --prefix crm/customers/

Nothing is remembered elsewhere: what is in the folder is still to do, what is in `done/` is in the bucket.  Killed at any moment,
the next run goes on: an object that is there with the same bytes counts as sent, one with other bytes is never overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ingest.upload import NameTaken, Refused, Upload, told

DONE = "done"
LOCK = ".firn-land"
UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload")
CHUNK = 1 << 20
SETTLE_SECONDS = 5.0


class Look(NamedTuple):
    """What a file looks like; two equal looks, some time apart, mean that nobody writes to it."""

    size: int
    modified_ns: int
    inode: int


class Kept(Refused):
    """Why one file stays where it is; the others go on."""


@dataclass
class Outcome:
    """Names of files, relative to the folder."""

    sent: list[str] = field(default_factory=list)
    was_there: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)


def land(folder: Path, s3: Any, bucket: str, prefix: str = "", settle_seconds: float = SETTLE_SECONDS) -> Outcome:
    """One pass over the folder, in order of names; a file that still changes is left for the next."""
    if prefix and not prefix.endswith("/"):
        raise Refused(f"prefix {prefix!r} must end with a slash, so that it does not take in another source's files.")
    if not folder.is_dir():
        raise Refused(f"there is no folder {folder}.")
    outcome = Outcome()
    with alone(folder):
        first = looks(folder)
        if first:
            time.sleep(settle_seconds)
        for path, look in looks(folder).items():
            name = shown(path.relative_to(folder))
            is_old = time.time_ns() - look.modified_ns >= settle_seconds * 1e9
            if first.get(path) != look or not is_old:
                outcome.waiting.append(name)
                continue
            try:
                is_new = send(s3, bucket, prefix, folder, path, look)
            except Kept as e:
                outcome.kept[name] = str(e)
                continue
            (outcome.sent if is_new else outcome.was_there).append(name)
    return outcome


def send(s3: Any, bucket: str, prefix: str, folder: Path, path: Path, look: Look) -> bool:
    """Upload one file and move it away; False when its object was there already, from a run that was interrupted."""
    key = key_of(prefix, path.relative_to(folder))
    try:
        upload_file(s3, bucket, key, path, look)
        is_new = True
    except NameTaken as e:
        if not is_same(s3, bucket, key, path):
            raise Kept(f"{e} It holds other bytes than {path}. Give the file another name, or move it away by hand.") from e
        is_new = False
    put_away(folder, path, look)
    return is_new


def upload_file(s3: Any, bucket: str, key: str, path: Path, look: Look) -> None:
    """The whole file or nothing: a file that changes while it is read is not completed in S3."""
    with reading(path) as file, Upload(s3, bucket, key) as upload:
        while data := file.read(CHUNK):
            upload.write(data)
            if upload.size > look.size:
                break
        if look_at(os.fstat(file.fileno())) != look or upload.size != look.size:
            raise Kept(f"{path} changed while it was read; nothing was sent. It goes with a later run, once it is at rest.")
        upload.finish()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as e:
        raise Kept(f"{path} cannot be read: {e.strerror}. It stays; mend that and run again.") from e


def is_same(s3: Any, bucket: str, key: str, path: Path) -> bool:
    """Whether the object has the file's bytes, compared one by one: no checksum is the same for every kind of encryption."""
    with told(bucket, key):
        there = s3.get_object(Bucket=bucket, Key=key)
        with reading(path) as file, contextlib.closing(there["Body"]) as body:
            if there["ContentLength"] != os.fstat(file.fileno()).st_size:
                return False
            return all(body.read(CHUNK) == ours for ours in iter(lambda: file.read(CHUNK), b""))


def put_away(folder: Path, path: Path, look: Look) -> None:
    """Move a file whose object is confirmed to `done/`; what lies there under its name stays, too."""
    if look_at(path.stat()) != look:
        raise Kept(f"{path} changed after it was sent. It stays, and its object is not replaced: give it another name.")
    goal = folder / DONE / path.relative_to(folder)
    if goal.exists():
        goal = goal.with_name(f"{goal.name}.{datetime.now(UTC):%Y%m%dT%H%M%S_%f}")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        path.rename(goal)
    except OSError as e:
        reason = "the disk is full" if e.errno == errno.ENOSPC else e.strerror
        raise Refused(
            f"{path} is in S3 but cannot be moved to {goal.parent}: {reason}. It stays; mend that and run again: it is not sent twice."
        ) from e


def looks(folder: Path) -> dict[Path, Look]:
    """Every file to send and how it looks now; hidden files and those whose names say that they are not finished wait."""
    found = {}
    for here, folders, names in os.walk(folder):
        at = Path(here)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (at != folder or f != DONE))
        for name in sorted(names):
            path = at / name
            if name.startswith(".") or name.lower().endswith(UNFINISHED) or path.is_symlink() or not path.is_file():
                continue
            with contextlib.suppress(FileNotFoundError):
                found[path] = look_at(path.stat())
    return found


def look_at(status: os.stat_result) -> Look:
    return Look(status.st_size, status.st_mtime_ns, status.st_ino)


def key_of(prefix: str, relative: Path) -> str:
    """The name as it is: S3 takes spaces, +, % and Unicode, and the client encodes them once.

    >>> key_of("crm/", Path("Kunden März +100%.csv"))
    'crm/Kunden März +100%.csv'
    """
    key = prefix + relative.as_posix()
    try:
        size = len(key.encode())
    except UnicodeEncodeError as e:
        raise Kept(f"the name {shown(relative)} is not UTF-8, and S3 takes no other. Rename the file.") from e
    if size > 1024:
        raise Kept(f"the key {key[:60]}… has {size} bytes, and S3 takes 1,024. Shorten the name or the prefix.")
    return key


def shown(path: Path) -> str:
    """A name that can be printed, whatever bytes it has."""
    return os.fsencode(path).decode(errors="backslashreplace")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one mover at a time; the lock goes with its process, however that ends."""
    try:
        lock = (folder / LOCK).open("w")
    except OSError as e:
        raise Refused(f"{folder} cannot be written to: {e.strerror}. Nothing was sent.") from e
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise Refused(f"another firn land is at work in {folder}.") from e
        yield
