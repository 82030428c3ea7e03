"""`firn console`: the application's Streamlit page on this machine, connected to the local account."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from local.place import ROOT, Place

PAGE = ROOT / "app" / "console" / "console.py"
PYTHON = ROOT / ".venv-console" / "bin" / "python"  # an environment of its own: Streamlit takes no pandas 3, which the rest uses
PORT = 18767


def add(commands: Any) -> None:
    text = "the operators' page in a browser: runs, freshness, quarantine, accounts, history, KPIs"
    one = commands.add_parser("console", help=text, description=text)
    one.set_defaults(run=console)
    one.add_argument("--port", type=int, default=PORT, help=f"where it listens, on this machine only (default {PORT})")


def console(place: Place, arguments: argparse.Namespace) -> int:
    if not PYTHON.exists():
        print("firn: the page's environment is not there yet; make it and open the page with: make console", file=sys.stderr)
        return 2
    command = [
        *(str(PYTHON), "-m", "streamlit", "run", str(PAGE)),
        *("--server.address", "127.0.0.1", "--server.port", str(arguments.port), "--server.headless", "true"),
        *("--browser.gatherUsageStats", "false", "--client.toolbarMode", "viewer", "--secrets.files", str(secrets(place))),
    ]
    print(f"http://127.0.0.1:{arguments.port}   stop with Ctrl-C", flush=True)
    try:
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT / "procedures"), "PYTHONWARNINGS": "ignore"}).returncode
    except KeyboardInterrupt:
        return 0


def secrets(place: Place) -> Path:
    """The page's connection, readable by its owner only; in Snowflake the page is given its session instead."""
    file = place.folder / "console.toml"
    file.touch(mode=0o600)
    login = {**place.login(), "database": "FIRN", "schema": "CORE"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in login.items()]
    file.write_text("\n".join(["[connections.snowflake]", *lines]) + "\n")
    return file
