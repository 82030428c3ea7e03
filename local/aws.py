"""The command `firn aws`: which AWS, which Snowflake, what is wanted; the work is done by `ingest/aws.py`.

Without --profile this is the local account's S3 and IAM; with it, AWS by that profile of the user's own settings.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from contextlib import AbstractContextManager
from typing import Any

from ingest import aws
from ingest.aws_state import ROLE_ARN, Finding, Plan, Route, Trust, Wanted, WiringError
from local import aws_topic
from local.place import NotRunning, Place

ROLE = "firn-landing-reader"  # as setup_sql/03_storage_integration.sql names it
INTEGRATION = "firn_landing_s3"
NAME = r"""(?:"[^"']+"|[\w$]+)"""  # no apostrophe: SHOW … LIKE takes a text, and no bound value
STAGE = re.compile(rf"@(?P<stage>{NAME}(?:\.{NAME}){{0,2}})(?P<path>/[^\s)]*)?")


def add(commands: Any) -> None:
    """The words of the command line."""
    text = "bucket, role and notifications of the landing bucket"
    one = commands.add_parser("aws", help=text, description=text + ": on the local account, or with --profile on AWS.")
    actions = one.add_subparsers(required=True, metavar="ACTION")
    aws_topic.add(actions)
    for name, what in (
        ("plan", "what is there, and what apply would change; exit code 0: nothing, 2: something, 1: refused"),
        ("apply", "make it so; doing it twice does nothing"),
        ("verify", "read everything back; exit code 0: as it should be"),
        ("destroy", "take away what firn made; a bucket with objects stays"),
    ):
        action = actions.add_parser(name, help=what, description=what)
        action.set_defaults(run=run, action=name, with_objects=False, yes=True)
        action.add_argument("--bucket", help="default: the one of the storage integration")
        action.add_argument("--region", help="default: that of the profile")
        action.add_argument("--role", help=f"ARN or name (default: the integration's, else {ROLE})")
        action.add_argument("--from-account", action="store_true", help="principal, external id and queues from DESC INTEGRATION and SHOW PIPES")
        action.add_argument("--integration", default=INTEGRATION, help="of --from-account (default: %(default)s)")
        action.add_argument("--principal", metavar="ARN", help="STORAGE_AWS_IAM_USER_ARN of DESC INTEGRATION")
        action.add_argument("--external-id", metavar="ID", help="STORAGE_AWS_EXTERNAL_ID of DESC INTEGRATION")
        action.add_argument("--route", action="append", default=[], metavar="PREFIX=QUEUE", help="a source's prefix and its pipe's notification_channel")
        action.add_argument("--kms-key", metavar="ARN", help="encrypt with this key, and let the role decrypt with it")
        action.add_argument("--prune", action="store_true", help="take away notifications and rights of prefixes that are not named")
        action.add_argument("--profile", help="AWS by this profile, instead of the local account's")
        action.add_argument("--connection", help="of --from-account: Snowflake by this connection, instead of the local account")
        if name == "destroy":
            action.add_argument("--with-objects", action="store_true", help="also delete every object of a bucket that firn made")
            action.add_argument("--yes", action="store_true", default=False, help="do it; without this it is only shown")


def run(place: Place, arguments: argparse.Namespace) -> int:
    if arguments.from_account and bool(arguments.profile) != bool(arguments.connection):
        raise NotRunning("AWS and Snowflake go together: say both --profile and --connection, or neither for the local account")
    try:
        clients, region = clients_of(place, arguments.profile, arguments.region)
        wanted = wish(place, arguments, clients, region)
        return ACTIONS[arguments.action](clients, wanted, arguments)
    except WiringError as e:
        raise NotRunning(str(e)) from e


def applied(place: Place, words: list[str]) -> Plan:
    """`firn aws apply` with these words, for the demo and the tests: the plan that was carried out instead of lines."""
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    arguments = parser.parse_args(["aws", "apply", *words])
    try:
        clients, region = clients_of(place, arguments.profile, arguments.region)
        return aws.apply(clients, wish(place, arguments, clients, region))
    except WiringError as e:
        raise NotRunning(str(e)) from e


def show(findings: list[Finding] | tuple[Finding, ...]) -> None:
    for finding in findings:
        print(finding)


def plan(clients: aws.Clients, wanted: Wanted, arguments: argparse.Namespace) -> int:
    found = aws.planned(clients, wanted)
    show(found.findings)
    if found.refusals:
        print(f"refused: {len(found.refusals)}; apply would change nothing", file=sys.stderr)
        return 1
    print(f"{len(found.changes)} to change" + (f", {len(found.waiting)} waiting" if found.waiting else "") if found.changes else "nothing to do")
    return 2 if found.changes else 0


def apply(clients: aws.Clients, wanted: Wanted, arguments: argparse.Namespace) -> int:
    done = aws.apply(clients, wanted)
    show([f for f in done.findings if f.sign != "="])
    print(f"{len(done.changes)} changed, read back and found so" if done.changes else "nothing to do")
    return 0


def verify(clients: aws.Clients, wanted: Wanted, arguments: argparse.Namespace) -> int:
    findings = aws.verify(clients, wanted)
    show(findings)
    return 0 if all(f.sign == "=" for f in findings) else 1


def destroy(clients: aws.Clients, wanted: Wanted, arguments: argparse.Namespace) -> int:
    gone = aws.destroy(clients, wanted, with_objects=arguments.with_objects, dry=not arguments.yes)
    show(gone.findings)
    if not arguments.yes and gone.changes:
        print("nothing was removed; to do it: --yes")
        return 2
    return 1 if gone.refusals else 0


ACTIONS = {"plan": plan, "apply": apply, "verify": verify, "destroy": destroy}


# --- what is wanted


def clients_of(place: Place, profile: str | None, region: str | None) -> tuple[aws.Clients, str]:
    """boto3 clients, and the region they work in."""
    if profile is None:
        from local.s3 import REGION

        return place.s3().client, region or REGION
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=profile, region_name=region)
    except BotoCoreError as e:
        raise WiringError(f"profile {profile}: {e}") from e
    if session.region_name is None:
        raise WiringError(f"profile {profile} names no region: say --region")
    return session.client, session.region_name


