"""The SNS topic for alerts and the role by which Snowflake publishes to it: wanted, found, the steps between the two, and sending them.

docs.snowflake.com/en/user-guide/notifications/creating-notification-integration-amazon-sns. As with the bucket: what firn did not make it
neither replaces nor widens; the role waits until the integration says whom it must trust.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ingest import aws_policies as policies
from ingest.aws import Clients, caller_account, carry_out, read_role, settled
from ingest.aws_state import MADE, OWNER_TAG, ROLE_ARN, TAG, Call, Finding, FoundRole, Plan, Trust, WiringError

PUBLISH_POLICY = "firn-alerts-publish"
TOPIC_ARN = re.compile(r"arn:(?P<partition>aws[\w-]*):sns:(?P<region>[\w-]+):(?P<account>\d{12}):(?P<name>[\w-]{1,256})")


@dataclass(frozen=True)
class WantedTopic:
    """One standard topic and the role that publishes to it; without `trust` the role waits for the integration."""

    topic_arn: str
    role_arn: str
    trust: Trust | None = None

    @property
    def name(self) -> str:
        return self.topic_arn.rpartition(":")[2]

    @property
    def account_id(self) -> str:
        return self.topic_arn.split(":")[4]

    @property
    def role_name(self) -> str:
        return self.role_arn.rpartition("/")[2]

    @property
    def role_path(self) -> str:
        return self.role_arn.partition(":role")[2].removesuffix(self.role_name)


@dataclass(frozen=True)
class FoundTopic:
    tags: dict[str, str] = field(default_factory=dict)
    policy: dict[str, Any] | None = None


def faults(wanted: WantedTopic) -> list[str]:
    wrong = []
    if wanted.name.endswith(".fifo") or not TOPIC_ARN.fullmatch(wanted.topic_arn):
        wrong.append(f"topic '{wanted.topic_arn}': expected arn:aws:sns:<region>:<account>:<name> of a standard topic (messages to FIFO topics fail silently)")
    if not ROLE_ARN.fullmatch(wanted.role_arn):
        wrong.append(f"role '{wanted.role_arn}': expected arn:aws:iam::<account>:role/<name>")
    if wanted.trust and not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:user/[\w+=,.@/-]+", wanted.trust.principal):
        wrong.append(f"principal '{wanted.trust.principal}': expected SF_AWS_IAM_USER_ARN, arn:aws:iam::<account>:user/<name>")
    if wanted.trust and not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", wanted.trust.external_id):
        wrong.append(f"external id '{wanted.trust.external_id}': expected SF_AWS_EXTERNAL_ID as DESC INTEGRATION shows it")
    return wrong


def publish_policy(topic_arn: str) -> policies.Policy:
    """What the role may do: publish to the one topic.

    >>> publish_policy("arn:aws:sns:eu-west-1:1:t")["Statement"][0]["Action"]
    ['sns:Publish']
    """
    return {"Version": policies.VERSION, "Statement": [{"Sid": "FirnPublishAlerts", "Effect": "Allow", "Action": ["sns:Publish"], "Resource": [topic_arn]}]}


def excess_of_publish(policy: policies.Policy, topic_arn: str) -> list[str]:
    """What a policy allows beyond publishing to the topic."""
    return [
        f"{statement.get('Sid', 'a statement')}: {action} on {resource}"
        for statement in policies.statements(policy)
        if statement.get("Effect") == "Allow"
        for action in policies.listed(statement.get("Action")) or ["everything but what it names"]
        for resource in policies.listed(statement.get("Resource")) or ["everything but what it names"]
        if (action.lower(), resource) != ("sns:publish", topic_arn)
    ]


# --- the plan, pure


def plan(wanted: WantedTopic, account_id: str, topic: FoundTopic | None, role: FoundRole | None) -> Plan:
    """What `apply` does; any refusal, and it does nothing at all."""
    wrong = faults(wanted)
    if not wrong and account_id != wanted.account_id:
        wrong.append(f"topic {wanted.topic_arn} is of account {wanted.account_id}, but these credentials are of {account_id}")
    if wrong:
        return Plan(tuple(Finding("!", text) for text in wrong))
    parts = [topic_part(wanted, topic), *role_parts(wanted, role)]
    findings = tuple(finding for finding, _ in parts)
    is_refused = any(finding.sign == "!" for finding in findings)
    return Plan(findings, () if is_refused else tuple(call for _, calls in parts for call in calls))


Part = tuple[Finding, list[Call]]


def topic_part(wanted: WantedTopic, topic: FoundTopic | None) -> Part:
    if topic is None:
        return Finding("+", f"topic {wanted.topic_arn}"), [Call("sns", "create_topic", {"Name": wanted.name, "Tags": [OWNER_TAG]})]
    if topic.tags.get(TAG) != MADE:
        return Finding("!", f"topic {wanted.topic_arn} is there and was not made by firn. Choose another name (--name), or wire it by hand"), []
    if open_to_all := open_statements(topic.policy):
        return Finding("!", f"policy of topic {wanted.topic_arn}: {open_to_all[0]}. Take that out first"), []
    return Finding("=", f"topic {wanted.topic_arn}"), []


def open_statements(policy: dict[str, Any] | None) -> list[str]:
    """Statements that let everyone in; the topic's own default names everyone and keeps to its owner by a condition."""
    limited = lambda s: "AWS:SourceOwner" in json.dumps(s.get("Condition", {}))  # noqa: E731
    kept = {"Statement": [s for s in policies.statements(policy) if not limited(s)]}
    return policies.excess_of_bucket(kept)


