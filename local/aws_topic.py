"""The command `firn aws topic`: the SNS topic for alerts and the role that publishes to it; the work is done by `ingest/aws_topic.py`."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from ingest import aws, aws_topic
from ingest.aws_state import Trust, WiringError
from ingest.aws_topic import WantedTopic
from local.place import NotRunning, Place

TOPIC, ROLE, INTEGRATION = "firn-alerts", "firn-alerts-publisher", "firn_topic"  # as setup_sql/12_topic.sql names them


def add(actions: Any) -> None:
    """The words of the command line, below `firn aws`."""
    text = "topic and role for alerts by SNS: plan, apply, verify, destroy"
    one = actions.add_parser("topic", help=text, description=text + "; on the local account, or with --profile on AWS.")
    one.set_defaults(run=run)
    one.add_argument("action", choices=("plan", "apply", "verify", "destroy"))
    one.add_argument("--name", help=f"of the topic (default: the integration's, else {TOPIC})")
    one.add_argument("--role", help=f"ARN or name (default: the integration's, else {ROLE})")
    one.add_argument("--region", help="default: that of the profile")
    one.add_argument("--from-account", action="store_true", help="topic, role, principal and external id from DESC INTEGRATION")
    one.add_argument("--integration", default=INTEGRATION, help="of --from-account (default: %(default)s)")
    one.add_argument("--principal", metavar="ARN", help="SF_AWS_IAM_USER_ARN of DESC INTEGRATION")
    one.add_argument("--external-id", metavar="ID", help="SF_AWS_EXTERNAL_ID of DESC INTEGRATION")
    one.add_argument("--profile", help="AWS by this profile, instead of the local account's")
    one.add_argument("--connection", help="of --from-account: Snowflake by this connection, instead of the local account")
    one.add_argument("--yes", action="store_true", help="of destroy: do it; without this it is only shown")


def run(place: Place, arguments: argparse.Namespace) -> int:
    from local.aws import clients_of

    if arguments.from_account and bool(arguments.profile) != bool(arguments.connection):
        raise NotRunning("AWS and Snowflake go together: say both --profile and --connection, or neither for the local account")
    try:
        clients, region = clients_of(place, arguments.profile, arguments.region)
        return ACTIONS[arguments.action](clients, wish(place, arguments, clients, region), arguments)
    except WiringError as e:
        raise NotRunning(str(e)) from e


def plan(clients: aws.Clients, wanted: WantedTopic, arguments: argparse.Namespace) -> int:
    from local.aws import show

    found = aws_topic.planned(clients, wanted)
    show(found.findings)
    if found.refusals:
        print(f"refused: {len(found.refusals)}; apply would change nothing", file=sys.stderr)
        return 1
    return 2 if found.changes else 0


def apply(clients: aws.Clients, wanted: WantedTopic, arguments: argparse.Namespace) -> int:
    from local.aws import show

    done = aws_topic.apply(clients, wanted)
    show([finding for finding in done.findings if finding.sign != "="])
    print(f"{len(done.changes)} changed, read back and found so" if done.changes else "nothing to do")
    print(f"topic {wanted.topic_arn}   role {wanted.role_arn}")
    return 0


def verify(clients: aws.Clients, wanted: WantedTopic, arguments: argparse.Namespace) -> int:
    from local.aws import show

    findings = aws_topic.verify(clients, wanted)
    show(findings)
    return 0 if all(finding.sign == "=" for finding in findings) else 1


def destroy(clients: aws.Clients, wanted: WantedTopic, arguments: argparse.Namespace) -> int:
    from local.aws import show

    gone = aws_topic.destroy(clients, wanted, dry=not arguments.yes)
    show(gone.findings)
    if not arguments.yes and gone.changes:
        print("nothing was removed; to do it: --yes")
        return 2
    return 1 if gone.refusals else 0


ACTIONS = {"plan": plan, "apply": apply, "verify": verify, "destroy": destroy}


def wish(place: Place, arguments: argparse.Namespace, clients: aws.Clients, region: str) -> WantedTopic:
    """The flags, and with --from-account what the integration says; a flag that says otherwise than the integration is refused."""
    said = properties(place, arguments) if arguments.from_account else {}
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    mine = aws.caller_account(clients)
    named = arguments.name and f"arn:{partition}:sns:{region}:{mine}:{arguments.name}"
    topic = named or said.get("AWS_SNS_TOPIC_ARN") or f"arn:{partition}:sns:{region}:{mine}:{TOPIC}"
    role = arguments.role or said.get("AWS_SNS_ROLE_ARN") or ROLE
    role = role if role.startswith("arn:") else f"arn:{partition}:iam::{mine}:role/{role}"
    for key, value in (("AWS_SNS_TOPIC_ARN", topic), ("AWS_SNS_ROLE_ARN", role)):
        if said.get(key, value) != value:
            raise WiringError(f"the integration has {said[key]}, not {value}. Leave the flag out, or make the integration anew")
    principal, external_id = arguments.principal or said.get("SF_AWS_IAM_USER_ARN"), arguments.external_id or said.get("SF_AWS_EXTERNAL_ID")
    if bool(principal) != bool(external_id):
        raise WiringError("--principal and --external-id go together: the role trusts Snowflake's user for one integration only")
    return WantedTopic(topic, role, Trust(principal, external_id) if principal and external_id else None)


def properties(place: Place, arguments: argparse.Namespace) -> dict[str, str]:
    """DESC INTEGRATION by property; empty when it is not there yet."""
    from local.aws import NAME, opened, rows

    if not re.fullmatch(NAME, arguments.integration):
        raise WiringError(f"integration '{arguments.integration}': not a name")
    with opened(place, arguments.connection) as connection:
        if not rows(connection, f"SHOW NOTIFICATION INTEGRATIONS LIKE '{arguments.integration.strip(chr(34))}'"):
            return {}
        return {row["property"]: row["property_value"] for row in rows(connection, f"DESC INTEGRATION {arguments.integration}")}
