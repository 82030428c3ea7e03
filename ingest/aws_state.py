"""The wiring of a bucket as plain data: what is wanted, what AWS has, and the steps between the two. Nothing here talks to AWS."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

TAG = "firn"
MADE, WIRED = "made", "wired"  # made by firn, and firn may remove it; handed to firn by its owner, who keeps it
OWNER_TAG = {"Key": TAG, "Value": MADE}
READ_POLICY = "firn-landing-read"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

# A prefix becomes part of IAM patterns and of S3's notification filters: what either would read as something else stays out.
# File names below a prefix may be anything.
PREFIX = re.compile(r"[A-Za-z0-9!_.'()-]+(/[A-Za-z0-9!_.'()-]+)*/")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
QUEUE_ARN = re.compile(r"arn:aws[\w-]*:sqs:(?P<region>[\w-]+):\d{12}:[\w.-]+")
ROLE_ARN = re.compile(r"arn:(?P<partition>aws[\w-]*):iam::(?P<account>\d{12}):role/(?:[\w+=,.@/-]*/)?(?P<name>[\w+=,.@-]{1,64})")


class WiringError(Exception):
    """Told to the user as it is."""


@dataclass(frozen=True, order=True)
class Route:
    """Objects under the prefix are reported to the queue (a pipe's notification_channel)."""

    prefix: str
    queue_arn: str


@dataclass(frozen=True)
class Trust:
    """Snowflake's user and the integration's external id, as DESC INTEGRATION shows them."""

    principal: str
    external_id: str


@dataclass(frozen=True)
class Wanted:
    """One bucket, the role that reads it, and where its events go.

    Without `trust` the integration is not there yet, and the role waits for it; routes come when the pipes are there.
    """

    bucket: str
    role_arn: str
    region: str
    routes: tuple[Route, ...] = ()
    trust: Trust | None = None
    kms_key: str | None = None
    prune: bool = False  # whether notifications and rights of prefixes that are no longer wanted are taken away

    @property
    def prefixes(self) -> list[str]:
        return sorted({route.prefix for route in self.routes})

    @property
    def role_name(self) -> str:
        return self.role_arn.rpartition("/")[2]

    @property
    def role_path(self) -> str:
        return self.role_arn.partition(":role")[2].removesuffix(self.role_name)

    @property
    def partition(self) -> str:
        return self.role_arn.split(":")[1]

    @property
    def account_id(self) -> str:
        return self.role_arn.split(":")[4]


@dataclass(frozen=True)
class FoundBucket:
    region: str
    tags: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, bool] = field(default_factory=dict)
    encryption: tuple[str, str | None] | None = None  # algorithm, key
    ownership: str | None = None
    policy: dict[str, Any] | None = None
    notifications: dict[str, Any] = field(default_factory=dict)
    has_objects: bool = False


@dataclass(frozen=True)
class FoundRole:
    arn: str
    tags: dict[str, str] = field(default_factory=dict)
    trust: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)  # inline, by name
    attached: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    account_id: str
    bucket: FoundBucket | None = None
    role: FoundRole | None = None
    closed: str | None = None  # why the bucket could not be looked at: it is someone else's


@dataclass(frozen=True)
class Call:
    """One request of boto3, arguments and all."""

    service: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One line of a plan: = is so already, + is made, ~ is changed, - is taken away, ! is refused, ? waits for something."""

    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {self.text}"


@dataclass(frozen=True)
class Plan:
    findings: tuple[Finding, ...]
    calls: tuple[Call, ...] = ()

    @property
    def refusals(self) -> list[str]:
        return [f.text for f in self.findings if f.sign == "!"]

    @property
    def waiting(self) -> list[str]:
        return [f.text for f in self.findings if f.sign == "?"]

    @property
    def changes(self) -> list[Finding]:
        return [f for f in self.findings if f.sign in "+~-"]


def faults(wanted: Wanted) -> list[str]:
    """What is wrong with the wish itself, before anything is asked of AWS."""
    wrong = []
    if not BUCKET.fullmatch(wanted.bucket):
        wrong.append(f"bucket '{wanted.bucket}': not a bucket's name (3 to 63 of a-z, 0-9, dot and hyphen)")
    if not ROLE_ARN.fullmatch(wanted.role_arn):
        wrong.append(f"role '{wanted.role_arn}': expected arn:aws:iam::<account>:role/<name>")
    if wanted.kms_key and not re.fullmatch(r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+", wanted.kms_key):
        wrong.append(f"key '{wanted.kms_key}': expected the ARN of the key, arn:aws:kms:<region>:<account>:key/<id>")
    if wanted.trust and not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:user/[\w+=,.@/-]+", wanted.trust.principal):
        wrong.append(f"principal '{wanted.trust.principal}': expected STORAGE_AWS_IAM_USER_ARN, arn:aws:iam::<account>:user/<name>")
    if wanted.trust and not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", wanted.trust.external_id):
        wrong.append(f"external id '{wanted.trust.external_id}': expected STORAGE_AWS_EXTERNAL_ID as DESC INTEGRATION shows it")
    for route in wanted.routes:
        if not PREFIX.fullmatch(route.prefix):
            wrong.append(
                f"prefix '{route.prefix}': expected folders like crm/customers/, ending in a slash, of letters, digits and ! _ . ' ( ) -. "
                "Other characters mean something else in a policy or a notification filter; file names may be anything"
            )
        queue = QUEUE_ARN.fullmatch(route.queue_arn)
        if not queue:
            wrong.append(f"queue '{route.queue_arn}' of '{route.prefix}': expected the notification_channel of SHOW PIPES, arn:aws:sqs:…")
        elif queue["region"] != wanted.region:
            wrong.append(f"queue {route.queue_arn}: S3 sends events within a region only, and the bucket's is {wanted.region}")
    wrong += overlapping(wanted.routes)
    return wrong


def overlapping(routes: tuple[Route, ...]) -> list[str]:
    """Pairs of different prefixes of which one contains the other, and prefixes with two queues."""
    ordered = sorted(set(routes))
    return [
        f"prefix '{one.prefix}' ({one.queue_arn}) overlaps '{other.prefix}' ({other.queue_arn}): S3 reports an object to one place only"
        for at, one in enumerate(ordered)
        for other in ordered[at + 1 :]
        if other.prefix.startswith(one.prefix)
    ]