def role_parts(wanted: WantedTopic, role: FoundRole | None) -> list[Part]:
    if role is not None and role.tags.get(TAG) != MADE:
        return [(Finding("!", f"role {role.arn} is there and was not made by firn. Name another one in the integration, or remove it"), [])]
    if role is not None and (more := [name for name in role.policies if name != PUBLISH_POLICY] + list(role.attached)):
        return [(Finding("!", f"role {role.arn} carries {more[0]}, which firn did not give it. Take it off: this role publishes to one topic and nothing else"), [])]
    if wanted.trust is None:
        text = f"role {wanted.role_arn} waits for the integration: run setup_sql/12_topic.sql with this ARN, then apply again with --from-account"
        return [(Finding("?", text), [])]
    trust = policies.trust_policy(wanted.trust.principal, wanted.trust.external_id)
    policy = publish_policy(wanted.topic_arn)
    put = Call("iam", "put_role_policy", {"RoleName": wanted.role_name, "PolicyName": PUBLISH_POLICY, "PolicyDocument": json.dumps(policy)})
    if role is None:
        arguments = {
            "RoleName": wanted.role_name,
            "Path": wanted.role_path,
            "AssumeRolePolicyDocument": json.dumps(trust),
            "Description": f"Firn: Snowflake publishes to {wanted.name}",
            "Tags": [OWNER_TAG],
        }
        made = Finding("+", f"role {wanted.role_arn}, taken by {wanted.trust.principal} with the integration's external id")
        return [(made, [Call("iam", "create_role", arguments)]), (Finding("+", f"role publishes to {wanted.name}"), [put])]
    return [trusting(wanted, role, trust), publishing(wanted, role, policy, put)]


def trusting(wanted: WantedTopic, role: FoundRole, trust: policies.Policy) -> Part:
    assert wanted.trust is not None
    if policies.same(role.trust, trust):
        return Finding("=", f"role {role.arn}, taken by {wanted.trust.principal} with the integration's external id"), []
    if policies.trusted(role.trust) or policies.narrows(trust, role.trust):
        call = Call("iam", "update_assume_role_policy", {"RoleName": wanted.role_name, "PolicyDocument": json.dumps(trust)})
        return Finding("~", f"trust: {wanted.trust.principal} with the integration's external id, and nobody else"), [call]
    return Finding("!", f"trust of role {role.arn} was changed by hand, and firn's would let in someone it keeps out. Put it right, or remove the role"), []


def publishing(wanted: WantedTopic, role: FoundRole, policy: policies.Policy, put: Call) -> Part:
    there = role.policies.get(PUBLISH_POLICY)
    if there is not None and policies.same(there, policy):
        return Finding("=", f"role publishes to {wanted.name}"), []
    if there is None or policies.narrows(policy, there):
        return Finding("+" if there is None else "~", f"role publishes to {wanted.name} and nothing else"), [put]
    return Finding("!", f"policy {PUBLISH_POLICY} of role {role.arn} is for something else, and firn's would widen it. Put it right, or remove it"), []


