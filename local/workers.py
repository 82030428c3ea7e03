"""The processes that run procedure handlers: one per application version and set of imported files, started when first needed."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
import subprocess
import sys
import sysconfig
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import usage
from local.catalog import Thing
from local.errors import failed
from local.session import LOCK_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

log = logging.getLogger("firn.worker")


class Worker:
    """One sandbox process and the calls that are under way in it."""

    def __init__(self, imports: Path, tell: Callable[[str, dict[str, Any]], None]) -> None:
        self.tell = tell
        self.calls: dict[str, Future[Any]] = {}
        self.guard = threading.Lock()
        script = Path(__file__).with_name("worker.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(imports), sysconfig.get_paths()["purelib"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"HOME": str(imports), "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"},
            cwd=imports,
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, call: dict[str, Any]) -> Future[Any]:
        future: Future[Any] = Future()
        with self.guard:
            self.calls[call["id"]] = future
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(call) + "\n")
            self.process.stdin.flush()
        return future

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            if "log" in answer:
                self.tell(answer["id"], answer["log"])
                continue
            with self.guard:
                future = self.calls.pop(answer["id"], None)
            if future is not None:
                future.set_result(answer)
        with self.guard:
            for future in self.calls.values():
                future.set_result({"error": "the Python process of the procedure ended", "traceback": "", "ended": True})
            self.calls.clear()


class Workers:
    def __init__(self, account: Account) -> None:
        self.account = account
        self.password = secrets.token_urlsafe(24)
        self.guard = threading.Lock()
        self.running: dict[Path, Worker] = {}
        self.callers: dict[str, Session] = {}
        self.called: dict[str, tuple[str, str]] = {}  # the application and the procedure of a call
        self.working: dict[str, Session] = {}  # the session in which a call does its work

    def rights_of(self, user: str | None, password: str | None) -> dict[str, Any]:
        """A worker logs in with the rights of the application whose code it runs; nobody else can."""
        if user and user.startswith("FIRN_WORKER ") and password and secrets.compare_digest(password, self.password):
            return {"app": user.removeprefix("FIRN_WORKER ") or None}
        return {}

    def call(self, session: Session, procedure: Thing, arguments: list[dict[str, Any]]) -> Any:
        module, _, function = procedure["handler"].rpartition(".")
        call_id = uuid.uuid4().hex
        app = procedure.database if self.account.catalog.get("application", procedure.database) else None
        worker = self.worker_for(procedure)
        self.callers[call_id] = session
        self.called[call_id] = (app or "", procedure.name.rsplit("/", 1)[0])
        level = self.log_level(app)
        try:
            answer = worker.send(
                {
                    "id": call_id,
                    "module": module or "_inline",  # its body stands in the statement
                    "function": function,
                    "arguments": arguments,
                    "log_level": level,
                    "login": self.login(app, procedure.database, procedure.schema, self.role_of(procedure, session, app)),
                }
            ).result()
        finally:
            self.callers.pop(call_id, None)
            of_call = self.called.pop(call_id)
            own = self.working.pop(call_id, None)
        if answer.get("ended") and own is not None:
            self.account.forget(own)  # its client is dead: what it had open is rolled back, what it had locked is free
        if "error" in answer:
            if level != "OFF":
                self.account.usage.events.append(usage.escaped(*of_call, answer))
            log.error("%s: %s", procedure.full_name, answer["traceback"])
            raise failed(f"Python Interpreter Error:\n{answer['traceback'] or answer['error']} in function {procedure.name.rsplit('/', 1)[0]} with handler {procedure['handler']}")
        return answer["value"]

    def log_level(self, app: str | None) -> str:
        """As the manifest of the application says; without it, and outside applications, nothing is recorded."""
        found = self.account.catalog.get("application", app) if app else None
        return str(found.get("log_level") or "OFF") if found else "OFF"

    def told(self, call_id: str, said: dict[str, Any]) -> None:
        """A record of a handler, for the event table."""
        app, procedure = self.called.get(call_id, ("", ""))
        self.account.usage.events.append(usage.event(app, procedure, said))

    def enter(self, session: Session, call_id: str) -> None:
        """The procedure's session takes over the task run of whoever called it, and how long a lock is waited for."""
        caller = self.callers.get(call_id)
        session.task = caller.task if caller else None
        session.lock_timeout = caller.lock_timeout if caller else LOCK_TIMEOUT_SECONDS
        session.query_tag = caller.query_tag if caller else ""  # one of the parameters that owner's rights take from the caller
        self.working[call_id] = session

    def role_of(self, procedure: Thing, caller: Session, app: str | None) -> str:
        """Whose rights a procedure has: of an application those of the application; else its owner's, or its caller's where it says so."""
        if app:
            return "ACCOUNTADMIN"
        return caller.role if procedure["execute_as"] == "CALLER" else procedure.get("owner", "ACCOUNTADMIN")

    def login(self, app: str | None, database: str, schema: str, role: str = "ACCOUNTADMIN") -> dict[str, Any]:
        host, port = self.account.address
        return {
            "account": "local", "host": host, "port": port, "protocol": "http",
            "user": f"FIRN_WORKER {app or ''}", "password": self.password, "role": role,
            "database": database, "schema": schema,
            "login_timeout": 20, "network_timeout": 600, "client_telemetry_enabled": False,
        }  # fmt: skip

    def worker_for(self, procedure: Thing) -> Worker:
        folder = imports_folder(self.account, procedure)
        with self.guard:
            worker = self.running.get(folder)
            if worker is None or not worker.alive:
                worker = self.running[folder] = Worker(folder, self.told)
            return worker

    def close(self) -> None:
        for worker in self.running.values():
            worker.process.kill()
        for worker in self.running.values():
            worker.process.wait(timeout=10)


def imports_folder(account: Account, routine: Thing) -> Path:
    """A folder with the files this routine imports and no others, as Snowflake lays them out: flat."""
    root = account.folder / "applications" / routine.database / str(routine["version"])
    body = routine.get("body") or ""
    made = root.stat().st_ctime_ns if root.exists() else 0  # the number of an upgrade that failed is used again, with other files
    key = hashlib.sha256(json.dumps([str(root), made, routine["imports"], body]).encode()).hexdigest()[:16]
    folder = account.folder / "sandboxes" / key
    if not folder.exists():
        making = folder.with_suffix(f".{uuid.uuid4().hex[:8]}")
        making.mkdir(parents=True)
        for path in routine["imports"]:
            source = root / str(path).lstrip("/")
            if not source.is_file():
                raise failed(f"{routine.full_name}: import '{path}' is gone from the application's stage")
            shutil.copyfile(source, making / source.name)
        if body:
            (making / "_inline.py").write_text(body)
        try:
            making.rename(folder)
        except OSError:  # another call has made it meanwhile
            shutil.rmtree(making)
    return folder
