"""`firn land`: what is in the folder gets to S3 once and whole, whenever it is killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest import land as landing
from ingest import upload
from ingest.land import land
from ingest.upload import Refused
from local import s3 as local_s3

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "crm/customers/"
NAMES = ["a b.csv", "50%+1.csv", "Kunden März ✓.csv", "%20.csv", "day 1/x&y=z?.csv", "e\u0301.csv"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    running = local_s3.start(tmp_path_factory.mktemp("s3"))
    yield running
    running.stop()


@pytest.fixture
def s3(store):
    client = store.s3.client("s3")
    client.create_bucket(Bucket="landing")
    yield client
    for each in client.list_objects_v2(Bucket="landing").get("Contents", []):
        client.delete_object(Bucket="landing", Key=each["Key"])


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "outbox"
    made.mkdir()
    return made


def put(folder: Path, name: str, body: bytes = b"id\n1\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def objects(s3) -> dict[str, bytes]:
    there = s3.list_objects_v2(Bucket="landing").get("Contents", [])
    return {each["Key"]: s3.get_object(Bucket="landing", Key=each["Key"])["Body"].read() for each in there}


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


def test_names_with_spaces_plus_percent_and_unicode_arrive_as_they_are(folder, s3):
    for name in NAMES:
        put(folder, name, name.encode())
    outcome = land(folder, s3, "landing", PREFIX, 0.01)

    assert objects(s3) == {PREFIX + name: name.encode() for name in NAMES}
    assert files(folder) == {f"done/{name}" for name in NAMES}
    assert sorted(outcome.sent) == sorted(NAMES) and not outcome.kept


def test_unfinished_hidden_and_done_files_are_left(folder, s3):
    for name in ("x.csv.part", "x.tmp", ".x.csv", ".dir/x.csv", "done/x.csv"):
        put(folder, name)
    (folder / "link.csv").symlink_to(folder / "x.tmp")
    assert land(folder, s3, "landing", PREFIX, 0.01).sent == [] and objects(s3) == {}


def test_a_file_that_grows_between_two_looks_waits(folder, s3, monkeypatch):
    path = put(folder, "growing.csv")
    monkeypatch.setattr(landing.time, "sleep", lambda _: path.write_bytes(b"id\n1\n2\n"))
    outcome = land(folder, s3, "landing", PREFIX, 0)
    assert (outcome.waiting, objects(s3), files(folder)) == (["growing.csv"], {}, {"growing.csv"})

    monkeypatch.undo()
    land(folder, s3, "landing", PREFIX, 0.01)
    assert objects(s3) == {PREFIX + "growing.csv": b"id\n1\n2\n"}


def test_a_file_written_a_moment_ago_waits(folder, s3):
    path = put(folder, "young.csv")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 60))
    assert land(folder, s3, "landing", PREFIX, 0.01).waiting == ["young.csv"]


@pytest.mark.parametrize("size", [10, 17 << 20], ids=["small", "in parts"])
def test_a_file_that_grows_while_it_is_read_is_not_completed(folder, s3, monkeypatch, size):
    path = put(folder, "growing.csv", b"x" * size)
    write = upload.Upload.write

    def meanwhile(self, data):
        write(self, data)
        with path.open("ab") as out:
            out.write(b"more")

    with monkeypatch.context() as patch:
        patch.setattr(upload.Upload, "write", meanwhile)
        outcome = land(folder, s3, "landing", PREFIX, 0.01)
    assert "changed while it was read; nothing was sent" in outcome.kept["growing.csv"]
    assert objects(s3) == {} and files(folder) == {"growing.csv"}
    assert not s3.list_multipart_uploads(Bucket="landing").get("Uploads")

    land(folder, s3, "landing", PREFIX, 0.01)
    assert objects(s3)[PREFIX + "growing.csv"] == (folder / "done/growing.csv").read_bytes()


def test_a_name_that_is_taken_by_other_bytes_is_never_overwritten(folder, s3):
    put(folder, "a.csv", b"new")
    put(folder, "b.csv", b"fine")
    s3.put_object(Bucket="landing", Key=PREFIX + "a.csv", Body=b"old")
    outcome = land(folder, s3, "landing", PREFIX, 0.01)

    assert objects(s3) == {PREFIX + "a.csv": b"old", PREFIX + "b.csv": b"fine"}
    assert "exists already and is never overwritten" in outcome.kept["a.csv"] and (folder / "a.csv").exists()


def test_the_same_file_again_is_not_sent_twice_and_nothing_in_done_is_replaced(folder, s3):
    put(folder, "a.csv")
    land(folder, s3, "landing", PREFIX, 0.01)
    put(folder, "a.csv")
    assert land(folder, s3, "landing", PREFIX, 0.01).was_there == ["a.csv"]
    assert len(files(folder)) == 2 and all(name.startswith("done/a.csv") for name in files(folder))


def test_a_full_disk_keeps_the_file_and_the_next_run_goes_on(folder, s3, monkeypatch):
    put(folder, "a.csv")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(Refused, match="the disk is full. It stays"):
        patch.setattr(Path, "rename", full)
        land(folder, s3, "landing", PREFIX, 0.01)
    assert files(folder) == {"a.csv"}
    assert land(folder, s3, "landing", PREFIX, 0.01).was_there == ["a.csv"] and files(folder) == {"done/a.csv"}


@pytest.mark.parametrize("where", ["no bucket", "no server"])
def test_an_unreachable_bucket_is_told_and_the_file_stays(folder, s3, where):
    put(folder, "a.csv")
    client = s3 if where == "no bucket" else local_s3.S3("http://127.0.0.1:9").client("s3")
    with pytest.raises(Refused, match="there is no bucket nowhere" if where == "no bucket" else "S3 cannot be reached"):
        land(folder, client, "nowhere", PREFIX, 0.01)
    assert files(folder) == {"a.csv"}


def test_only_one_mover_works_in_a_folder(folder, s3):
    with landing.alone(folder), pytest.raises(Refused, match="another firn land is at work"):
        land(folder, s3, "landing", PREFIX, 0.01)


def test_a_name_that_is_not_utf8_stays_and_the_others_go(folder, s3):
    try:
        (folder / os.fsdecode(b"caf\xe9.csv")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    put(folder, "a.csv")
    outcome = land(folder, s3, "landing", PREFIX, 0.01)
    assert (outcome.sent, list(outcome.kept)) == (["a.csv"], ["caf\\xe9.csv"])


# Where a process is killed: the n-th call of a function, before it or after it.
POINTS = [
    ("upload.Upload._put", "before"),
    ("upload.Upload._put", "after"),
    ("upload.Upload._send_part", "after"),
    ("upload.Upload._complete", "before"),
    ("upload.Upload._complete", "after"),
    ("upload.Upload.finish", "after"),
    ("landing.put_away", "before"),
    ("landing.put_away", "after"),
]
MOVER = """
import os, signal, sys
from pathlib import Path
from ingest import land as landing, upload
from local.s3 import S3
endpoint, folder, prefix, point, moment = sys.argv[1:]
if point:
    place, name = point.rsplit(".", 1)
    owner = eval(place)
    original = getattr(owner, name)
    def fatal(*given):
        if moment == "after":
            original(*given)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, fatal)
landing.land(Path(folder), S3(endpoint).client("s3"), "landing", prefix, 0.01)
"""


def run_mover(store, folder, point="", moment=""):
    command = [sys.executable, "-W", "ignore", "-c", MOVER, store.endpoint, str(folder), PREFIX, point, moment]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(("point", "moment"), POINTS, ids=[f"{moment} {point.split('.')[-1]}" for point, moment in POINTS])
def test_killed_at_any_moment_nothing_is_lost_or_doubled(folder, store, s3, point, moment):
    bodies = {"a small.csv": b"id\n1\n", "b large.csv": os.urandom(9 << 20)}
    for name, body in bodies.items():
        put(folder, name, body)
    killed = run_mover(store, folder, point, moment)
    assert killed.returncode == -9, killed.stderr
    left = {p.name: p.read_bytes() for p in folder.rglob("*.csv")}
    assert left == bodies, "every file is in the folder or in done/, whole"

    again = run_mover(store, folder)
    assert again.returncode == 0, again.stderr
    assert objects(s3) == {PREFIX + name: body for name, body in bodies.items()}
    assert files(folder) == {f"done/{name}" for name in bodies}
