"""The Python sandbox of an application version: runs procedure handlers in a process of its own.

Started as `python -I -S worker.py`: nothing of the repository is on the path, only the standard library, the installed packages
(without their .pth files, so an editable install is not visible either) and the one folder with the files that the procedure imports
from the application's stage. A handler that needs a file that was not deployed fails here as it fails on Snowflake.

Protocol: one JSON object a line. In: {"id", "module", "function", "arguments", "login", "log_level"}; out: {"id", "value"} or
{"id", "error", "error_type", "traceback"}, and before it {"id", "log"} for each record that the handler logs.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import gc
import importlib
import json
import logging
import os
import sys
import threading
import traceback
from pathlib import Path

# docs.snowflake.com/en/developer-guide/logging-tracing/logging-python: CRITICAL is FATAL
LEVELS = {"TRACE": 0, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "FATAL": 50, "OFF": 100}
TEXTS = {"WARNING": "WARN", "CRITICAL": "FATAL", "NOTSET": "TRACE"}
PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


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
    under_way = threading.local()

    class Told(logging.Handler):
        """What handlers log goes to the account, as Snowflake takes it for its event table."""

        def emit(self, record: logging.LogRecord) -> None:
            call = getattr(under_way, "call", None)
            if call is None or record.levelno < LEVELS[call["log_level"]]:
                return
            extra = {key: value for key, value in vars(record).items() if key not in PLAIN}
            said = {
                "at": record.created, "level": TEXTS.get(record.levelname, record.levelname), "logger": record.name, "message": record.getMessage(),
                "file": record.filename, "function": record.funcName, "line": record.lineno, "extra": extra,
            }
            with guard:
                answers.write(json.dumps({"id": call["id"], "log": said}, default=str) + "\n")

    logging.getLogger().addHandler(Told())
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("snowflake").setLevel(logging.WARNING)  # the client's own talk over a connection that Snowflake does not have
    for noisy in ("urllib3", "botocore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

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
        under_way.call = call
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
            answer = {"id": call["id"], "error": f"{type(e).__name__}: {e}", "error_type": type(e).__name__, "traceback": traceback.format_exc()}
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
