"""What a stage leans on: storage integrations (who may read which bucket) and file formats (how a file is written).

docs.snowflake.com/en/sql-reference/sql/create-storage-integration, …/create-file-format. The identity that DESC INTEGRATION shows
is made up and stays the same until the integration is created anew, as on Snowflake, where CREATE OR REPLACE breaks the role's trust.
Differs: the role is not assumed, so a wrong trust policy goes unnoticed; allowed and blocked locations are enforced.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from local import files
from local.answer import Answer, status, table
from local.errors import exists, missing, refused, syntax
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

IAM_USER_ARN = "arn:aws:iam::123456789012:user/snowflake-local"
INTEGRATION_OPTIONS = {
    "TYPE", "STORAGE_PROVIDER", "ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_AWS_EXTERNAL_ID", "STORAGE_AWS_OBJECT_ACL",
    "STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS", "COMMENT",
}  # fmt: skip


# --- SHOW


def like(pattern: str | None, name: str) -> bool:
    """SHOW … LIKE, which is not case-sensitive.

    >>> like("cust%", "CUSTOMERS"), like("c_t", "CUSTOMERS"), like(None, "ANY")
    (True, False, True)
    """
    if pattern is None:
        return True
    parts = re.split(r"(\\.|%|_)", pattern)
    text = "".join({"%": ".*", "_": "."}.get(p) or re.escape(p.removeprefix("\\")) for p in parts if p)
    return re.fullmatch(text, name, re.IGNORECASE | re.DOTALL) is not None


def shown(account: Account, session: Session, reader: Reader, kind: str) -> Iterator[tuple[dt.datetime, Thing]]:
    """What SHOW … [LIKE '…'] [IN {ACCOUNT | DATABASE x | SCHEMA x | x}] lists, with the time of its creation.

    Without IN: the session's schema, else its database, else the account.
    """
    pattern = reader.string() if reader.words("LIKE") else None
    where: dict[str, str] = {}
    if reader.words("IN"):
        if reader.words("DATABASE"):
            where["database"] = reader.name()[0] if not reader.done else session.database or ""
        elif not reader.words("ACCOUNT"):
            reader.words("SCHEMA")
            where["database"], where["schema"] = session.resolve((*reader.name(), "-"))[:2]
    elif session.database:
        where = {"database": session.database, **({"schema": session.schema} if session.schema else {})}
    if not reader.done:
        raise syntax(f"syntax error at '{reader.peek()}': expected LIKE '…' or IN …")
    for thing in account.catalog.find(kind, **where):
        if like(pattern, thing.name) and account.duck.has_schema(thing.database, thing.schema):
            yield created(thing), thing


def check_schema(account: Account, database: str, schema: str) -> None:
    if not account.duck.has_schema(database, schema):
        raise missing("Schema", f"{database}.{schema}")


def created(thing: Thing) -> dt.datetime:
    if not thing.created_at:
        return dt.datetime.now(dt.UTC)
    return dt.datetime.fromisoformat(thing.created_at.replace("Z", "+00:00"))


# --- storage integrations


def create_integration(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.expect("STORAGE", "INTEGRATION")
    lenient = reader.words("IF", "NOT", "EXISTS")
    (name,) = reader.name()
    options = reader.options()
    before = account.catalog.get("integration", name)
    if before and not replace:
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(name)
    check_integration_options(options)
    for required in ("TYPE", "STORAGE_PROVIDER", "ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"):
        if required not in options:
            raise syntax(f"Missing option(s): [{required}]")
    if before:
        account.catalog.drop("integration", name)
    external_id = options.pop("STORAGE_AWS_EXTERNAL_ID", None) or f"FIRN_LOCAL_SFCRole=1_{uuid.uuid4().hex}="
    account.catalog.put("integration", name, options=options, external_id=external_id)
    return status(f"Integration {name} successfully created.")


def check_integration_options(options: dict[str, Any]) -> None:
    if unknown := set(options) - INTEGRATION_OPTIONS:
        raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'STORAGE INTEGRATION'")
    if str(options.get("TYPE", "EXTERNAL_STAGE")).upper() != "EXTERNAL_STAGE" or str(options.get("STORAGE_PROVIDER", "S3")).upper() != "S3":
        raise refused("The local account has storage integrations with TYPE = EXTERNAL_STAGE and STORAGE_PROVIDER = 'S3' only.")
    arn = options.get("STORAGE_AWS_ROLE_ARN")
    if arn is not None and not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", arn):
        raise syntax(f"invalid value '{arn}' for property 'STORAGE_AWS_ROLE_ARN': expected arn:aws:iam::<account>:role/<name>")
    for key in ("STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS"):
        for url in options.get(key, []):
            if not (url.startswith("s3://") or url == "*"):
                raise syntax(f"invalid location '{url}' in {key}: expected s3://bucket/path/")


def is_allowed(integration: Thing, url: str) -> bool:
    options = integration["options"]
    covers = lambda place: place == "*" or (url.rstrip("/") + "/").startswith(place.rstrip("/") + "/")  # noqa: E731
    return (
        options["ENABLED"] is True
        and any(covers(place) for place in options["STORAGE_ALLOWED_LOCATIONS"])
        and not any(covers(place) for place in options.get("STORAGE_BLOCKED_LOCATIONS", []))
    )


def integration_named(account: Account, name: str) -> Thing:
    integration = account.catalog.get("integration", name)
    if integration is None:
        raise missing("Integration", name)
    return integration


def alter_integration(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER")
    reader.words("STORAGE")
    reader.expect("INTEGRATION")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    if lenient and account.catalog.get("integration", name) is None:
        return status("Statement executed successfully.")
    integration = integration_named(account, name)
    reader.expect("SET")
    options = reader.options()
    check_integration_options(options)
    account.catalog.change(integration, options={**integration["options"], **options})
    return status("Statement executed successfully.")


def describe_integration(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.words("STORAGE")
    reader.expect("INTEGRATION")
    (name,) = reader.name()
    if account.catalog.get("integration", name) is None and account.catalog.get("notification integration", name):
        from local.notifications import described

        return described(account, name)
    integration = integration_named(account, name)
    options = integration["options"]
    rows = [
        ("ENABLED", "Boolean", str(options["ENABLED"]).lower(), "false"),
        ("STORAGE_PROVIDER", "String", "S3", ""),
        ("STORAGE_ALLOWED_LOCATIONS", "List", ",".join(options["STORAGE_ALLOWED_LOCATIONS"]), "[]"),
        ("STORAGE_BLOCKED_LOCATIONS", "List", ",".join(options.get("STORAGE_BLOCKED_LOCATIONS", [])), "[]"),
        ("STORAGE_AWS_IAM_USER_ARN", "String", IAM_USER_ARN, ""),
        ("STORAGE_AWS_ROLE_ARN", "String", options["STORAGE_AWS_ROLE_ARN"], ""),
        ("STORAGE_AWS_EXTERNAL_ID", "String", integration["external_id"], ""),
        ("COMMENT", "String", options.get("COMMENT", ""), ""),
    ]
    return table("property property_type property_value property_default", rows)


def show_integrations(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.words("STORAGE")
    reader.expect("INTEGRATIONS")
    pattern = reader.string() if reader.words("LIKE") else None
    rows = [
        (i.name, "EXTERNAL_STAGE", "STORAGE", str(i["options"]["ENABLED"]).lower(), i["options"].get("COMMENT"), created(i))
        for i in account.catalog.find("integration")
        if like(pattern, i.name)
    ]
    return table("name type category enabled comment created_on:timestamp_ltz", rows)


def drop_integration(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP")
    reader.words("STORAGE")
    reader.expect("INTEGRATION")
    lenient = reader.words("IF", "EXISTS")
    (name,) = reader.name()
    if not account.catalog.drop("integration", name) and not lenient:
        raise missing("Integration", name)
    return status(f"{name} successfully dropped.")


# --- file formats


def file_format_of(account: Account, session: Session, said: Any) -> dict[str, Any]:
    """The options of FILE_FORMAT = (…): those of the named format, overridden by the ones said beside it; checked."""
    if not isinstance(said, dict):  # FILE_FORMAT = 'db.schema.name' or FILE_FORMAT = name, as older statements write it
        said = {"FORMAT_NAME": said}
    said = dict(said)
    if "FORMAT_NAME" in said:
        database, schema, name = session.resolve(Reader(str(said.pop("FORMAT_NAME"))).name())
        named = account.catalog.get("file_format", name, database=database, schema=schema)
        if named is None:
            raise missing("File format", f"{database}.{schema}.{name}")
        said = {**named["options"], **said}
    files.check_options(said)
    return said


def create_file_format(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    while reader.peek() in ("TEMPORARY", "TEMP", "VOLATILE"):
        reader.token()
    reader.expect("FILE", "FORMAT")
    lenient = reader.words("IF", "NOT", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    check_schema(account, database, schema)
    options = reader.options()
    comment = options.pop("COMMENT", "")
    files.check_options(options)
    if account.catalog.get("file_format", name, database=database, schema=schema) and not replace:
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(f"{database}.{schema}.{name}")
    account.catalog.put("file_format", name, database=database, schema=schema, options=options, comment=comment)
    return status(f"File format {name} successfully created.")


def options_text(options: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Property, type, value and default, as DESC FILE FORMAT and DESC STAGE show them."""
    kind = str(options.get("TYPE", "CSV")).upper()
    rows = [("TYPE", "String", kind, "CSV")]
    for key, default in files.defaults(kind).items():
        value = options.get(key, default)
        name = "Boolean" if isinstance(default, bool) else "Integer" if isinstance(default, int) else "List" if isinstance(default, list) else "String"
        rows.append((key, name, plain(value), plain(default)))
    return rows


def plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(str(v) for v in value) + "]"
    return str(value)


def describe_file_format(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("FILE", "FORMAT")
    database, schema, name = session.resolve(reader.name())
    found = account.catalog.get("file_format", name, database=database, schema=schema)
    if found is None:
        raise missing("File format", f"{database}.{schema}.{name}")
    return table("property property_type property_value property_default", list(options_text(found["options"])))


def show_file_formats(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("FILE", "FORMATS")
    rows = [
        (at, f.name, f.database, f.schema, f["options"].get("TYPE", "CSV"), "ACCOUNTADMIN", f["comment"], json.dumps(f["options"]), "ROLE")
        for at, f in shown(account, session, reader, "file_format")
    ]
    return table("created_on:timestamp_ltz name database_name schema_name type owner comment format_options owner_role_type", rows)


def drop_file_format(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "FILE", "FORMAT")
    lenient = reader.words("IF", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    if not account.catalog.drop("file_format", name, database=database, schema=schema) and not lenient:
        raise missing("File format", f"{database}.{schema}.{name}")
    return status(f"{name} successfully dropped.")


STATEMENTS = {
    ("CREATE", "STORAGE", "INTEGRATION"): create_integration,
    ("ALTER", "STORAGE", "INTEGRATION"): alter_integration,
    ("ALTER", "INTEGRATION"): alter_integration,
    ("DESCRIBE", "STORAGE", "INTEGRATION"): describe_integration,
    ("DESCRIBE", "INTEGRATION"): describe_integration,
    ("SHOW", "STORAGE", "INTEGRATIONS"): show_integrations,
    ("SHOW", "INTEGRATIONS"): show_integrations,
    ("DROP", "STORAGE", "INTEGRATION"): drop_integration,
    ("DROP", "INTEGRATION"): drop_integration,
    ("CREATE", "FILE", "FORMAT"): create_file_format,
    ("DESCRIBE", "FILE", "FORMAT"): describe_file_format,
    ("SHOW", "FILE", "FORMATS"): show_file_formats,
    ("DROP", "FILE", "FORMAT"): drop_file_format,
}
