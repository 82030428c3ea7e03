"""The policies of the wiring as plain JSON, and the checks that say whether a policy allows more than the wiring needs.

Read rights are Snowflake's list for loading (docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration), narrowed: objects
of the sources' prefixes only, listing only below them. `GetBucketLocation` stands alone: its request has no prefix, so the condition
of ListBucket would deny it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

Policy = dict[str, Any]

VERSION = "2012-10-17"
TLS_ONLY = "FirnTlsOnly"
READ_ACTIONS = ("s3:GetObject", "s3:GetObjectVersion")


def read_policy(bucket: str, prefixes: Iterable[str], *, partition: str = "aws", kms_key: str | None = None) -> Policy:
    """What the role may do: find the bucket, and list and read what lies below the prefixes.

    >>> [s["Action"] for s in read_policy("landing", ["crm/"])["Statement"]]
    [['s3:GetBucketLocation'], ['s3:ListBucket'], ['s3:GetObject', 's3:GetObjectVersion']]
    """
    arn = f"arn:{partition}:s3:::{bucket}"
    below = sorted(f"{prefix}*" for prefix in prefixes)
    statements: list[dict[str, Any]] = [
        {"Sid": "FirnFindBucket", "Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": [arn]}
    ]
    if below:
        condition = {"StringLike": {"s3:prefix": below}}
        statements += [
            {"Sid": "FirnListSources", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn], "Condition": condition},
            {"Sid": "FirnReadSources", "Effect": "Allow", "Action": list(READ_ACTIONS), "Resource": [f"{arn}/{p}" for p in below]},
        ]
    if kms_key:
        statements.append({"Sid": "FirnDecrypt", "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [kms_key]})
    return {"Version": VERSION, "Statement": statements}


def trust_policy(principal: str, external_id: str) -> Policy:
    """Who may take the role: Snowflake's user, and only for the integration that has this external id."""
    statement = {
        "Sid": "FirnSnowflake",
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def tls_only(bucket: str, *, partition: str = "aws") -> dict[str, Any]:
    """The bucket policy's statement that refuses whoever comes without TLS."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Sid": TLS_ONLY,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


# --- reading a policy back


def listed(value: Any) -> list[str]:
    """One value or a list of them, as policies write both; Booleans as policies spell them.

    >>> listed("s3:*"), listed(["b", "a"]), listed(False)
    (['s3:*'], ['b', 'a'], ['false'])
    """
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in values]


def statements(policy: Policy | None) -> list[dict[str, Any]]:
    found = (policy or {}).get("Statement", [])
    return found if isinstance(found, list) else [found]


def normal(statement: dict[str, Any]) -> str:
    """A statement in one spelling, so that two that mean the same compare equal; the Sid is a name and does not count."""
    plain: dict[str, Any] = {}
    for name, value in statement.items():
        if name == "Condition":
            plain[name] = {op: {key: sorted(listed(v)) for key, v in test.items()} for op, test in value.items()}
        elif name in ("Principal", "NotPrincipal"):
            plain[name] = {kind: sorted(listed(v)) for kind, v in ({"AWS": "*"} if value == "*" else value).items()}
        elif name != "Sid":
            plain[name] = sorted(set(listed(value)))
    return json.dumps(plain, sort_keys=True)


def same(one: Policy | None, other: Policy | None) -> bool:
    return sorted(map(normal, statements(one))) == sorted(map(normal, statements(other)))


def trusted(policy: Policy) -> tuple[str, str] | None:
    """(principal, external id) of a trust policy that firn wrote, whoever it names; None if it says anything else.

    >>> trusted(trust_policy("arn:aws:iam::1:user/snow", "id_1"))
    ('arn:aws:iam::1:user/snow', 'id_1')
    """
    try:
        (statement,) = statements(policy)
        (principal,) = listed(statement["Principal"]["AWS"])
        (external_id,) = listed(statement["Condition"]["StringEquals"]["sts:ExternalId"])
    except (KeyError, ValueError, TypeError):
        return None
    return (principal, external_id) if principal != "*" and same(policy, trust_policy(principal, external_id)) else None


def prefixes_read(policy: Policy, bucket: str, *, partition: str = "aws") -> list[str] | None:
    """The prefixes of a read policy that firn wrote for this bucket; None if it says anything else.

    >>> prefixes_read(read_policy("landing", ["crm/", "erp/"]), "landing")
    ['crm/', 'erp/']
    """
    by_action = {action: s for s in statements(policy) for action in listed(s.get("Action"))}
    condition = by_action.get("s3:ListBucket", {}).get("Condition", {})
    prefixes = sorted(p.removesuffix("*") for p in listed(condition.get("StringLike", {}).get("s3:prefix")))
    kms_key = next(iter(listed(by_action.get("kms:Decrypt", {}).get("Resource"))), None)
    written = read_policy(bucket, prefixes, partition=partition, kms_key=kms_key)
    is_exact = all(prefixes) and not any(set("*?$") & set(p) for p in [*prefixes, kms_key or ""])
    return prefixes if is_exact and same(policy, written) else None


def narrows(wanted: Policy, there: Policy) -> bool:
    """Whether whatever `wanted` allows was allowed before, so that putting it in the place of `there` takes rights away and gives none.

    >>> everything = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    >>> narrows(read_policy("landing", ["crm/"]), everything), narrows(everything, read_policy("landing", ["crm/"]))
    (True, False)
    """
    before = statements(there)
    if any(s.get("Effect") != "Allow" or any(name.startswith("Not") for name in s) for s in before):
        return False  # something is denied there, or said by exception: taking it away could give rights
    return all(any(covers(wide, one) for wide in before) for one in statements(wanted))


def covers(wide: dict[str, Any], narrow: dict[str, Any]) -> bool:
    if any(name.startswith("Not") for name in narrow):
        return False
    by_pattern = all(
        all(any(matches(value, pattern) for pattern in listed(wide.get(part))) for value in listed(narrow.get(part)))
        for part in ("Action", "Resource")
    )
    if not by_pattern:
        return False
    who_wide, who = wide.get("Principal"), narrow.get("Principal")
    if who_wide not in (who, "*", {"AWS": "*"}):
        return False
    conditions = [(op, key, listed(v)) for op, test in wide.get("Condition", {}).items() for key, v in test.items()]
    return all(
        key in narrow.get("Condition", {}).get(op, {})
        and all(any(matches(v, p) if op == "StringLike" else v == p for p in allowed) for v in listed(narrow["Condition"][op][key]))
        for op, key, allowed in conditions
    )


def matches(value: str, pattern: str) -> bool:
    """Whether an IAM pattern takes in a value, or a whole pattern: `crm/*` lies within `*`."""
    parts = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(parts, value, re.IGNORECASE if value.startswith(("s3:", "sts:", "kms:", "sns:")) else 0) is not None


# --- least privilege


def excess_of_read(policy: Policy, bucket: str, prefixes: Iterable[str], *, partition: str = "aws", kms_key: str | None = None) -> list[str]:
    """What a read policy allows beyond the prefixes; one line each, none when it is as narrow as it should be."""
    arn = f"arn:{partition}:s3:::{bucket}"
    below = {f"{prefix}*" for prefix in prefixes}
    reach = {
        "s3:GetBucketLocation": {arn},
        "s3:ListBucket": {arn},
        **{action: {f"{arn}/{place}" for place in below} for action in READ_ACTIONS},
        **({"kms:Decrypt": {kms_key}} if kms_key else {}),
    }
    excess = []
    for statement in statements(policy):
        name = statement.get("Sid", "a statement")
        if statement.get("Effect") != "Allow":
            continue  # a Deny gives nothing
        excess += [f"{name}: {part} allows everything but what it names" for part in statement if part.startswith("Not")]
        for action in listed(statement.get("Action")):
            if action not in reach:
                excess.append(f"{name}: action {action}: only {', '.join(reach)} are needed")
                continue
            too_far = set(listed(statement.get("Resource"))) - reach[action]
            excess += [f"{name}: {action} on {resource}" for resource in sorted(too_far)]
            if action == "s3:ListBucket":
                under = set(listed(statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")))
                if not under:
                    excess.append(f"{name}: s3:ListBucket without a condition on s3:prefix lists the whole bucket")
                excess += [f"{name}: s3:ListBucket below '{prefix}'" for prefix in sorted(under - below)]
    return excess


def excess_of_trust(policy: Policy, principal: str, external_id: str) -> list[str]:
    """Who may take the role besides Snowflake's user with the integration's external id."""
    excess = []
    for statement in statements(policy):
        name = statement.get("Sid", "a statement")
        if statement.get("Effect") != "Allow":
            continue
        if "NotPrincipal" in statement or "NotAction" in statement:
            excess.append(f"{name}: trusts everyone but those it names")
        who = statement.get("Principal", {})
        names = [n for kind in who.values() for n in listed(kind)] if isinstance(who, dict) else listed(who)
        excess += [f"{name}: trusts {n}" for n in names if n != principal]
        excess += [f"{name}: allows {action}" for action in listed(statement.get("Action")) if action != "sts:AssumeRole"]
        ids = listed(statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId"))
        if not ids:
            excess.append(f"{name}: asks for no sts:ExternalId, so that any Snowflake customer could have the role taken")
        excess += [f"{name}: takes the external id {i}" for i in ids if i != external_id]
    return excess


def excess_of_bucket(policy: Policy | None) -> list[str]:
    """Statements of a bucket policy that give something to everyone."""
    everyone = [s for s in statements(policy) if s.get("Effect") == "Allow" and ("NotPrincipal" in s or "*" in json.dumps(s.get("Principal")))]
    return [f"{s.get('Sid', 'a statement')}: allows {', '.join(listed(s.get('Action')))} to everyone" for s in everyone]
