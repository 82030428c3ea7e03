"""`firn console`: the application's Streamlit page on this machine, connected to the local account."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.place import ROOT, NotRunning, Place, free_soon

PAGE = ROOT / "app" / "console" / "console.py"
PORT = 18767


def add(commands: Any) -> None:
    text = "the operators' page in a browser: runs, freshness, quarantine, accounts, history, KPIs"
    one = commands.add_parser("console", help=text, description=text)
    one.set_defaults(run=console)
    one.add_argument("--port", type=int, default=PORT, help=f"where it listens, on this machine only (default {PORT})")


def console(place: Place, arguments: argparse.Namespace) -> int:
    login = place.login()
    if not free_soon(arguments.port):
        raise NotRunning(f"port {arguments.port}, wanted for the page, is in use by another program. Choose another: firn console --port {arguments.port + 100}")
    print(f"http://127.0.0.1:{arguments.port}   stop with Ctrl-C", flush=True)
    try:
        return subprocess.run(**served(arguments.port, secrets(place.folder, login))).returncode
    except KeyboardInterrupt:
        return 0


def served(port: int, secrets_file: Path) -> dict[str, Any]:
    """How the page is served: what subprocess.run or Popen is given.  It listens on this machine only and asks nobody anything."""
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(PAGE)),
        *("--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true", "--server.fileWatcherType", "none"),
        *("--browser.gatherUsageStats", "false", "--client.toolbarMode", "minimal", "--secrets.files", str(secrets_file)),
    ]
    # The folder is the page's, where Streamlit looks for .streamlit/config.toml, as Snowflake does beside the page.
    return {"args": command, "cwd": PAGE.parent, "env": {**os.environ, "PYTHONPATH": str(ROOT / "procedures"), "PYTHONWARNINGS": "ignore"}}


def secrets(folder: Path, login: Mapping[str, Any]) -> Path:
    """The page's connection, readable by its owner only; in Snowflake the page is given its session instead."""
    file = folder / "console.toml"
    file.touch(mode=0o600)
    said = {**login, "database": "FIRN", "schema": "CORE"}
    file.write_text("\n".join(["[connections.snowflake]", *(f"{name} = {json.dumps(value)}" for name, value in said.items())]) + "\n")
    return file
