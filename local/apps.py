"""Applications: install, upgrade, drop, with the rules of the setup script.

docs.snowflake.com/en/developer-guide/native-apps/creating-setup-script, …/sql-reference/sql/create-application, alter-application.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from snowflake.connector.errors import Error, ProgrammingError
from snowflake.connector.util_text import split_statements

from local import setup_rules, stages
from local.answer import Answer, status, table
from local.catalog import Thing
from local.dialect_names import quoted
from local.errors import exists, missing, refused
from local.packages import drop_database, liked, raise_
from local.reader import Reader
from local.version_files import file_in

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

log = logging.getLogger("firn.apps")


# --- applications

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")

def create_application(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE", "APPLICATION")
    (name,) = reader.name()
    if account.catalog.get("application", name):
        raise exists(name)
    reader.expect("FROM", "APPLICATION", "PACKAGE")
    (package,) = reader.name()
    if account.catalog.get("application package", package) is None:
        raise missing("Application package", package)
    if not reader.words("USING"):
        raise refused("CREATE APPLICATION: the local account installs from a stage (USING '@…'), not from a version")
    stage = reader.stage_path()
    said = reader.options()
    account.answer(session, f"CREATE DATABASE {quoted(name)}")
    app = account.catalog.put("application", name, package=package, stage=stage, version=0, comment=str(said.get("COMMENT", "")), owner=session.role)
    try:
        install(account, session, app, stage, upgrade=False)
    except Exception as e:
        remove_application(account, name)
        raise setup_failure(e) from None
    return status(f"Application '{name}' created successfully.")


def alter_application(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "APPLICATION")
    (name,) = reader.name()
    app = account.catalog.get("application", name) or raise_(missing("Application", name))
    if reader.words("SET"):
        said = reader.options()
        if said.get("DEBUG_MODE") and manifest_of(version_folder(account, app)).get("manifest_version") == 2:
            raise ProgrammingError(msg="Debug mode cannot be changed for an application with manifest version 2.", errno=93362, sqlstate="22023")
        account.catalog.change(app, **{key.lower(): value for key, value in said.items()})
        return status("Statement executed successfully.")
    reader.expect("UPGRADE")
    stage = reader.stage_path() if reader.words("USING") else app["stage"]
    kept = {kind: list(account.catalog.find(kind, database=name)) for kind in VERSIONED_KINDS}
    try:
        install(account, session, app, stage, upgrade=True)
    except Exception as e:
        for kind, things in kept.items():
            for thing in account.catalog.find(kind, database=name):
                account.catalog.drop(kind, thing.name, database=name, schema=thing.schema)
            for thing in things:
                account.catalog.put(kind, thing.name, database=name, schema=thing.schema, **thing.properties)
        account.catalog.change(app, version=app["version"], stage=app["stage"])
        raise setup_failure(e) from None
    return status(f"Application '{name}' upgraded successfully.")


VERSIONED_KINDS = ("procedure", "function", "streamlit")


def install(account: Account, session: Session, app: Thing, stage: str, *, upgrade: bool) -> None:
    """Copy the stage as a version, check the manifest, run the setup script with the application's rights."""
    number = app["version"] + 1
    folder = account.folder / "applications" / app.name / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stage_folder_of(account, session, stage), folder)
    manifest = checked_manifest(folder)
    if upgrade:
        for schema in account.catalog.find("versioned schema", database=app.name):
            account.catalog.drop_all(database=app.name, schema=schema.name, kinds=VERSIONED_KINDS)
    level = str((manifest.get("configuration") or {}).get("log_level") or "OFF").upper()
    account.catalog.change(app, version=number, stage=stage, privileges=privilege_names(manifest), log_level=level)
    own = account.session(app.name, None, role=app.name, app=app.name, setup=True)
    try:
        run_file(account, own, manifest["artifacts"]["setup_script"])
    finally:
        account.forget(own)


def run_file(account: Account, session: Session, path: str) -> None:
    """Run a file of the version that is being installed, statement by statement."""
    assert session.app is not None
    folder = version_folder(account, account.catalog.get("application", session.app))
    file = file_in(folder, path)
    if file is None:
        raise refused(f"Cannot find file '{path}' on the application's stage.")
    with file.open() as text:
        for sql, is_command in split_statements(text, remove_comments=True):
            if is_command or not sql.strip(" ;\n"):
                continue
            try:
                setup_rules.check(account, session, sql)
                account.answer(session, sql)
            except Error as e:
                if "in file " in str(e.msg):
                    raise
                raise ProgrammingError(msg=f"{e.msg} (in file {path}: {' '.join(sql.split())[:120]})", errno=e.errno, sqlstate=e.sqlstate) from None


