"""From what AWS has to what is wanted: findings for the reader, calls for boto3. Pure; the order of the calls is the order of work.

What firn did not write it neither replaces nor widens: such a thing is refused, with what to do about it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ingest import aws_policies as policies
from ingest.aws_notifications import routed, unrouted
from ingest.aws_state import (
    BLOCKS,
    MADE,
    OWNER_TAG,
    READ_POLICY,
    TAG,
    WIRED,
    Call,
    Finding,
    Found,
    FoundBucket,
    FoundRole,
    Plan,
    Wanted,
    faults,
)

Part = tuple[list[Finding], list[Call]]


def plan(wanted: Wanted, found: Found) -> Plan:
    """What `apply` does. Any refusal, and it does nothing at all."""
    wrong = faults(wanted)
    if found.account_id != wanted.account_id:
        wrong.append(f"role {wanted.role_arn} is of account {wanted.account_id}, but these credentials are of {found.account_id}")
    if wrong:
        return Plan(tuple(Finding("!", text) for text in wrong))
    parts = [bucket_part(wanted, found), role_part(wanted, found.role)]
    findings = tuple(f for part, _ in parts for f in part)
    is_refused = any(f.sign == "!" for f in findings)
    return Plan(findings, () if is_refused else tuple(guarded(call, wanted) for _, calls in parts for call in calls))


def guarded(call: Call, wanted: Wanted) -> Call:
    """S3 refuses the request if the bucket has come to belong to someone else since it was looked at."""
    if call.service != "s3" or call.name == "create_bucket":
        return call
    return replace(call, arguments={**call.arguments, "ExpectedBucketOwner": wanted.account_id})


def said(sign: str, text: str, *calls: Call) -> Part:
    return [Finding(sign, text)], list(calls)


# --- the bucket


def bucket_part(wanted: Wanted, found: Found) -> Part:
    name = wanted.bucket
    if found.closed:
        return said("!", f"bucket {name}: {found.closed}")
    if found.bucket is None:
        parts = [created(wanted)]
        bucket = FoundBucket(wanted.region, {TAG: MADE})
    else:
        parts = [known(wanted, found.bucket)]
        bucket = found.bucket
        if parts[0][0][0].sign == "!":
            return parts[0]
    parts += [part(wanted, bucket) for part in (blocked, encrypted, owned, tls_only, routed)]
    return [f for part, _ in parts for f in part], [call for _, calls in parts for call in calls]


def created(wanted: Wanted) -> Part:
    place = {} if wanted.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": wanted.region}}
    return said(
        "+",
        f"bucket {wanted.bucket} in {wanted.region}",
        Call("s3", "create_bucket", {"Bucket": wanted.bucket, **place}),
        Call("s3", "put_bucket_tagging", {"Bucket": wanted.bucket, "Tagging": {"TagSet": [OWNER_TAG]}}),
    )


def known(wanted: Wanted, bucket: FoundBucket) -> Part:
    if bucket.region != wanted.region:
        return said("!", f"bucket {wanted.bucket} is in {bucket.region}, not in {wanted.region}. Say --region {bucket.region}, or choose another bucket")
    if bucket.tags.get(TAG) not in (MADE, WIRED):
        tags = json.dumps({"TagSet": [*({"Key": k, "Value": v} for k, v in bucket.tags.items()), {"Key": TAG, "Value": WIRED}]})
        return said(
            "!",
            f"bucket {wanted.bucket} is there and was not made by firn. To have it wired (firn will never delete it), its owner tags it; "
            f"if firn was interrupted while making it, with {MADE} instead of {WIRED}: aws s3api put-bucket-tagging --bucket {wanted.bucket} --tagging '{tags}'",
        )
    return said("=", f"bucket {wanted.bucket} in {bucket.region} ({'made by firn' if bucket.tags[TAG] == MADE else 'handed to firn'})")


def blocked(wanted: Wanted, bucket: FoundBucket) -> Part:
    missing = [name for name in BLOCKS if not bucket.blocks.get(name)]
    if not missing:
        return said("=", "public access is blocked")
    setting = {"Bucket": wanted.bucket, "PublicAccessBlockConfiguration": dict.fromkeys(BLOCKS, True)}
    return said("~" if bucket.blocks else "+", f"public access block: {', '.join(missing)}", Call("s3", "put_public_access_block", setting))


def encrypted(wanted: Wanted, bucket: FoundBucket) -> Part:
    algorithm, key = bucket.encryption or (None, None)
    if (wanted.kms_key is None and algorithm == "AES256") or (wanted.kms_key and (algorithm, key) == ("aws:kms", wanted.kms_key)):
        return said("=", f"encryption at rest: {algorithm}" + (f" with {key}" if key else ""))
    if algorithm not in (None, "AES256"):
        return said(
            "!",
            f"bucket {wanted.bucket} encrypts with {algorithm} {key or '(the default key of S3)'}. "
            "firn does not change that: name the key, so that the role may decrypt with it: --kms-key ARN",
        )
    rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    if wanted.kms_key:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": wanted.kms_key}, "BucketKeyEnabled": True}
    setting = {"Bucket": wanted.bucket, "ServerSideEncryptionConfiguration": {"Rules": [rule]}}
    text = f"encryption at rest: {'aws:kms with ' + wanted.kms_key if wanted.kms_key else 'AES256'}"
    return said("~" if algorithm else "+", text, Call("s3", "put_bucket_encryption", setting))


def owned(wanted: Wanted, bucket: FoundBucket) -> Part:
    if bucket.ownership == "BucketOwnerEnforced":
        return said("=", "objects belong to the bucket's owner, access lists are off")
    setting = {"Bucket": wanted.bucket, "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}
    text = "object ownership: " + (f"{bucket.ownership} → " if bucket.ownership else "") + "BucketOwnerEnforced"
    return said("~" if bucket.ownership else "+", text, Call("s3", "put_bucket_ownership_controls", setting))


def tls_only(wanted: Wanted, bucket: FoundBucket) -> Part:
    """Adds one Deny to the bucket's policy; every statement that is there stays as it is."""
    if open_to_all := policies.excess_of_bucket(bucket.policy):
        return [Finding("!", f"policy of bucket {wanted.bucket}: {text}. Take that out first") for text in open_to_all], []
    statement = policies.tls_only(wanted.bucket, partition=wanted.partition)
    there = policies.statements(bucket.policy)
    if policies.normal(statement) in map(policies.normal, there):
        return said("=", "only requests with TLS are let in")
    if any(s.get("Sid") == policies.TLS_ONLY for s in there):
        return said("!", f"policy of bucket {wanted.bucket}: statement {policies.TLS_ONLY} was changed by hand. Give it another Sid, or remove it, and apply again")
    policy = {"Version": policies.VERSION, **(bucket.policy or {}), "Statement": [*there, statement]}
    return said("+", "bucket policy: deny requests without TLS", Call("s3", "put_bucket_policy", {"Bucket": wanted.bucket, "Policy": json.dumps(policy)}))


