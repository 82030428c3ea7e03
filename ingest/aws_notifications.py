"""The bucket's notifications: ours merged with what is there. Putting them replaces them all, so everything that was read is put again.

S3 refuses two rules for the same event whose prefixes and suffixes overlap, whatever they notify (docs.aws.amazon.com/AmazonS3/latest/
userguide/notification-how-to-filtering.html); this is checked before the call, because moto accepts them.
"""

from __future__ import annotations

from typing import Any

from ingest.aws_state import Call, Finding, FoundBucket, Route, Wanted

OURS = "firn "  # how the Id of a rule of ours begins; the prefix follows
EVENTS = ["s3:ObjectCreated:*"]
KINDS = {"QueueConfigurations": "QueueArn", "TopicConfigurations": "TopicArn", "LambdaFunctionConfigurations": "LambdaFunctionArn"}
MOST_RULES = 100  # per bucket

Rule = dict[str, Any]
Part = tuple[list[Finding], list[Call]]


def routed(wanted: Wanted, bucket: FoundBucket) -> Part:
    """Each wanted prefix reported to its queue; everyone else's rules stay."""
    rules = [(kind, rule) for kind in KINDS for rule in bucket.notifications.get(kind, [])]
    routes = {route.prefix: route for route in sorted(set(wanted.routes))}
    stale = [rule for kind, rule in rules if is_ours(kind, rule) and filter_of(rule)[0] not in routes]
    findings: list[Finding] = []
    kept = list(bucket.notifications.get("QueueConfigurations", []))
    for rule in stale:
        text = f"events of {filter_of(rule)[0]} to {rule['QueueArn']}"
        if not wanted.prune:
            findings.append(Finding("!", f"{text}: not among the wanted prefixes. Name it, or say --prune to take it away"))
            continue
        findings.append(Finding("-", text))
        kept.remove(rule)
    others = [(kind, rule) for kind, rule in rules if rule not in stale]
    for route in routes.values():
        mine = [rule for kind, rule in others if is_ours(kind, rule) and filter_of(rule)[0] == route.prefix]
        equal = [rule for kind, rule in others if kind == "QueueConfigurations" and reports(rule, route)]
        foreign = [(kind, rule) for kind, rule in others if rule not in mine and rule not in equal and overlaps(rule, route.prefix)]
        text = f"events of {route.prefix} to {route.queue_arn}"
        if foreign:
            findings += [Finding("!", overlap_text(wanted.bucket, route, rule, KINDS[kind])) for kind, rule in foreign]
        elif equal:
            findings.append(Finding("=", text))
        elif mine:
            findings.append(Finding("~", f"{text} (was {mine[0]['QueueArn']})"))
            kept = [rule_of(route) if rule in mine else rule for rule in kept]
        else:
            findings.append(Finding("+", text))
            kept.append(rule_of(route))
    count = len(kept) + sum(kind != "QueueConfigurations" for kind, _ in rules)
    if count > MOST_RULES:
        findings.append(Finding("!", f"bucket {wanted.bucket} would have {count} notifications, S3 allows {MOST_RULES}: put fewer sources in one bucket"))
    if not routes and not stale:
        findings.append(Finding("?", "events wait for the pipes: say --route PREFIX=QUEUE for each (or --from-account)"))
    return findings, [put(wanted.bucket, bucket.notifications, kept)] if any(f.sign in "+~-" for f in findings) else []


def unrouted(name: str, bucket: FoundBucket) -> Part:
    """Our rules taken out, everyone else's left."""
    queues = bucket.notifications.get("QueueConfigurations", [])
    ours = [rule for rule in queues if is_ours("QueueConfigurations", rule)]
    findings = [Finding("-", f"events of {filter_of(rule)[0]} to {rule['QueueArn']}") for rule in ours]
    return findings, [put(name, bucket.notifications, [rule for rule in queues if rule not in ours])] if ours else []


def put(bucket: str, there: dict[str, Any], queues: list[Rule]) -> Call:
    """All notifications of the bucket. AWS gives filter rules back as `Prefix`, moto takes `prefix` only: lower case suits both."""
    whole = {kind: [lower_case(rule) for rule in rules] if kind in KINDS else rules for kind, rules in there.items()}
    whole["QueueConfigurations"] = [lower_case(rule) for rule in queues]
    return Call("s3", "put_bucket_notification_configuration", {"Bucket": bucket, "NotificationConfiguration": {k: v for k, v in whole.items() if v != []}})


def rule_of(route: Route) -> Rule:
    """
    >>> rule_of(Route("crm/", "arn:aws:sqs:us-east-1:1:q"))["Id"]
    'firn crm/'
    """
    key = {"FilterRules": [{"Name": "prefix", "Value": route.prefix}]}
    return {"Id": OURS + route.prefix, "QueueArn": route.queue_arn, "Events": EVENTS, "Filter": {"Key": key}}


def lower_case(rule: Rule) -> Rule:
    rules = rule.get("Filter", {}).get("Key", {}).get("FilterRules")
    if rules is None:
        return rule
    return {**rule, "Filter": {"Key": {"FilterRules": [{"Name": r["Name"].lower(), "Value": r["Value"]} for r in rules]}}}


def filter_of(rule: Rule) -> tuple[str, str]:
    """(prefix, suffix) of a rule.

    >>> filter_of({"Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "crm/"}]}}})
    ('crm/', '')
    """
    named = {r["Name"].lower(): r["Value"] for r in rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])}
    return named.get("prefix", ""), named.get("suffix", "")


def is_ours(kind: str, rule: Rule) -> bool:
    return kind == "QueueConfigurations" and rule.get("Id", "") == OURS + filter_of(rule)[0]


def reports(rule: Rule, route: Route) -> bool:
    """Whether a rule, whoever made it, does what the route wants."""
    return rule["QueueArn"] == route.queue_arn and filter_of(rule) == (route.prefix, "") and "s3:ObjectCreated:*" in rule["Events"]


def overlaps(rule: Rule, prefix: str) -> bool:
    """Whether S3 would refuse a rule of ours for the prefix beside this one. Ours has no suffix, so every suffix overlaps it.

    >>> overlaps({"Events": ["s3:ObjectRemoved:*"]}, "crm/"), overlaps({"Events": ["s3:ObjectCreated:Put"]}, "crm/")
    (False, True)
    """
    other, _ = filter_of(rule)
    return any(event.startswith("s3:ObjectCreated") for event in rule["Events"]) and (other.startswith(prefix) or prefix.startswith(other))


def overlap_text(bucket: str, route: Route, rule: Rule, target: str) -> str:
    prefix, suffix = filter_of(rule)
    return (
        f"prefix '{route.prefix}' overlaps '{prefix}{'…' + suffix if suffix else ''}' of bucket {bucket}, whose events go to {rule[target]}. "
        "S3 reports an object to one place only: choose another prefix, or remove that notification"
    )