def setup_failure(error: Exception) -> Exception:
    from local.account import as_snowflake_error

    said = as_snowflake_error(error)
    return ProgrammingError(msg=f"The setup script failed.\n{said.msg}", errno=93301, sqlstate="22023")


def show_applications(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "APPLICATIONS")
    rows = [
        (a.created_at, a.name, "N", "N", "APPLICATION PACKAGE", a["package"], a["owner"], a["comment"], "UNVERSIONED", a["version"], "UPGRADE_STATE_COMPLETE")
        for a in liked(account, reader, "application")
    ]
    return table("created_on name is_default is_current source_type source owner comment version patch:fixed upgrade_state", rows)


def describe_application(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect(reader.peek(), "APPLICATION")
    (name,) = reader.name()
    app = account.catalog.get("application", name) or raise_(missing("Application", name))
    rows = [
        ("name", name), ("source_type", "APPLICATION PACKAGE"), ("source", app["package"]), ("version", "UNVERSIONED"), ("patch", str(app["version"])),
        ("source_organization", ""), ("comment", app["comment"]), ("owner", app["owner"]), ("share_events_with_provider", "false"), ("authorize_telemetry_event_sharing", "false"),
    ]  # fmt: skip
    return table("property value", rows)


def drop_application(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "APPLICATION")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    if account.catalog.get("application", name) is None:
        if lenient:
            return status("Drop statement executed successfully.")
        raise missing("Application", name)
    remove_application(account, name)
    return status(f"{name} successfully dropped.")


def remove_application(account: Account, name: str) -> None:
    from local.tasks import suspend_all

    suspend_all(account, name)
    drop_database(account, name)
    account.catalog.drop_all(database=name)
    for grant in list(account.catalog.find("grant")):
        if (grant["to_kind"], grant["to"]) == ("APPLICATION", name) or (grant["to_kind"] == "APPLICATION ROLE" and grant["to"].startswith(f"{name}.")):
            account.catalog.drop("grant", grant.name)
    account.catalog.drop("application", name)
    shutil.rmtree(account.folder / "applications" / name, ignore_errors=True)


def drop_plain_database(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "DATABASE")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    for kind in ("application", "application package"):
        if account.catalog.get(kind, name):
            raise refused(f"{name} is an {kind}: DROP {kind.upper()} {name}")
    if not account.duck.has_database(name):
        if lenient:
            return status("Drop statement executed successfully.")
        raise missing("Database", name)
    drop_database(account, name)
    return status(f"{name} successfully dropped.")


def drop_schema(account: Account, session: Session, reader: Reader) -> Answer:
    session.connection.cursor().execute(reader.sql)
    reader.expect("DROP", "SCHEMA")
    reader.words("IF", "EXISTS")
    database, schema = session.resolve_schema(reader.name())
    stages.forget(account, database, schema)
    account.catalog.drop_all(database=database, schema=schema)
    return status(f"{schema} successfully dropped.")


def show_nothing(columns: str) -> Any:
    return lambda account, session, reader: table(columns, [])


# --- versioned schemas


def create_versioned_schema(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE", "OR", "ALTER", "VERSIONED", "SCHEMA")
    database, name = session.resolve_schema(reader.name())
    if not session.app:
        raise refused("Versioned schemas exist in applications only.")
    session.connection.cursor().execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database)}.{quoted(name)}")
    account.catalog.put("versioned schema", name, database=database)
    return status(f"Schema {name} successfully created.")


def create_schema(account: Account, session: Session, reader: Reader) -> Answer:
    """In an application: as written, without making it the current schema, which a setup script does not have."""
    sql = reader.sql
    cursor = session.connection.cursor()
    if not session.app:
        cursor.execute(sql)
        return status("Schema successfully created.")
    reader.expect("CREATE")
    reader.words("OR", "REPLACE")
    reader.expect("SCHEMA")
    reader.words("IF", "NOT", "EXISTS")
    database, name = session.resolve_schema(reader.name())
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database)}.{quoted(name)}")
    return status(f"Schema {name} successfully created.")


# --- small


def stage_folder_of(account: Account, session: Session, path: str) -> Path:
    name, _, below = path.strip("'").lstrip("@").partition("/")
    folder = stages.stage_folder(account, *session.resolve(Reader(name).name())) / below
    if not folder.is_dir():
        raise missing("Stage", path)
    return folder


