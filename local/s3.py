"""The account's S3, with SQS, SNS and IAM: moto's server on 127.0.0.1, whose buckets survive in a folder.

    python -m local.s3 --folder .firn/s3 --port 4566

moto keeps everything in memory. Here two things are kept as well, in one SQLite file and a folder of bytes:

- every object, at the moment moto stores it (PUT, copy, completed multipart upload) or deletes it, and *before* the event
  is sent, so that no event tells of an object that a killed server has forgotten. Bytes are written beside their place and renamed;
  the row that names them is committed last.
- every successful request that configures something (bucket, notification, policy, queue, topic, role): they are sent again, in
  order, when the server starts.

Not kept: messages in queues, multipart uploads under way, object tags and ACLs. An event that was not delivered when the server was
killed is therefore lost by the queue; the pipe makes up for it, because at its start it lists its prefix and loads what its history
lacks (local/pipes.py). To whoever reads the table this is S3's at-least-once delivery.

Differs from moto: a multipart upload sends one event, as S3 does, not two. Differs from S3: overlapping notification prefixes are
accepted, role policies and external ids are not enforced, bucket policies are by moto (local/s3_policies.py), addresses are path-style (http://127.0.0.1:4566/bucket/key).
"""

from __future__ import annotations

import argparse
import datetime
import functools
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # moto's
ACCESS_KEY, SECRET_KEY = "firn-local", "firn-local"

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, key TEXT NOT NULL, position INTEGER NOT NULL, version TEXT NOT NULL,
    blob TEXT, etag TEXT, size INTEGER, modified_at TEXT NOT NULL, metadata TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (bucket, key, position)
);
CREATE TABLE IF NOT EXISTS request (
    id INTEGER PRIMARY KEY, method TEXT NOT NULL, host TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL,
    headers TEXT NOT NULL, body BLOB NOT NULL
);
"""


# --- for whoever uses it


class S3:
    """boto3 clients of the local S3, one per service. They never look at the user's own AWS settings or proxies."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client for "s3", "sqs", "sns", "iam" or "sts"; safe to share between threads."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new(service)
            return self._clients[service]

    def _new(self, service: str) -> Any:
        import boto3
        import botocore.session
        from botocore.config import Config

        nowhere = {name: (None, None, os.devnull, None) for name in ("config_file", "credentials_file")}
        session = botocore.session.Session(session_vars={**nowhere, "profile": (None, None, None, None)})
        return boto3.Session(botocore_session=session).client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            aws_session_token=None,
            config=Config(
                connect_timeout=2,
                read_timeout=30,  # a long poll waits up to 20 s
                retries={"total_max_attempts": 1},
                proxies={},
                max_pool_connections=32,
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


class Server:
    """A running server process; `stop` ends it, and so does the end of the process that started it."""

    def __init__(self, process: subprocess.Popen[str], endpoint: str) -> None:
        self.process = process
        self.endpoint = endpoint
        self.s3 = S3(endpoint)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def start(folder: Path, port: int = 0, *, timeout_seconds: float = 30, log: Path | None = None) -> Server:
    """Start the server as a process of its own (port 0: any free one) and wait until it answers."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "local.s3", "--folder", str(folder), "--port", str(port), "--parent", str(os.getpid())]
    errors = log.open("a") if log else subprocess.PIPE
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
    watch = threading.Timer(timeout_seconds, process.kill)
    watch.start()
    line = process.stdout.readline() if process.stdout else ""
    watch.cancel()
    if found := re.search(r"http://\S+", line):
        return Server(process, found.group())
    process.wait(5)
    reason = process.stderr.read().strip() if process.stderr else f"see {log}"
    raise RuntimeError(f"the local S3 did not start on port {port}: {reason or 'no answer within the time'}")


# --- what is kept


class Store:
    """Objects and configuring requests in a folder. Every method is one commit."""

    def __init__(self, folder: Path) -> None:
        self.blobs = folder / "objects"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(folder / "s3.sqlite", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def write(self, content: bytes) -> Path:
        place = self.blobs / uuid.uuid4().hex
        beside = place.with_suffix(".part")
        beside.write_bytes(content)
        return beside.rename(place)

    def keep_object(self, bucket: str, key: str, versions: list[tuple[Any, ...]]) -> None:
        """Replace what is known of a key by these versions, oldest first; bytes nobody names any more are deleted."""
        with self._lock:
            before = {b for (b,) in self._db.execute("SELECT blob FROM object WHERE bucket = ? AND key = ?", (bucket, key)) if b}
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM object WHERE bucket = ? AND key = ?", (bucket, key))
            self._db.executemany(
                "INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(bucket, key, position, *version) for position, version in enumerate(versions)],
            )
            self._db.execute("COMMIT")
        for blob in before - {version[1] for version in versions}:
            (self.blobs / blob).unlink(missing_ok=True)

    def objects(self) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute("SELECT * FROM object ORDER BY bucket, key, position").fetchall()

    def keep_request(self, method: str, host: str, path: str, query: str, headers: dict[str, str], body: bytes) -> None:
        """Add a configuring request. One on the same part of a bucket replaces the earlier one: such a PUT says everything anew."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            if method == "PUT" and query:
                self._db.execute("DELETE FROM request WHERE method = 'PUT' AND host = ? AND path = ? AND query = ?", (host, path, query))
            self._db.execute(
                "INSERT INTO request (method, host, path, query, headers, body) VALUES (?, ?, ?, ?, ?, ?)",
                (method, host, path, query, json.dumps(headers), body),
            )
            self._db.execute("COMMIT")

    def requests(self) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute("SELECT method, host, path, query, headers, body FROM request ORDER BY id").fetchall()

    def sweep(self) -> None:
        """Delete bytes whose row was never committed (the server was killed in between)."""
        named = {row[4] for row in self.objects()}
        for blob in self.blobs.iterdir():
            if blob.name not in named:
                blob.unlink(missing_ok=True)


class StoredBytes:
    """Stands in for the buffer in which moto holds an object, and reads the kept bytes: an object costs neither memory nor an open file."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0

    def seek(self, at: int) -> None:
        self.at = at

    def read(self, size: int = -1) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.at)
            content = file.read(size)
        self.at += len(content)
        return content

    def close(self) -> None:
        """Nothing is open."""


# --- inside the server


def keep_objects(store: Store) -> None:
    """Make moto's S3 write through to the store. Patched are the three methods through which every change of an object goes."""
    from moto.s3 import notifications
    from moto.s3.models import FakeKey, S3Backend, s3_backends

    def keep(backend: Any, bucket: str, key: str) -> None:
        versions = backend.get_bucket(bucket).keys.getlist(key, [])
        store.keep_object(bucket, key, [described(version) for version in versions])

    def described(version: Any) -> tuple[Any, ...]:
        modified = version.last_modified.isoformat()
        if not isinstance(version, FakeKey):
            return (str(version.version_id), None, None, None, modified, "{}")
        if not isinstance(version._value_buffer, StoredBytes):
            version.etag  # noqa: B018 - computed now, from memory
            version._value_buffer = StoredBytes(store.write(version.value))
        metadata = {name: str(value) for name, value in version.metadata.items()}
        blob = version._value_buffer.path.name
        return (str(version.version_id), blob, version._etag, version.size, modified, json.dumps(metadata))

    original_put, original_delete, original_describe = S3Backend.put_object, S3Backend.delete_object, FakeKey.set_metadata

    @functools.wraps(original_put)
    def put_object(self: Any, bucket_name: str, key_name: str, value: bytes, *args: Any, **options: Any) -> Any:
        is_silent = options.pop("disable_notification", False) or options.get("multipart") is not None
        method = options.get("request_method", "PUT")
        key = original_put(self, bucket_name, key_name, value, *args, disable_notification=True, **options)
        keep(self, bucket_name, key_name)
        if not is_silent:  # a completed multipart upload sends its own event
            event = notifications.S3NotificationEvent
            name = event.OBJECT_CREATED_POST_EVENT if method == "POST" else event.OBJECT_CREATED_PUT_EVENT
            notifications.send_event(self.account_id, name, self.get_bucket(bucket_name), key)
        return key

    @functools.wraps(original_delete)
    def delete_object(self: Any, bucket_name: str, key_name: str, *args: Any, **options: Any) -> Any:
        answer = original_delete(self, bucket_name, key_name, *args, **options)
        keep(self, bucket_name, key_name)
        return answer

    @functools.wraps(original_describe)
    def set_metadata(self: Any, metadata: Any, replace: bool = False) -> None:
        original_describe(self, metadata, replace)
        if isinstance(self._value_buffer, StoredBytes):
            keep(s3_backends[self.account_id][self.partition], self.bucket_name, self.name)

    S3Backend.put_object, S3Backend.delete_object, FakeKey.set_metadata = put_object, delete_object, set_metadata


def restore(store: Store, app: Any) -> None:
    """Bring moto to where the last server stood: configuration by sending the requests again, objects directly and without events."""
    from werkzeug.test import Client

    client = Client(app)
    for method, host, path, query, headers, body in store.requests():
        client.open(path, method=method, query_string=query, headers=json.loads(headers), data=body, base_url=f"http://{host}").close()
    restore_objects(store)


def restore_objects(store: Store) -> None:
    from moto.s3.exceptions import MissingBucket
    from moto.s3.models import FakeDeleteMarker, FakeKey, s3_backends

    backend = s3_backends[ACCOUNT_ID]["aws"]
    for bucket_name, name, _, version_id, blob, etag, size, modified_at, metadata in store.objects():
        try:
            bucket = backend.get_bucket(bucket_name)
        except MissingBucket:  # killed between the bucket's creation and its note
            bucket = backend.create_bucket(bucket_name, REGION)
        modified = datetime.datetime.fromisoformat(modified_at)
        versions = bucket.keys.getlist(name, [])
        if blob is None:
            thing = FakeDeleteMarker(versions[-1]) if versions else None
            if thing is None:
                continue
            thing._version_id = version_id
        else:
            thing = FakeKey(
                name, b"", ACCOUNT_ID, REGION, etag=etag, is_versioned=bucket.is_versioned, version_id=version_id, bucket_name=bucket_name
            )
            thing._value_buffer, thing.contentsize = StoredBytes(store.blobs / blob), size
            thing._metadata.update(json.loads(metadata))
        thing.last_modified = modified
        bucket.keys.setlist(name, [*versions, thing])


PASSING = re.compile(r"^(Get|List|Describe|Receive|Send|DeleteMessage|ChangeMessage|PurgeQueue|Publish|AssumeRole|Simulate)")


def configures(service: str, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether a request changes what must be there after a restart: buckets and their settings, queues, topics, roles.

    >>> configures("s3", "PUT", "/landing", "notification", {}, b"")
    True
    >>> configures("s3", "PUT", "/landing/customers/a.csv", "", {}, b"id")
    False
    >>> configures("sqs", "POST", "/", "", {"X-Amz-Target": "AmazonSQS.CreateQueue"}, b"{}")
    True
    >>> configures("iam", "POST", "/", "", {}, b"Action=GetRole&RoleName=reader")
    False
    """
    if service == "s3":
        return method in ("PUT", "DELETE") and path.strip("/") != "" and "/" not in path.strip("/")
    action = headers.get("X-Amz-Target", "").rpartition(".")[2]
    action = action or parse_qs(body.decode(errors="replace")).get("Action", [""])[0] or parse_qs(query).get("Action", [""])[0]
    return bool(action) and not PASSING.match(action)


class Recorder:
    """WSGI: lets a request through to moto, and keeps it if it configured something and succeeded."""

    def __init__(self, app: Any, store: Store) -> None:
        self.app, self.store = app, store

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        scope = re.search(r"Credential=[^/]*/\d+/[^/]+/(\w+)/", environ.get("HTTP_AUTHORIZATION", ""))
        service = scope.group(1) if scope else "s3"
        method, path, query = environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        if service == "s3" and (method not in ("PUT", "DELETE") or "/" in path.strip("/")):
            return self.app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {"Content-Type": environ.get("CONTENT_TYPE", ""), "X-Amz-Target": environ.get("HTTP_X_AMZ_TARGET", "")}
        headers = {name: value for name, value in headers.items() if value}
        # The signature is not kept: moto only reads the service's and the region's name from it.
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request"
        codes: list[str] = []

        def note(code: str, *rest: Any) -> Any:
            codes.append(code)
            return start_response(code, *rest)

        answer = self.app(environ, note)
        if codes and codes[0].startswith("2") and configures(service, method, path, query, headers, body):
            self.store.keep_request(method, environ.get("HTTP_HOST", "127.0.0.1"), path, query, headers, body)
        return answer


def leave_with(parent: int) -> None:
    """End this process when its parent has ended: whoever is orphaned gets another parent. Killed or not makes no difference."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


def serve(folder: Path, port: int, parent: int | None) -> None:
    import logging

    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from local.s3_policies import count_loopback_as_tls
    from local.s3_queues import answer_without_counting

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if parent is not None:
        threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
    app = DomainDispatcherApplication(create_backend_app)
    # The port is taken first: a second server on the same folder must not touch it.
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)
    store = Store(folder)
    store.sweep()
    restore(store, app)
    keep_objects(store)
    count_loopback_as_tls()
    answer_without_counting()
    server.app = Recorder(app, store)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="The local account's S3: moto's server, kept in a folder.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="0 takes any free port")
    parser.add_argument("--parent", type=int, help="end when this process, our parent, ends")
    given = parser.parse_args()
    serve(given.folder, given.port, given.parent)


if __name__ == "__main__":
    main()
