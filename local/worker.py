"""The Python sandbox of an application version: runs procedure handlers in a process of its own.

Started as `python -I -S worker.py`: nothing of the repository is on the path, only the standard library, the installed packages
(without their .pth files, so an editable install is not visible either) and the one folder with the files that the procedure imports
from the application's stage. A handler that needs a file that was not deployed fails here as it fails on Snowflake.

Protocol: one JSON object a line. In: {"id", "module", "function", "arguments", "login"}; out: {"id", "value"} or {"id", "error", "traceback"}.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import gc
import importlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path


def main() -> None:
    imports, packages = sys.argv[1], sys.argv[2]
    own_folder = Path(__file__).resolve().parent
    sys.path = [imports, *(p for p in sys.path if Path(p).resolve() != own_folder), packages]
    sys._xoptions["snowflake_import_directory"] = imports + os.sep  # where Snowflake says the imported files are
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a handler prints must not mix with the answers
    import warnings

    warnings.filterwarnings("ignore")
    from snowflake.snowpark import Session

    settle()
    idle: list = []
    guard = threading.Lock()

    def place(login: dict) -> tuple:
        return login["database"], login["schema"], login["role"]

    def take_session(login: dict) -> object:
        with guard:
            for i, (key, _) in enumerate(idle):
                if key == place(login):
                    return idle.pop(i)[1]
        return Session.builder.configs({**login, "session_parameters": {"QUERY_TAG": ""}}).create()

    def give_back(session: object, call: dict) -> None:
        """The next call may have the session, unless a transaction is open or the account has lost it: then this raises."""
        session.sql(f"CALL SYSTEM$LEAVE_CALL('{call['id']}')").collect()
        with guard:
            idle.append((place(call["login"]), session))

    def run(call: dict) -> None:
        login = call["login"]
        try:
            session = take_session(login)
            session.sql(f"CALL SYSTEM$ENTER_CALL('{call['id']}')").collect()
            try:
                handler = getattr(importlib.import_module(call["module"]), call["function"])
                value = handler(session, *(decode(a) for a in call["arguments"]))
            except BaseException:
                try:
                    give_back(session, call)
                except BaseException:
                    session.close()  # whatever it left open goes with it
                raise
            give_back(session, call)
            answer = {"id": call["id"], "value": encode(value)}
        except BaseException as e:
            answer = {"id": call["id"], "error": f"{type(e).__name__}: {e}", "traceback": traceback.format_exc()}
        with guard:
            answers.write(json.dumps(answer) + "\n")

    for line in sys.stdin:
        threading.Thread(target=run, args=(json.loads(line),), daemon=True).start()
    os._exit(0)  # the account closed the pipe or died


def settle() -> None:
    """Spares a process that runs procedures two things that come back with every step.

    Collections of garbage need not look through what the libraries made at start.  And the client measures network and
    memory around every DataFrame call, for telemetry that nobody receives here.
    """
    gc.freeze()
    from snowflake.snowpark._internal import telemetry

    telemetry.PS_UTIL_AVAILABLE = False


def decode(argument: dict) -> object:
    kind, value = argument["type"], argument["value"]
    if value is None or kind in ("str", "json"):
        return json.loads(value) if kind == "json" and value is not None else value
    return {
        "int": int,
        "bool": bool,
        "float": float,
        "decimal": decimal.Decimal,
        "datetime": datetime.datetime.fromisoformat,
        "date": datetime.date.fromisoformat,
        "bytes": base64.b64decode,
    }[kind](value)


def encode(value: object) -> object:
    return json.loads(json.dumps(value, default=str))


if __name__ == "__main__":
    main()
