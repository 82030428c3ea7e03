"""Where a local account lives and how to reach it: its folder, its ports, its processes, the connection for `snow`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PORT, S3_PORT = 18765, 18766
START_SECONDS = 60


class NotRunning(Exception):
    """Told to the user as it is."""


@dataclass(frozen=True)
class Place:
    """A folder with a local account in it."""

    folder: Path

    @classmethod
    def chosen(cls, folder: str | None = None) -> Place:
        """The folder that was named, else $FIRN_FOLDER, else .firn beside this project."""
        return cls(Path(folder or os.environ.get("FIRN_FOLDER") or ROOT / ".firn").resolve())

    @property
    def state_file(self) -> Path:
        return self.folder / "running.json"

    @property
    def config_file(self) -> Path:
        return self.folder / "config.toml"

    @property
    def log_file(self) -> Path:
        return self.folder / "account.log"

    def state(self) -> dict[str, Any] | None:
        """What is running here, or None. A file left by a killed account does not count."""
        try:
            state = json.loads(self.state_file.read_text())
            os.kill(state["pid"], 0)
        except (OSError, ValueError, KeyError):
            return None
        return state if healthy(state["port"], self.folder) else None

    def running(self) -> dict[str, Any]:
        state = self.state()
        if state is None:
            raise NotRunning(f"no local account is running in {self.folder}. Start it with: firn up")
        return state

    # --- starting and stopping

    def up(self, port: int = PORT, s3_port: int = S3_PORT) -> dict[str, Any]:
        """Start the account in the background and wait until it answers; an account that runs already is left as it is."""
        if (state := self.state()) is not None:
            return {**state, "already": True}
        for name, number in (("account", port), ("S3", s3_port)):
            if not free_soon(number):
                raise NotRunning(
                    f"port {number}, wanted for the {name}, is in use by another program. "
                    f"Choose others: firn up --port {number + 100} --s3-port {number + 101}"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "local.server", "--folder", str(self.folder), "--port", str(port), "--s3-port", str(s3_port)]
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while not healthy(port, self.folder):
            if process.poll() is not None or time.monotonic() > end:
                with contextlib.suppress(OSError):
                    process.kill()
                last = self.log_file.read_text(errors="replace").strip().splitlines()[-5:]
                raise NotRunning(f"the local account did not start; the end of {self.log_file}:\n  " + "\n  ".join(last))
            time.sleep(0.05)
        state = {"pid": process.pid, "port": port, "s3_port": s3_port}
        self.state_file.write_text(json.dumps(state))
        self.write_config(port)
        return state

    def down(self) -> bool:
        """Stop it; False when nothing ran. The data stays."""
        state = self.state()
        if state is None:
            return False
        os.kill(state["pid"], signal.SIGTERM)
        end = time.monotonic() + 15
        while alive(state["pid"]):
            if time.monotonic() > end:
                os.kill(state["pid"], signal.SIGKILL)
                break
            time.sleep(0.05)
        self.state_file.unlink(missing_ok=True)
        return True

    def write_config(self, port: int) -> None:
        """A connection called `local` for `snow`, in this folder only; the user's own configuration is never touched."""
        self.config_file.touch(mode=0o600)
        self.config_file.chmod(0o600)
        self.config_file.write_text(
            'default_connection_name = "local"\n\n[cli.logs]\nsave_logs = false\n\n[connections.local]\n'
            f'account = "local"\nhost = "127.0.0.1"\nport = {port}\nprotocol = "http"\n'
            'user = "local"\npassword = "local"\nrole = "ACCOUNTADMIN"\nwarehouse = "COMPUTE_WH"\n'
            "login_timeout = 20\nnetwork_timeout = 300\nclient_telemetry_enabled = false\n"
        )

    # --- reaching it

    def connect(self, **settings: Any) -> Any:
        """A connection of the real snowflake-connector."""
        import snowflake.connector

        return snowflake.connector.connect(**self.login(), **settings)

    def login(self) -> dict[str, Any]:
        return {
            "account": "local", "host": "127.0.0.1", "port": self.running()["port"], "protocol": "http",
            "user": "local", "password": "local", "role": "ACCOUNTADMIN",
            "login_timeout": 20, "network_timeout": 300, "client_telemetry_enabled": False,
        }  # fmt: skip

    def s3(self) -> Any:
        from local.s3 import S3

        return S3(f"http://127.0.0.1:{self.running()['s3_port']}")

    def snow(self, *arguments: str, check: bool = True, capture: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the real `snow` of this environment against this account, in the project's folder."""
        program = Path(sys.executable).with_name("snow")
        done = subprocess.run(
            [str(program), "--config-file", str(self.config_file), *arguments],
            cwd=ROOT, env=self.environment(), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None, stderr=subprocess.STDOUT if capture else None,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise NotRunning(f"snow {' '.join(arguments)} failed:\n{done.stdout or ''}")
        return done

    def environment(self) -> dict[str, str]:
        """The environment of `snow`: nothing of a user's own Snowflake settings gets through."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNOWFLAKE_", "SNOWSQL_"))}
        return {**kept, "SNOWFLAKE_HOME": str(self.folder / "snow"), "PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1,localhost"}


def healthy(port: int, folder: Path) -> bool:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return json.load(answer)["folder"] == str(folder)
    except (OSError, ValueError, KeyError):
        return False


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_soon(port: int, seconds: float = 3) -> bool:
    """Free now or in a moment: the S3 of a killed account takes one to notice and end."""
    end = time.monotonic() + seconds
    while not free(port):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