def version_folder(account: Account, app: Thing | None) -> Path:
    assert app is not None
    return account.folder / "applications" / app.name / str(app["version"])


def manifest_of(folder: Path) -> dict[str, Any]:
    file = folder / "manifest.yml"
    if not file.is_file():
        raise refused("The manifest file 'manifest.yml' was not found at the root of the stage.")
    try:
        manifest = yaml.safe_load(file.read_text())
    except yaml.YAMLError as e:
        raise refused(f"manifest.yml is not valid YAML: {e}") from None
    return manifest if isinstance(manifest, dict) else {}


def checked_manifest(folder: Path) -> dict[str, Any]:
    manifest = manifest_of(folder)
    if manifest.get("manifest_version") not in (1, 2):
        raise refused("manifest.yml: manifest_version must be 1 or 2")
    level = (manifest.get("configuration") or {}).get("log_level")
    if level is not None and str(level).upper() not in LOG_LEVELS:
        raise refused(f"manifest.yml: configuration.log_level is '{level}', expected one of {', '.join(LOG_LEVELS)}")
    script = (manifest.get("artifacts") or {}).get("setup_script")
    if not script:
        raise refused("manifest.yml: artifacts.setup_script is missing")
    if file_in(folder, str(script)) is None:
        raise refused(f"manifest.yml: the setup script '{script}' is not on the stage")
    return manifest


def show_privileges(account: Account, session: Session, reader: Reader) -> Answer:
    """What the manifest of an application asks for; with manifest_version 2 it is granted at install.

    https://docs.snowflake.com/en/sql-reference/sql/show-privileges
    """
    reader.expect("SHOW", "PRIVILEGES", "IN", "APPLICATION")
    (name,) = reader.name()
    app = account.catalog.get("application", name) or raise_(missing("Application", name))
    asked = manifest_of(version_folder(account, app)).get("privileges") or []
    said = {str(key).upper(): (value or {}).get("description", "") for entry in asked if isinstance(entry, dict) for key, value in entry.items()}
    rows = [(privilege, said.get(privilege, ""), privilege in app["privileges"], True) for privilege in said]
    return table("privilege description is_granted:boolean is_grantable:boolean", rows)


def privilege_names(manifest: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for entry in manifest.get("privileges") or []:
        names += [str(key).upper() for key in entry] if isinstance(entry, dict) else [str(entry).upper()]
    return names


def validate_setup(account: Account, session: Session, stage: str) -> str:
    """SYSTEM$VALIDATE_NATIVE_APP_SETUP: manifest and setup script read, nothing run."""
    try:
        folder = stage_folder_of(account, session, stage)
        manifest = checked_manifest(folder)
        setup_rules.check_files(folder, manifest["artifacts"]["setup_script"])
    except Error as e:
        return json.dumps({"status": "FAIL", "errors": [{"message": e.msg, "cause": "", "errorCode": f"{e.errno:06d}", "fileName": "", "line": 0, "column": 0}], "warnings": []})
    return json.dumps({"status": "SUCCESS", "errors": [], "warnings": []})


def objects_owned(account: Account, session: Session, reader: Reader) -> Answer:
    """Applications here own nothing outside their database (no privilege to create any is ever granted)."""
    return table("name type", [])


STATEMENTS = {
    ("SHOW", "OBJECTS", "OWNED"): objects_owned,
    ("CREATE", "APPLICATION"): create_application,
    ("ALTER", "APPLICATION"): alter_application,
    ("SHOW", "APPLICATIONS"): show_applications,
    ("DESCRIBE", "APPLICATION"): describe_application,
    ("DROP", "APPLICATION"): drop_application,
    ("SHOW", "PRIVILEGES"): show_privileges,
    ("SHOW", "TELEMETRY"): show_nothing("name sharing status"),
    ("SHOW", "VERSIONS"): show_nothing("version patch:fixed label comment"),
    ("SHOW", "RELEASE"): show_nothing("name"),
    ("CREATE", "VERSIONED", "SCHEMA"): create_versioned_schema,
    ("CREATE", "SCHEMA"): create_schema,
    ("DROP", "DATABASE"): drop_plain_database,
    ("DROP", "SCHEMA"): drop_schema,
}


FUNCTIONS = {"SYSTEM$VALIDATE_NATIVE_APP_SETUP": validate_setup}
