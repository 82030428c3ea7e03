"""`firn aws plan|apply|verify|destroy`: read what AWS has, let the pure plan say what is missing, send that, read again.

Clients are given: `clients("s3")` is a boto3 client. They decide whether this is AWS or the local account.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ingest import aws_policies as policies
from ingest.aws_plan import plan, removals
from ingest.aws_state import READ_POLICY, Call, Finding, Found, FoundBucket, FoundRole, Plan, Wanted, WiringError, faults

Clients = Callable[[str], Any]

SETTLE_SECONDS = 20  # IAM and S3 answer with the state before for a moment after a change
ABSENT = {
    "404", "NoSuchBucket", "NoSuchTagSet", "NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError",
    "OwnershipControlsNotFoundError", "NoSuchBucketPolicy", "NoSuchEntity",
}  # fmt: skip


def planned(clients: Clients, wanted: Wanted) -> Plan:
    """What `apply` would do; changes nothing."""
    if wrong := faults(wanted):
        return Plan(tuple(Finding("!", text) for text in wrong))
    return plan(wanted, read(clients, wanted))


def apply(clients: Clients, wanted: Wanted) -> Plan:
    """Bring AWS to what is wanted and give the plan that was carried out; nothing is done if any part of it is refused.

    Killed in between, or failed at one call, it goes on from there when applied again.
    """
    todo = planned(clients, wanted)
    if todo.refusals:
        raise WiringError("nothing was changed:\n" + "\n".join(f"  ! {text}" for text in todo.refusals))
    carry_out(clients, todo.calls)
    left = settled(lambda: planned(clients, wanted)) if todo.calls else todo
    if left.changes or left.refusals:
        raise WiringError("AWS took every request and does not show it:\n" + "\n".join(f"  {f}" for f in left.findings if f.sign != "="))
    return todo


def settled(look: Callable[[], Plan]) -> Plan:
    end = time.monotonic() + SETTLE_SECONDS
    while (left := look()).changes and time.monotonic() < end:
        time.sleep(1)
    return left


def verify(clients: Clients, wanted: Wanted) -> list[Finding]:
    """Everything read back: the plan's findings, and whether any policy allows more than the wiring needs."""
    findings = list(planned(clients, wanted).findings)
    if any(f.sign == "!" for f in findings):
        return findings
    found = read(clients, wanted)
    excess = policies.excess_of_bucket(found.bucket.policy) if found.bucket else []
    if found.role and wanted.trust:
        read_policy = found.role.policies.get(READ_POLICY, {})
        excess += policies.excess_of_trust(found.role.trust, wanted.trust.principal, wanted.trust.external_id)
        excess += policies.excess_of_read(read_policy, wanted.bucket, wanted.prefixes, partition=wanted.partition, kms_key=wanted.kms_key)
    said = [Finding("!", f"too much is allowed: {text}") for text in excess]
    return [*findings, *(said or [Finding("=", "no policy allows more than the wiring needs")])]


def destroy(clients: Clients, wanted: Wanted, *, with_objects: bool = False, dry: bool = False) -> Plan:
    """Take away what firn made. Data stays: a bucket with objects is removed only when told."""
    todo = removals(wanted, read(clients, wanted), with_objects=with_objects)
    if dry:
        return todo
    if todo.refusals:
        raise WiringError("nothing was removed:\n" + "\n".join(f"  ! {text}" for text in todo.refusals))
    carry_out(clients, todo.calls)
    return todo


def caller_account(clients: Clients) -> str:
    """The AWS account that these credentials belong to."""
    return asked(clients, Call("sts", "get_caller_identity", {}))["Account"]


# --- sending


def carry_out(clients: Clients, calls: tuple[Call, ...]) -> None:
    for done, call in enumerate(calls):
        try:
            if call.name == "empty_bucket":
                empty(clients("s3"), **call.arguments)
            else:
                asked(clients, call)
        except WiringError as e:
            raise WiringError(f"{e}\n{done} of {len(calls)} requests were carried out before; apply again to go on") from e


def asked(clients: Clients, call: Call) -> dict[str, Any]:
    """boto3's answer, or an error that says what was asked, by which right, and what AWS said."""
    try:
        return getattr(clients(call.service), call.name)(**call.arguments)
    except ClientError as e:
        code, message = e.response["Error"].get("Code", ""), e.response["Error"].get("Message", "")
        advice = {
            "AccessDenied": "these credentials may not do that",
            "InvalidClientTokenId": "AWS does not know these credentials",
            "InvalidAccessKeyId": "AWS does not know these credentials",
            "SignatureDoesNotMatch": "the secret key does not belong to the access key",
            "ExpiredToken": "these credentials have expired: sign in again",
        }.get(code, "see the message")
        raise WiringError(f"{call.service} {call.name}: {code}: {message} ({advice})") from e
    except BotoCoreError as e:
        raise WiringError(f"{call.service} {call.name}: {e}") from e