# --- the role


def role_part(wanted: Wanted, role: FoundRole | None) -> Part:
    if role is not None and (refused := not_ours(wanted, role)):
        return [Finding("!", text) for text in refused], []
    if wanted.trust is None:
        text = (
            f"role {wanted.role_arn} waits for the storage integration: create it with this ARN (setup_sql/03_storage_integration.sql), "
            "then say what DESC INTEGRATION shows: --principal, --external-id (or --from-account)"
        )
        return said("?", text)
    if role is None:
        parts = [role_created(wanted)]
        role = FoundRole(wanted.role_arn, {TAG: MADE}, policies.trust_policy(wanted.trust.principal, wanted.trust.external_id))
    else:
        parts = [said("=", f"role {role.arn}"), trusting(wanted, role)]
    parts.append(reading(wanted, role))
    return [f for part, _ in parts for f in part], [call for _, calls in parts for call in calls]


def not_ours(wanted: Wanted, role: FoundRole) -> list[str]:
    if role.tags.get(TAG) != MADE:
        return [f"role {role.arn} is there and was not made by firn. Name another one in the storage integration, or remove it"]
    if role.arn != wanted.role_arn:
        return [f"role {role.arn} has the name of {wanted.role_arn} under another path. Name it in the storage integration as it is"]
    more = [name for name in role.policies if name != READ_POLICY] + list(role.attached)
    return [f"role {role.arn} carries {name}, which firn did not give it. Take it off: this role reads the landing bucket and nothing else" for name in more]


def role_created(wanted: Wanted) -> Part:
    assert wanted.trust is not None
    trust = policies.trust_policy(wanted.trust.principal, wanted.trust.external_id)
    arguments = {
        "RoleName": wanted.role_name,
        "Path": wanted.role_path,
        "AssumeRolePolicyDocument": json.dumps(trust),
        "Description": f"Firn: Snowflake reads s3://{wanted.bucket}",
        "Tags": [OWNER_TAG],
    }
    return said("+", f"role {wanted.role_arn}, taken by {wanted.trust.principal} with the integration's external id", Call("iam", "create_role", arguments))