def removals(wanted: WantedTopic, topic: FoundTopic | None, role: FoundRole | None) -> Plan:
    """What `destroy` takes away: topic and role that firn made; its subscriptions go with a topic."""
    parts: list[Part] = []
    if role is not None:
        if role.tags.get(TAG) != MADE:
            parts.append((Finding("=", f"role {role.arn} stays: firn did not make it"), []))
        elif more := [name for name in role.policies if name != PUBLISH_POLICY] + list(role.attached):
            parts.append((Finding("!", f"role {role.arn} carries {more[0]}, which firn did not give it. Take it off first"), []))
        else:
            name = {"RoleName": wanted.role_name}
            inline = [Call("iam", "delete_role_policy", {**name, "PolicyName": policy}) for policy in role.policies]
            parts.append((Finding("-", f"role {role.arn}"), [*inline, Call("iam", "delete_role", name)]))
    if topic is not None:
        is_ours = topic.tags.get(TAG) == MADE
        gone = [Call("sns", "delete_topic", {"TopicArn": wanted.topic_arn})] if is_ours else []
        parts.append((Finding("-" if is_ours else "=", f"topic {wanted.topic_arn}" + (" and its subscriptions" if is_ours else " stays: firn did not make it")), gone))
    findings = tuple(finding for finding, _ in parts)
    is_refused = any(finding.sign == "!" for finding in findings)
    return Plan(findings, () if is_refused else tuple(call for _, calls in parts for call in calls))


# --- reading and sending


def planned(clients: Clients, wanted: WantedTopic) -> Plan:
    if wrong := faults(wanted):
        return Plan(tuple(Finding("!", text) for text in wrong))
    return plan(wanted, caller_account(clients), read_topic(clients, wanted.topic_arn), read_role(clients, wanted.role_name))


def apply(clients: Clients, wanted: WantedTopic) -> Plan:
    """Bring AWS to what is wanted and give the plan that was carried out; nothing is done if any part of it is refused."""
    todo = planned(clients, wanted)
    if todo.refusals:
        raise WiringError("nothing was changed:\n" + "\n".join(f"  ! {text}" for text in todo.refusals))
    carry_out(clients, todo.calls)
    left = settled(lambda: planned(clients, wanted)) if todo.calls else todo
    if left.changes or left.refusals:
        raise WiringError("AWS took every request and does not show it:\n" + "\n".join(f"  {f}" for f in left.findings if f.sign != "="))
    return todo


def verify(clients: Clients, wanted: WantedTopic) -> list[Finding]:
    """Everything read back, and whether the role may more than publish or more may take it."""
    findings = list(planned(clients, wanted).findings)
    role = read_role(clients, wanted.role_name)
    if role is None or wanted.trust is None or any(f.sign == "!" for f in findings):
        return findings
    excess = excess_of_publish(role.policies.get(PUBLISH_POLICY, {}), wanted.topic_arn)
    excess += policies.excess_of_trust(role.trust, wanted.trust.principal, wanted.trust.external_id)
    said = [Finding("!", f"too much is allowed: {text}") for text in excess]
    return [*findings, *(said or [Finding("=", "no policy allows more than publishing to the topic")])]


def destroy(clients: Clients, wanted: WantedTopic, *, dry: bool = False) -> Plan:
    todo = removals(wanted, read_topic(clients, wanted.topic_arn), read_role(clients, wanted.role_name))
    if dry:
        return todo
    if todo.refusals:
        raise WiringError("nothing was removed:\n" + "\n".join(f"  ! {text}" for text in todo.refusals))
    carry_out(clients, todo.calls)
    return todo


def read_topic(clients: Clients, arn: str) -> FoundTopic | None:
    sns = clients("sns")
    try:
        attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
        tags = sns.list_tags_for_resource(ResourceArn=arn).get("Tags", [])
    except ClientError as e:
        code = e.response["Error"].get("Code", "")
        if code in ("NotFound", "NotFoundException"):
            return None
        raise WiringError(f"sns {e.operation_name}: {code}: {e.response['Error'].get('Message', '')}") from e
    except BotoCoreError as e:
        raise WiringError(f"sns: {e}") from e
    policy = attributes.get("Policy")
    return FoundTopic({tag["Key"]: tag["Value"] for tag in tags}, json.loads(policy) if policy else None)
