"""What `firn doctor` asks of an account: SHOW, DESCRIBE and SELECT, nothing else; on the local account or on Snowflake.

What one question cannot answer (no such object, no right to see it) is kept with the reason, and the others are asked all the same.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snowflake.connector.errors import Error

from local.aws import rows
from local.place import ROOT
from local.setup_sql import names, spec_file

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Applied:
    """A pipeline as `control.pipeline_spec` has it. `spec` is None when this clone cannot read it; `fault` says why."""

    name: str
    version: int
    sha256: str
    applied_at: dt.datetime
    spec: Any = None
    fault: str = ""
    earlier: frozenset[str] = frozenset()  # hashes of versions before


@dataclass(frozen=True)
class Facts:
    """What an account says of itself. Times are UTC without a zone; names of objects are as the account writes them: upper case."""

    now: dt.datetime
    machine_now: dt.datetime
    role: str = "ACCOUNTADMIN"
    app: str = "firn"
    application: Row | None = None
    binding: tuple[str, str] | None = None
    applied: tuple[Applied, ...] = ()
    packaged: Mapping[str, str] = field(default_factory=dict)  # pipeline → sha256 of the file in this clone
    bronze: Mapping[str, frozenset[str]] = field(default_factory=dict)  # table → columns, lower case
    app_grants: frozenset[tuple[str, str]] = frozenset()  # (privilege, object), upper case
    app_privileges: Mapping[str, bool] = field(default_factory=dict)  # of the manifest → whether granted
    role_holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # application role → to whom it is granted
    reader_grants: frozenset[tuple[str, str, str]] = frozenset()  # (privilege, kind, object)
    gold: frozenset[str] = frozenset()  # tables and views, lower case
    tasks: tuple[Row, ...] = ()
    task_runs: Mapping[str, Row] = field(default_factory=dict)  # task → its newest run that has ended
    pipes: tuple[Row, ...] = ()  # with `status`, a dictionary
    failed_files: tuple[Row, ...] = ()
    streams: tuple[Row, ...] = ()
    integration: Mapping[str, str] = field(default_factory=dict)
    stage_url: str = ""
    wiring: tuple[str, ...] = ()  # what `firn aws verify` complains of
    marks: tuple[Row, ...] = ()  # control.parameter_control, with `newest_taken` and what bronze holds
    late: tuple[Row, ...] = ()  # control.freshness where is_late
    alerts: tuple[Row, ...] = ()
    waiting: tuple[Row, ...] = ()  # quarantine by source
    open_runs: tuple[Row, ...] = ()
    failed_steps: tuple[Row, ...] = ()
    unbalanced: tuple[Row, ...] = ()
    blind: Mapping[str, str] = field(default_factory=dict)  # what could not be looked at → why


def ask(connection: Any, app: str, verify: Callable[[], Sequence[str]] | None = None) -> Facts:
    """All facts of an account. `verify` gives what is wrong with the bucket's wiring; None: it cannot be asked here.

    Raises the connector's error only when not even the time can be asked.
    """
    app = names.identifier(app)
    first = rows(connection, "SELECT SYSDATE() AS now, CURRENT_ROLE() AS role")[0]
    known: dict[str, Any] = {"now": first["now"], "role": first["role"], "machine_now": dt.datetime.now(dt.UTC).replace(tzinfo=None), "app": app}
    blind: dict[str, str] = {}

    def look(what: str, question: Callable[[], Mapping[str, Any]]) -> None:
        try:
            known.update(question())
        except (Error, ValueError, LookupError) as e:
            blind[what] = " ".join(str(getattr(e, "msg", None) or e).split())[:300]

    look("application", lambda: {"application": application_of(connection, app)})
    if "application" in known and known["application"] is None:
        return Facts(**known, blind=blind)
    look("binding", lambda: {"binding": binding_of(connection, app)})
    look("pipelines", lambda: pipelines_of(connection, app))
    known.setdefault("applied", ())
    look("grants to the application", lambda: app_grants_of(connection, app))
    look("privileges", lambda: {"app_privileges": {row["privilege"]: is_true(row["is_granted"]) for row in rows(connection, f"SHOW PRIVILEGES IN APPLICATION {app}")}})
    look("application roles", lambda: roles_of(connection, app))
    look("gold", lambda: {"gold": gold_of(connection, app)})
    look("tasks", lambda: {"tasks": tuple(rows(connection, f"SHOW TASKS IN DATABASE {app}"))})
    look("task history", lambda: {"task_runs": task_runs_of(connection, app)})
    look("run log", lambda: log_of(connection, app))
    look("alerts, freshness and quarantine", lambda: told_of(connection, app))
    if known.get("binding"):
        schema = names.qualified(*known["binding"])
        sources = [source.name for one in known["applied"] if one.spec for source in one.spec.sources]
        look("bronze tables", lambda: {"bronze": bronze_of(connection, *known["binding"])})
        look("pipes", lambda: {"pipes": pipes_of(connection, schema)})
        look("load history", lambda: {"failed_files": failed_files_of(connection, schema, [name for name in sources if name in known.get("bronze", {})])})
        look("streams", lambda: {"streams": tuple(rows(connection, f"SHOW STREAMS IN SCHEMA {schema}"))})
        look("stage and integration", lambda: storage_of(connection, schema))
        look("control rows", lambda: {"marks": marks_of(connection, app, schema, known.get("bronze", {}))})
    if verify is not None:
        look("bucket", lambda: {"wiring": tuple(verify())})
    return Facts(**known, blind=blind)


# --- one question each


def application_of(connection: Any, app: str) -> Row | None:
    found = rows(connection, f"SHOW APPLICATIONS LIKE '{app}'")
    return found[0] if found else None


def binding_of(connection: Any, app: str) -> tuple[str, str] | None:
    found = rows(connection, f"SELECT database_name, schema_name FROM {app}.control.binding")
    return (found[0]["database_name"], found[0]["schema_name"]) if found else None


def pipelines_of(connection: Any, app: str) -> dict[str, Any]:
    found = rows(connection, f"SELECT pipeline, version, sha256, applied_at, spec, is_current FROM {app}.control.pipeline_spec ORDER BY version")
    applied = []
    for row in found:
        if not row["is_current"]:
            continue
        earlier = frozenset(other["sha256"] for other in found if other["pipeline"] == row["pipeline"] and not other["is_current"])
        spec, fault = None, ""
        try:
            spec = spec_file.parse(row["spec"], f"{row['pipeline']}.yml")
        except ValueError as e:
            fault = str(e).splitlines()[0]
        applied.append(Applied(row["pipeline"], int(row["version"]), row["sha256"], row["applied_at"], spec, fault, earlier))
    return {"applied": tuple(applied), "packaged": packaged()}


def packaged() -> dict[str, str]:
    """The hash of each pipeline file that the next `snow app run` from this clone would publish."""
    files = sorted((ROOT / "app" / "pipelines").glob("*.yml"))
    return {file.stem: hashlib.sha256(file.read_text(encoding="utf-8").encode()).hexdigest() for file in files}


def bronze_of(connection: Any, database: str, schema: str) -> dict[str, frozenset[str]]:
    database, schema = names.identifier(database), names.identifier(schema)
    found = rows(connection, f"SELECT table_name, column_name FROM {database}.INFORMATION_SCHEMA.COLUMNS WHERE table_schema = '{schema.upper()}'")
    tables: dict[str, set[str]] = {}
    for row in found:
        tables.setdefault(row["table_name"].lower(), set()).add(row["column_name"].lower())
    return {name: frozenset(columns) for name, columns in tables.items()}


def app_grants_of(connection: Any, app: str) -> dict[str, Any]:
    found = rows(connection, f"SHOW GRANTS TO APPLICATION {app}")
    return {"app_grants": frozenset((row["privilege"].upper(), row["name"].upper()) for row in found)}


def roles_of(connection: Any, app: str) -> dict[str, Any]:
    holders = {
        role: tuple(row["grantee_name"] for row in rows(connection, f"SHOW GRANTS OF APPLICATION ROLE {app}.{role}"))
        for role in ("app_admin", "app_reader")
    }
    reach = rows(connection, f"SHOW GRANTS TO APPLICATION ROLE {app}.app_reader")
    return {"role_holders": holders, "reader_grants": frozenset((row["privilege"].upper(), row["granted_on"].upper(), row["name"].upper()) for row in reach)}


def gold_of(connection: Any, app: str) -> frozenset[str]:
    found = rows(connection, f"SELECT table_name FROM {app}.INFORMATION_SCHEMA.TABLES WHERE table_schema = 'GOLD'")
    return frozenset(row["table_name"].lower() for row in found)


def task_runs_of(connection: Any, app: str) -> dict[str, Row]:
    found = rows(
        connection,
        "SELECT name, state, error_message, query_start_time, completed_time "
        f"FROM TABLE({app}.INFORMATION_SCHEMA.TASK_HISTORY(RESULT_LIMIT => 1000)) "
        "WHERE state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') ORDER BY query_start_time",
    )
    return {row["name"].upper(): row for row in found}


def pipes_of(connection: Any, schema: str) -> tuple[Row, ...]:
    found = rows(connection, f"SHOW PIPES IN SCHEMA {schema}")
    return tuple({**row, "status": json.loads(rows(connection, f"SELECT SYSTEM$PIPE_STATUS({names.text(schema + '.' + names.identifier(row['name']))}) AS said")[0]["said"])} for row in found)


def failed_files_of(connection: Any, schema: str, sources: Sequence[str]) -> tuple[Row, ...]:
    """Files of the last day that did not load, or not whole, and the tables they were for."""
    database = schema.partition(".")[0]
    return tuple(
        {**row, "source": source}
        for source in sources
        for row in rows(
            connection,
            f"SELECT file_name, status, first_error_message, first_error_line_number FROM TABLE({database}.INFORMATION_SCHEMA.COPY_HISTORY("
            f"TABLE_NAME => {names.text(schema + '.' + source)}, START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP()))) WHERE status NOT IN ('Loaded', 'Load in progress')",
        )
    )


def storage_of(connection: Any, schema: str) -> dict[str, Any]:
    stages = [row for row in rows(connection, f"SHOW STAGES IN SCHEMA {schema}") if row["name"] == "LANDING"]
    if not stages or not stages[0]["storage_integration"]:
        return {"stage_url": stages[0]["url"] if stages else ""}
    name = names.identifier(stages[0]["storage_integration"])
    there = rows(connection, f"SHOW STORAGE INTEGRATIONS LIKE '{name}'")
    said = rows(connection, f"DESC INTEGRATION {name}") if there else []
    return {"stage_url": stages[0]["url"], "integration": {"NAME": name, **{row["property"]: row["property_value"] for row in said}}}


def marks_of(connection: Any, app: str, schema: str, bronze: Mapping[str, Any]) -> tuple[Row, ...]:
    """Where loads stand, beside what the ledger and bronze hold of their sources."""
    found = rows(
        connection,
        f"WITH taken AS (SELECT pipeline, source, loaded_at FROM {app}.control.ledger UNION ALL "
        f"SELECT pipeline, source, last_loaded_at FROM {app}.control.file_ledger), "
        "newest AS (SELECT pipeline, source, MAX(loaded_at) AS newest_taken FROM taken GROUP BY pipeline, source) "
        "SELECT mark.pipeline, mark.step, mark.source, mark.lets, mark.status, mark.run_id, mark.updated_at, newest.newest_taken "
        f"FROM {app}.control.parameter_control AS mark LEFT JOIN newest ON newest.pipeline = mark.pipeline AND newest.source = mark.source",
    )
    return tuple({**row, **held_by(connection, schema, row["source"], bronze)} for row in found)


def held_by(connection: Any, schema: str, source: str | None, bronze: Mapping[str, Any]) -> Row:
    if not source or source not in bronze:
        return {"oldest_in_bronze": None, "newest_in_bronze": None}
    return rows(connection, f"SELECT MIN(_loaded_at) AS oldest_in_bronze, MAX(_loaded_at) AS newest_in_bronze FROM {schema}.{names.identifier(source)}")[0]


def log_of(connection: Any, app: str) -> dict[str, Any]:
    """Runs that began and did not end, steps whose newest outcome is a failure, steps whose rows do not add up; of 14 days."""
    log = f"{app}.control.pipeline_log"
    since = "started_at > DATEADD('day', -14, SYSDATE())"
    unfinished = rows(
        connection,
        "SELECT pipeline, run_id, MIN(started_at) AS begun_at, MAX(ended_at) AS last_at, MAX_BY(step, ended_at) AS last_step, "
        f"MAX(IFF(status = 'begun', detail:what::VARCHAR, NULL)) AS what FROM {log} WHERE {since} GROUP BY pipeline, run_id "
        "HAVING MAX(IFF(status = 'begun', started_at, NULL)) > COALESCE(MAX(IFF(status = 'ended', started_at, NULL)), '1900-01-01'::TIMESTAMP_NTZ)",
    )
    failed = rows(
        connection,
        "SELECT pipeline, step, MAX_BY(status, ended_at) AS status, MAX_BY(run_id, ended_at) AS run_id, MAX_BY(error, ended_at) AS error, MAX(ended_at) AS ended_at "
        f"FROM {log} WHERE {since} AND status IN ('succeeded', 'failed', 'nothing new') GROUP BY pipeline, step",
    )
    tries = {
        (row["run_id"], row["step"]): int(row["tries"])
        for row in rows(connection, f"SELECT run_id, step, COUNT(*) AS tries FROM {log} WHERE {since} AND status = 'failed' GROUP BY run_id, step")
    }
    unbalanced = rows(
        connection,
        f"SELECT pipeline, step, run_id, rows_read, rows_unexplained FROM {app}.control.row_accounts WHERE rows_unexplained <> 0 AND {since}",
    )
    bad = [{**row, "tries": tries.get((row["run_id"], row["step"]), 1)} for row in failed if row["status"] == "failed"]
    return {"open_runs": tuple(unfinished), "failed_steps": tuple(bad), "unbalanced": tuple(unbalanced)}


def told_of(connection: Any, app: str) -> dict[str, Any]:
    alerts = rows(
        connection,
        f"SELECT pipeline, kind, subject, severity, message, happened_at FROM {app}.control.alerts WHERE state = 'raised' AND alert_id NOT IN "
        f"(SELECT recovers FROM {app}.control.alerts WHERE recovers IS NOT NULL) ORDER BY happened_at",
    )
    late = rows(connection, f"SELECT pipeline, target, source, lets, lag_seconds, allowed_seconds FROM {app}.control.freshness WHERE is_late")
    waiting = rows(
        connection,
        f"SELECT pipeline, source, COUNT(*) AS row_count, MIN(quarantined_at) AS oldest_at FROM {app}.control.quarantine WHERE status = 'waiting' GROUP BY pipeline, source",
    )
    return {"alerts": tuple(alerts), "late": tuple(late), "waiting": tuple(waiting)}


def is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "y", "yes")
