"""Bucket policies in the local S3.

moto enforces them for objects, but reads a condition that is not met as a denial: "deny whoever comes without TLS" would deny everyone.
Here 127.0.0.1 counts as TLS, because nothing leaves the machine: statements that ask for it are left aside, all others stay moto's.
"""

from __future__ import annotations

import json
from typing import Any


def asks_for_tls_only(statement: dict[str, Any]) -> bool:
    """
    >>> asks_for_tls_only({"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    True
    >>> asks_for_tls_only({"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "true"}}})
    False
    """
    return statement.get("Effect") == "Deny" and statement.get("Condition") in (
        {"Bool": {"aws:SecureTransport": "false"}},
        {"Bool": {"aws:SecureTransport": ["false"]}},
    )


def count_loopback_as_tls() -> None:
    """Patch moto; once, before it serves."""
    from moto.iam.access_control import IAMPolicy, PermissionResult
    from moto.s3.models import FakeBucket

    def get_permission(self: Any, action: str, resource: str) -> Any:
        policy = json.loads(self.policy) if self.policy else {}
        statements = policy.get("Statement", [])
        kept = [s for s in (statements if isinstance(statements, list) else [statements]) if not asks_for_tls_only(s)]
        return IAMPolicy(json.dumps({**policy, "Statement": kept})).is_action_permitted(action, resource) if kept else PermissionResult.NEUTRAL

    FakeBucket.get_permission = get_permission
