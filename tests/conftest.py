"""The engine's two grounds: Snowpark's local testing, and the local account over its wire.

Every test that asks for `session`, `frame` or `stored` runs on both.  What one of them cannot do is said at the test:

    @pytest.mark.notyet("localtest", reason="no session.sql")

a strict xfail, so that the mark goes when the engine learns it.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "procedures", ROOT / "tests"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # at the end: tests/history must not hide history
warnings.filterwarnings("ignore", message="urllib3")

import local_testing  # noqa: E402
import uvicorn  # noqa: E402
from frames import frame_of  # noqa: E402
from snowflake.snowpark import DataFrame, Session  # noqa: E402
from snowflake.snowpark import session as snowpark_sessions  # noqa: E402

from local.account import Account  # noqa: E402
from local.server import application  # noqa: E402

ENGINES = ("localtest", "account")
numbers = itertools.count(1)


LONGEST_FIRST = ("tests/flow/", "tests/drill/", "tests/console/")  # so that no worker begins a long file when the others are done


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST_FIRST))
    for item in items:
        engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
        for mark in item.iter_markers("notyet"):
            if mark.args[0] not in ENGINES:
                raise pytest.UsageError(f"{item.nodeid}: notyet names one of {', '.join(ENGINES)}, not {mark.args[0]}")
            if mark.args[0] == engine:
                item.add_marker(pytest.mark.xfail(reason=mark.kwargs["reason"], strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Expected failures get a plain traceback: the long kind parses the client's largest files anew for each."""
    style = item.config.option.tbstyle
    item.config.option.tbstyle = "native" if item.get_closest_marker("xfail") else style
    try:
        return (yield)
    finally:
        item.config.option.tbstyle = style


@pytest.fixture(scope="session")
def localtest() -> Iterator[Session]:
    """Snowpark's local testing: frames computed by pandas in this process."""
    opened = Session.builder.configs({"local_testing": True, "disable_local_testing_telemetry": True}).create()
    yield opened
    with alone(opened):
        opened.close()


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The local account, bare: no S3, no scheduler, no application; reached over the wire by the real client."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    emulated = Account(tmp_path_factory.mktemp("bare") / "account", None, address=("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(application(emulated), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client = {"account": "local", "user": "u", "password": "p", "host": "127.0.0.1", "port": port, "protocol": "http"}
    opened = Session.builder.configs({**client, "login_timeout": 10, "network_timeout": 60}).create()
    for statement in furnishing():
        opened.sql(statement).collect()
    yield opened
    with alone(opened):
        opened.close()
    server.should_exit = True
    thread.join()
    emulated.close()


def furnishing() -> Iterator[str]:
    """What the engine expects to stand in an account: its schemas, its control tables, its function."""
    yield "CREATE DATABASE firn"
    for schema in ("core", "control", "stage", "silver", "gold"):
        yield f"CREATE SCHEMA firn.{schema}"
    yield "USE SCHEMA firn.public"
    body = (ROOT / "procedures" / "validity.py").read_text()
    yield (
        "CREATE FUNCTION core.is_email(value VARCHAR) RETURNS BOOLEAN LANGUAGE PYTHON RUNTIME_VERSION = '3.11' "
        f"PACKAGES = ('pandas') HANDLER = 'is_email' AS $$\n{body}\n$$"
    )
    statements = (ROOT / "app" / "sql" / "control.sql").read_text().split(";\n")
    yield from (statement for statement in statements if "CREATE TABLE" in statement)


@contextmanager
def alone(session: Session) -> Iterator[Session]:
    """Hides the other session: a client that sees two asks which one is meant."""
    active = snowpark_sessions._active_sessions
    others = active - {session}
    active.difference_update(others)
    try:
        yield session
    finally:
        active.update(others)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def session(engine: str, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session of each engine in turn; local testing is repaired only while it is used."""
    opened = request.getfixturevalue(engine)
    with alone(opened), local_testing.repaired() if engine == "localtest" else nullcontext():
        yield opened


@pytest.fixture
def frame(session: Session) -> Callable[[str], DataFrame]:
    """A frame from a table in text; see `frames`."""
    return lambda text: frame_of(session, text)


@pytest.fixture
def stored(session: Session) -> Callable[[str], str]:
    """Puts a table in text into the account, as a table of its own; gives its name."""

    def store(text: str) -> str:
        name = f"stored_{next(numbers)}"
        frame_of(session, text).write.save_as_table(name)
        return name

    return store