def empty(s3: Any, Bucket: str, **owner: str) -> None:
    """Delete every object, every version and every marker, a page at a time."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=Bucket, **owner):
        things = [{"Key": t["Key"], "VersionId": t["VersionId"]} for kind in ("Versions", "DeleteMarkers") for t in page.get(kind, [])]
        if things:
            failed = s3.delete_objects(Bucket=Bucket, Delete={"Objects": things, "Quiet": True}, **owner).get("Errors", [])
            if failed:
                raise WiringError(f"s3 delete_objects: {failed[0]['Key']}: {failed[0].get('Message', failed[0].get('Code'))}")


# --- reading


def read(clients: Clients, wanted: Wanted) -> Found:
    account = caller_account(clients)
    try:
        bucket = read_bucket(clients, wanted.bucket, account)
    except Closed as e:
        return Found(account, closed=str(e))
    return Found(account, bucket, read_role(clients, wanted.role_name))


class Closed(Exception):
    """The bucket is there and these credentials may not look at it."""


def read_bucket(clients: Clients, name: str, account: str) -> FoundBucket | None:
    s3 = clients("s3")
    mine = {"Bucket": name, "ExpectedBucketOwner": account}

    def part(operation: str) -> dict[str, Any]:
        try:
            return getattr(s3, operation)(**mine)
        except ClientError as e:
            if e.response["Error"].get("Code") in ABSENT:
                return {}
            raise

    try:
        s3.head_bucket(**mine)
        region = s3.get_bucket_location(**mine).get("LocationConstraint") or "us-east-1"
        rules = part("get_bucket_encryption").get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        controls = part("get_bucket_ownership_controls").get("OwnershipControls", {}).get("Rules", [])
        policy = part("get_bucket_policy").get("Policy")
        notifications = s3.get_bucket_notification_configuration(**mine)
        versions = s3.list_object_versions(**mine, MaxKeys=1)
        return FoundBucket(
            region="eu-west-1" if region == "EU" else region,  # what buckets from before 2012 answer
            tags={tag["Key"]: tag["Value"] for tag in part("get_bucket_tagging").get("TagSet", [])},
            blocks=part("get_public_access_block").get("PublicAccessBlockConfiguration", {}),
            encryption=(default["SSEAlgorithm"], default.get("KMSMasterKeyID")) if default else None,
            ownership=controls[0]["ObjectOwnership"] if controls else None,
            policy=json.loads(policy) if policy else None,
            notifications={kind: rules for kind, rules in notifications.items() if kind != "ResponseMetadata"},
            has_objects=bool(versions.get("Versions") or versions.get("DeleteMarkers")),
        )
    except ClientError as e:
        code = e.response["Error"].get("Code", "")
        if code in ("404", "NoSuchBucket"):
            return None
        if code in ("403", "AccessDenied"):
            raise Closed(
                f"it is there, and account {account} may not look at it ({e.operation_name}). Bucket names are shared by all of AWS: "
                "if it is someone else's, choose another name; if it is yours, these credentials lack the right"
            ) from e
        if code in ("301", "PermanentRedirect", "AuthorizationHeaderMalformed"):
            there = e.response["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region", "another region")
            raise Closed(f"it is in {there}. Say --region with that, or choose another bucket") from e
        raise WiringError(f"s3 {e.operation_name}: {code}: {e.response['Error'].get('Message', '')}") from e
    except BotoCoreError as e:
        raise WiringError(f"s3: {e}") from e


def read_role(clients: Clients, name: str) -> FoundRole | None:
    iam = clients("iam")
    try:
        role = iam.get_role(RoleName=name)["Role"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return FoundRole(
            arn=role["Arn"],
            tags={tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
            trust=role["AssumeRolePolicyDocument"],
            policies={policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in inline},
            attached=tuple(policy["PolicyArn"] for policy in attached),
        )
    except ClientError as e:
        if e.response["Error"].get("Code") == "NoSuchEntity":
            return None
        raise WiringError(f"iam {e.operation_name}: {e.response['Error'].get('Code')}: {e.response['Error'].get('Message', '')}") from e
    except BotoCoreError as e:
        raise WiringError(f"iam: {e}") from e