def trusting(wanted: Wanted, role: FoundRole) -> Part:
    assert wanted.trust is not None
    trust = policies.trust_policy(wanted.trust.principal, wanted.trust.external_id)
    call = Call("iam", "update_assume_role_policy", {"RoleName": wanted.role_name, "PolicyDocument": json.dumps(trust)})
    if policies.same(role.trust, trust):
        return said("=", f"trust: {wanted.trust.principal} with the integration's external id")
    if before := policies.trusted(role.trust):
        changed = [f"{a} → {b}" for a, b in zip(before, (wanted.trust.principal, wanted.trust.external_id), strict=True) if a != b]
        return said("~", f"trust: {'; '.join(changed)}", call)
    if policies.narrows(trust, role.trust):
        return said("~", f"trust: narrowed to {wanted.trust.principal} with the integration's external id", call)
    return said("!", f"trust of role {role.arn} was changed by hand, and firn's would let in someone it keeps out. Put it right, or remove the role")


def reading(wanted: Wanted, role: FoundRole) -> Part:
    policy = policies.read_policy(wanted.bucket, wanted.prefixes, partition=wanted.partition, kms_key=wanted.kms_key)
    call = Call("iam", "put_role_policy", {"RoleName": wanted.role_name, "PolicyName": READ_POLICY, "PolicyDocument": json.dumps(policy)})
    there = role.policies.get(READ_POLICY)
    what = ", ".join(wanted.prefixes) or "nothing yet (no pipe reads this bucket), it may only find the bucket"
    if there is None:
        return said("+", f"role reads {what}", call)
    if policies.same(there, policy):
        return said("=", f"role reads {what}")
    before = policies.prefixes_read(there, wanted.bucket, partition=wanted.partition)
    if before is None:
        if policies.narrows(policy, there):
            return said("~", f"role policy narrowed to reading {what}", call)
        return said("!", f"policy {READ_POLICY} of role {role.arn} was changed by hand or is for another bucket, and firn's would widen it. Put it right, or remove it")
    gone = sorted(set(before) - set(wanted.prefixes))
    if gone and not wanted.prune:
        return [Finding("!", f"role reads {prefix}, which is not among the wanted prefixes. Name it, or say --prune to take it away") for prefix in gone], []
    lines = [Finding("+", f"role reads {prefix}") for prefix in wanted.prefixes if prefix not in before]
    lines += [Finding("-", f"role reads {prefix}") for prefix in gone]
    return lines or [Finding("~", "role policy: the key it may decrypt with")], [call]


# --- taking it away


def removals(wanted: Wanted, found: Found, *, with_objects: bool = False) -> Plan:
    """What `destroy` does: notifications and role that firn made, and a bucket that firn made and that is empty (or told to be emptied)."""
    findings: list[Finding] = []
    calls: list[Call] = []
    bucket, role = found.bucket, found.role
    if found.account_id != wanted.account_id:
        return Plan((Finding("!", f"role {wanted.role_arn} is of account {wanted.account_id}, but these credentials are of {found.account_id}"),))
    if found.closed:
        return Plan((Finding("!", f"bucket {wanted.bucket}: {found.closed}"),))
    if bucket is not None and TAG in bucket.tags:
        lines, wires = unrouted(wanted.bucket, bucket)
        findings, calls = [*lines], [*wires]
    if role is not None:
        lines, steps = role_removed(wanted, role)
        findings, calls = [*findings, *lines], [*calls, *steps]
    if bucket is not None:
        lines, steps = bucket_removed(wanted, bucket, with_objects=with_objects)
        findings, calls = [*findings, *lines], [*calls, *steps]
    is_refused = any(f.sign == "!" for f in findings)
    return Plan(tuple(findings), () if is_refused else tuple(guarded(call, wanted) for call in calls))


def role_removed(wanted: Wanted, role: FoundRole) -> Part:
    if role.tags.get(TAG) != MADE:
        return said("=", f"role {role.arn} stays: firn did not make it")
    if more := not_ours(replace(wanted, role_arn=role.arn), role):
        return [Finding("!", text) for text in more], []
    name = {"RoleName": wanted.role_name}
    inline = [Call("iam", "delete_role_policy", {**name, "PolicyName": policy}) for policy in role.policies]
    return said("-", f"role {role.arn}", *inline, Call("iam", "delete_role", name))


def bucket_removed(wanted: Wanted, bucket: FoundBucket, *, with_objects: bool) -> Part:
    if bucket.tags.get(TAG) != MADE:
        return said("=", f"bucket {wanted.bucket} stays: firn did not make it")
    if bucket.has_objects and not with_objects:
        return said("=", f"bucket {wanted.bucket} stays, with its protection: it holds objects. To delete them all for good: --with-objects")
    empty = [Call("s3", "empty_bucket", {"Bucket": wanted.bucket})] if bucket.has_objects else []
    text = f"bucket {wanted.bucket}" + (" and every object in it, all versions" if bucket.has_objects else "")
    return said("-", text, *empty, Call("s3", "delete_bucket", {"Bucket": wanted.bucket}))