def wish(place: Place, arguments: argparse.Namespace, clients: aws.Clients, region: str) -> Wanted:
    """The flags, and with --from-account what the account says; a flag wins."""
    said: dict[str, str] = {}
    routes = [Route(*route.split("=", 1)) if "=" in route else refuse_route(route) for route in arguments.route]
    bucket = arguments.bucket
    if arguments.from_account:
        with opened(place, arguments.connection) as connection:
            said = integration(connection, arguments.integration)
            bucket = bucket or only_bucket(said)
            routes += pipe_routes(connection, bucket)
    if not bucket:
        raise WiringError("which bucket? Say --bucket, or --from-account when the storage integration is there")
    role = arguments.role or said.get("STORAGE_AWS_ROLE_ARN") or ROLE
    if not role.startswith("arn:"):
        role = f"arn:{'aws-cn' if region.startswith('cn-') else 'aws-us-gov' if region.startswith('us-gov-') else 'aws'}:iam::{aws.caller_account(clients)}:role/{role}"
    if not ROLE_ARN.fullmatch(role):
        raise WiringError(f"role '{role}': expected a name, or arn:aws:iam::<account>:role/<name>")
    if (expected := said.get("STORAGE_AWS_ROLE_ARN")) and role != expected:
        raise WiringError(f"the integration takes the role {expected}, not {role}. Leave out --role, or ALTER STORAGE INTEGRATION … SET STORAGE_AWS_ROLE_ARN")
    principal, external_id = arguments.principal or said.get("STORAGE_AWS_IAM_USER_ARN"), arguments.external_id or said.get("STORAGE_AWS_EXTERNAL_ID")
    if bool(principal) != bool(external_id):
        raise WiringError("--principal and --external-id go together: the role trusts Snowflake's user for one integration only")
    return Wanted(
        bucket=bucket,
        role_arn=role,
        region=region,
        routes=tuple(sorted(set(routes))),
        trust=Trust(principal, external_id) if principal and external_id else None,
        kms_key=arguments.kms_key,
        prune=arguments.prune,
    )


def refuse_route(route: str) -> Route:
    raise WiringError(f"--route {route}: expected PREFIX=QUEUE, like crm/customers/=arn:aws:sqs:us-east-1:…")


# --- what the account says


def opened(place: Place, connection: str | None) -> AbstractContextManager[Any]:
    if connection is None:
        return place.connect()
    import snowflake.connector

    return snowflake.connector.connect(connection_name=connection)


def rows(connection: Any, sql: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        names = [c.name.lower() for c in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def integration(connection: Any, name: str) -> dict[str, str]:
    """DESC INTEGRATION by property; empty when it is not there yet."""
    if not re.fullmatch(NAME, name):
        raise WiringError(f"integration '{name}': not a name")
    if not rows(connection, f"SHOW STORAGE INTEGRATIONS LIKE '{name.strip(chr(34))}'"):
        return {}
    return {row["property"]: row["property_value"] for row in rows(connection, f"DESC INTEGRATION {name}")}


def only_bucket(said: dict[str, str]) -> str | None:
    """The bucket of the integration's allowed locations, if it is one.

    >>> only_bucket({"STORAGE_ALLOWED_LOCATIONS": "s3://landing/crm/,s3://landing/erp/"})
    'landing'
    """
    buckets = set(re.findall(r"s3[\w]*://([^/,]+)", said.get("STORAGE_ALLOWED_LOCATIONS", "")))
    return buckets.pop() if len(buckets) == 1 else None


def pipe_routes(connection: Any, bucket: str | None) -> list[Route]:
    """Prefix and queue of every pipe that reads this bucket and is told by events."""
    found = []
    for pipe in rows(connection, "SHOW PIPES IN ACCOUNT"):
        if not pipe["notification_channel"]:
            continue
        stage = STAGE.search(pipe["definition"])
        if stage is None:
            continue
        name = stage["stage"]
        home = [pipe["database_name"], pipe["schema_name"]]
        full = ".".join([*home[: 2 - name.count(".")], name])
        url = stage_url(connection, full)
        if url.removeprefix("s3://").partition("/")[0] == bucket:
            found.append(Route(below(url, stage["path"] or ""), pipe["notification_channel"]))
    return found


def below(url: str, path: str) -> str:
    """The prefix of a path in a stage; a last slash is neither added nor taken away, because it says which files are meant.

    >>> below("s3://landing/", "/crm/customers/"), below("s3://landing/crm", "/customers"), below("s3://landing/crm/", "")
    ('crm/customers/', 'crm/customers', 'crm/')
    """
    start = url.removeprefix("s3://").partition("/")[2]
    return f"{start.rstrip('/')}/{path.lstrip('/')}".lstrip("/") if path.strip("/") else start


def stage_url(connection: Any, stage: str) -> str:
    """Where an external stage lies; '' for an internal one."""
    urls = [row["property_value"] for row in rows(connection, f"DESC STAGE {stage}") if row["property"] == "URL"]
    try:
        return json.loads(urls[0])[0]  # ["s3://landing/"]
    except (IndexError, ValueError):
        return urls[0] if urls else ""
