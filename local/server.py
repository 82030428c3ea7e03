"""Snowflake's wire protocol on a loopback port, for the real clients: connector, Snowpark, `snow`, Streamlit.

Run by `firn up`; by hand: python -m local.server --folder .firn/account --port 18765
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import logging
import signal
import uuid
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local import s3
from local.account import Account, as_snowflake_error
from local.pipes import Poller
from local.session import Session
from local.tasks import Scheduler
from local.wire import parameter

log = logging.getLogger("firn.server")
SERVER_VERSION = "9.36.0"


class NoSession(Exception):
    pass


async def body_of(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return json.loads(body) if body else {}


def account_of(request: Request) -> Account:
    return request.app.state.account


def session_of(request: Request) -> Session:
    token = request.headers.get("Authorization", "")[17:-1]  # Snowflake Token="…"
    session = account_of(request).sessions.get(token)
    if session is None:
        raise NoSession
    return session


def unquoted(name: str | None) -> str | None:
    if not name:
        return None
    return name[1:-1] if name.startswith('"') else name.upper()


async def login(request: Request) -> JSONResponse:
    """Any user and password of this machine may come in; the account listens on the loopback interface only."""
    account = account_of(request)
    data = (await body_of(request))["data"]
    query = request.query_params
    rights = account.workers.rights_of(data.get("LOGIN_NAME"), data.get("PASSWORD"))
    role = unquoted(query.get("roleName")) or "ACCOUNTADMIN"
    if not account.role_exists(role):
        return failure("390189", f"Role '{role}' specified in the connect string does not exist or not authorized.")
    session = await run_in_threadpool(
        lambda: account.session(unquoted(query.get("databaseName")), unquoted(query.get("schemaName")), role=role, **rights)
    )
    parameters = data.get("SESSION_PARAMETERS") or {}
    session.query_tag = parameters.get("QUERY_TAG", "")
    return JSONResponse(
        {
            "data": {
                "token": session.token,
                "masterToken": session.token,
                "serverVersion": SERVER_VERSION,
                "sessionId": int(uuid.uuid4().int % 10**15),
                "parameters": [
                    {"name": "AUTOCOMMIT", "value": True},
                    {"name": "TIMEZONE", "value": "Etc/UTC"},
                    {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
                    {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0},
                    {"name": "QUERY_TAG", "value": parameters.get("QUERY_TAG", "")},
                ],
                "sessionInfo": {
                    "databaseName": session.database,
                    "schemaName": session.schema,
                    "roleName": session.role,
                    "warehouseName": session.warehouse,
                },
            },
            "success": True,
        }
    )


def bindings_of(body: dict[str, Any]) -> tuple[Any, list[tuple[Any, ...]] | None]:
    """(parameters of one execution, rows of parameters when the client sends an array)."""

    bindings = body.get("bindings")
    if not bindings:
        return None, None
    if not all(key.isdigit() for key in bindings):
        return {name: parameter(b) for name, b in bindings.items()}, None
    ordered = [bindings[str(i)] for i in range(1, len(bindings) + 1)]
    if any(isinstance(b["value"], list) for b in ordered):
        columns = [[parameter({**b, "value": v}) for v in b["value"]] for b in ordered]
        return None, list(zip(*columns, strict=True))
    return [parameter(b) for b in ordered], None


def run(account: Account, session: Session, body: dict[str, Any]) -> dict[str, Any]:
    params, batch = bindings_of(body)
    describe = bool(body.get("describeOnly"))
    session.statement_tag = (body.get("parameters") or {}).get("QUERY_TAG")
    try:
        if batch is None:
            return account.execute(session, body["sqlText"], params, describe=describe)
        if describe:
            return account.execute(session, body["sqlText"], list(batch[0]), describe=True)
        return account.execute_batch(session, body["sqlText"], batch)
    finally:
        session.statement_tag = None


async def query(request: Request) -> JSONResponse:
    account = account_of(request)
    try:
        session = session_of(request)
    except NoSession:
        return failure("390104", "Session no longer exists. New login required to access the service.")
    body = await body_of(request)
    query_id = str(uuid.uuid4())
    try:
        reply = await run_in_threadpool(run, account, session, body)
    except Exception as e:
        error = as_snowflake_error(e)
        log.info("%s | %s", error.msg, body.get("sqlText", "")[:2000])
        return failure(f"{error.errno:06d}", error.msg, error.sqlstate, query_id)
    where = {
        "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}],
        "queryId": query_id,
        "finalDatabaseName": session.database,
        "finalSchemaName": session.schema,
        "finalRoleName": session.role,
        "finalWarehouseName": session.warehouse,
    }
    return JSONResponse({"data": {**where, **reply}, "success": True})


def failure(code: str, message: str, sqlstate: str | None = None, query_id: str | None = None) -> JSONResponse:
    data = {"errorCode": code, "sqlState": sqlstate, "queryId": query_id}
    return JSONResponse({"data": data, "code": code, "message": message, "success": False})


async def session_request(request: Request) -> JSONResponse:
    account = account_of(request)
    try:
        session = session_of(request)
        if request.query_params.get("delete"):
            await run_in_threadpool(account.forget, session)
    except NoSession:
        pass
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


async def accepted(request: Request) -> JSONResponse:
    return JSONResponse({"data": None, "success": True})


async def no_telemetry(request: Request) -> JSONResponse:
    """Nobody reads what clients tell of their use; refused once, a client collects no more of it, which costs half a millisecond a statement."""
    return JSONResponse({"data": None, "code": None, "message": "The local account takes no telemetry.", "success": False})


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"folder": str(account_of(request).folder), "ready": True})


def application(account: Account) -> Starlette:
    app = Starlette(
        routes=[
            Route("/session/v1/login-request", login, methods=["POST"]),
            Route("/session", session_request, methods=["POST"]),
            Route("/session/heartbeat", session_request, methods=["POST"]),
            Route("/queries/v1/query-request", query, methods=["POST"]),
            Route("/queries/v1/abort-request", accepted, methods=["POST"]),
            Route("/telemetry/send", no_telemetry, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ]
    )
    app.state.account = account
    return app


def serve(folder: Path, port: int, s3_port: int | None, *, scheduler: bool = True) -> None:
    """Run until stopped. S3, the scheduler and the pipes work in the background, as they do around an account."""
    storage = s3.start(folder / "s3", s3_port, log=folder / "s3.log") if s3_port is not None else None
    account = Account(folder, storage.s3 if storage else None, address=("127.0.0.1", port))
    background: list[Any] = [Scheduler(account)] if scheduler else []
    if storage:
        background.append(Poller(account))
    config = uvicorn.Config(application(account), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    for part in background:
        part.start()
    gc.freeze()  # what the libraries made at start stays: each collection would look through it, 0.1 s every few statements
    try:
        server.run()
    finally:
        for part in background:
            part.stop()
        account.close()
        if storage:
            storage.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.server", description="the local account")
    parser.add_argument("--folder", type=Path, required=True, help="where the account lives")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--s3-port", type=int, help="port of the local S3; without it there is no S3 and pipes do not run")
    parser.add_argument("--no-scheduler", action="store_true", help="tasks run only when EXECUTE TASK says so")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("botocore", "boto3", "urllib3", "snowflake", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    serve(arguments.folder.resolve(), arguments.port, arguments.s3_port, scheduler=not arguments.no_scheduler)


if __name__ == "__main__":
    main()
