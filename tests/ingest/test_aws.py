"""The wiring of a bucket: planned from any state, applied once, read back, taken away, and never wider than it must be.

Runs on moto: the local account's S3 server for the whole way, moto inside this process for many states. What moto does not do is
written where it matters: it accepts overlapping prefixes, takes rule names in lower case only, does not check who owns a bucket,
knows no default encryption, and takes any principal. docs/real-account.md has the list.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from urllib.parse import unquote_plus

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from ingest import aws, aws_policies
from ingest.aws_plan import plan, removals
from ingest.aws_state import READ_POLICY, Found, FoundBucket, FoundRole, Plan, Route, Trust, Wanted, WiringError, faults
from local import s3 as local_s3

ACCOUNT = "123456789012"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:sf-snowpipe-1"
OTHER_QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:another"
SNOWFLAKE = Trust(f"arn:aws:iam::{ACCOUNT}:user/snowflake", "ACME_SFCRole=1_abc=")
WANTED = Wanted(
    bucket="landing-of-acme",
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/firn-landing-reader",
    region="us-east-1",
    routes=(Route("crm/customers/", QUEUE), Route("shop/orders/", QUEUE)),
    trust=SNOWFLAKE,
)
BUCKET = WANTED.bucket


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = local_s3.start(tmp_path_factory.mktemp("s3"))
    running.s3.client("sqs").create_queue(QueueName="sf-snowpipe-1")
    running.s3.client("sqs").create_queue(QueueName="another")
    yield running
    running.stop()


@pytest.fixture
def clients(server):
    """AWS as the local account has it, empty again after each test."""
    yield server.s3.client
    s3, iam = server.s3.client("s3"), server.s3.client("iam")
    for bucket in s3.list_buckets()["Buckets"]:
        aws.empty(s3, bucket["Name"])
        s3.delete_bucket_tagging(Bucket=bucket["Name"])  # moto keeps them for the next bucket of that name
        s3.delete_bucket(Bucket=bucket["Name"])
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        iam.delete_role(RoleName=name)


def signs(found: Plan) -> str:
    return "".join(sorted({f.sign for f in found.findings}))


def notifications(clients) -> dict:
    there = clients("s3").get_bucket_notification_configuration(Bucket=BUCKET)
    return {kind: rules for kind, rules in there.items() if kind != "ResponseMetadata"}


# --- the whole way


def test_applied_twice_the_second_time_does_nothing(clients):
    assert signs(aws.planned(clients, WANTED)) == "+"

    aws.apply(clients, WANTED)
    again = aws.apply(clients, WANTED)

    assert (signs(again), again.calls) == ("=", ())
    assert {f.sign for f in aws.verify(clients, WANTED)} == {"="}


def test_a_file_put_under_a_wired_prefix_reaches_the_queue_and_another_does_not(clients):
    aws.apply(clients, WANTED)

    for key in ("crm/customers/day 1+é%.csv", "elsewhere/a.csv"):
        clients("s3").put_object(Bucket=BUCKET, Key=key, Body=b"id\n1\n")

    queue = clients("sqs").get_queue_url(QueueName="sf-snowpipe-1")["QueueUrl"]
    bodies = [json.loads(m["Body"]) for m in clients("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])]
    keys = [unquote_plus(r["s3"]["object"]["key"]) for b in bodies for r in b.get("Records", [])]
    assert keys == ["crm/customers/day 1+é%.csv"]


def test_the_role_comes_when_the_integration_is_there_and_reads_when_the_pipes_are(clients):
    """One pass: nothing is made with a trust that must be changed afterwards."""
    first = aws.apply(clients, replace(WANTED, trust=None, routes=()))
    assert any(WANTED.role_arn in text for text in first.waiting)
    assert aws.read(clients, WANTED).role is None

    aws.apply(clients, replace(WANTED, routes=()))
    trust = aws.read(clients, WANTED).role.trust
    aws.apply(clients, WANTED)

    role = aws.read(clients, WANTED).role
    assert role.trust == trust == aws_policies.trust_policy(SNOWFLAKE.principal, SNOWFLAKE.external_id)
    assert role.policies == {READ_POLICY: aws_policies.read_policy(BUCKET, WANTED.prefixes)}


def test_an_apply_that_was_cut_off_anywhere_goes_on(clients):
    for number in range(len(aws.planned(clients, WANTED).calls) - 1):
        aws.carry_out(clients, aws.planned(clients, WANTED).calls[:1])
        if number == 0:  # between a bucket's creation and its tag: firn cannot tell it from another's, and says what to do
            with pytest.raises(WiringError, match="put-bucket-tagging"):
                aws.apply(clients, WANTED)
            clients("s3").put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "firn", "Value": "made"}]})

    aws.apply(clients, WANTED)

    assert signs(aws.planned(clients, WANTED)) == "="


def test_verify_sees_what_was_changed_behind_its_back(clients):
    aws.apply(clients, WANTED)
    clients("s3").delete_public_access_block(Bucket=BUCKET)
    clients("s3").delete_bucket_policy(Bucket=BUCKET)

    assert [str(f) for f in aws.verify(clients, WANTED) if f.sign != "="] == [
        "+ public access block: BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets",
        "+ bucket policy: deny requests without TLS",
    ]


def test_moto_reads_a_tls_condition_as_a_denial_so_the_local_s3_is_mended():
    """Fails when moto learns conditions: then local/s3_policies.py may go."""
    with mock_aws():
        clients = in_process()
        aws.apply(clients, WANTED)

        with pytest.raises(ClientError, match="403"):
            clients("s3").put_object(Bucket=BUCKET, Key="crm/customers/a.csv", Body=b"")


def test_the_local_s3_still_keeps_to_a_bucket_policy_that_denies(clients):
    aws.apply(clients, WANTED)
    deny = {"Sid": "Own", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    clients("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [aws_policies.tls_only(BUCKET), deny]}))

    with pytest.raises(ClientError, match="403"):
        clients("s3").put_object(Bucket=BUCKET, Key="crm/customers/a.csv", Body=b"")


# --- what is there stays


def test_notifications_of_others_stay_whatever_they_notify(clients):
    aws.apply(clients, replace(WANTED, routes=()))
    topic = clients("sns").create_topic(Name="audit")["TopicArn"]
    rule = {"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "audit/"}]}}, "Events": ["s3:ObjectCreated:*"]}
    others = {"QueueConfigurations": [{**rule, "Id": "q", "QueueArn": OTHER_QUEUE}], "TopicConfigurations": [{**rule, "Id": "t", "TopicArn": topic}]}
    others["TopicConfigurations"][0] = {**others["TopicConfigurations"][0], "Events": ["s3:ObjectRemoved:*"]}
    clients("s3").put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=others)

    aws.apply(clients, WANTED)

    there = notifications(clients)
    assert [r["Id"] for r in there["QueueConfigurations"]] == ["q", "firn crm/customers/", "firn shop/orders/"]
    assert [r["TopicArn"] for r in there["TopicConfigurations"]] == [topic]
    aws.destroy(clients, WANTED)
    assert BUCKET not in [b["Name"] for b in clients("s3").list_buckets()["Buckets"]]


def test_rules_as_aws_writes_them_are_known_and_put_back_in_lower_case():
    """AWS answers `Prefix`; moto answers what it was given and takes lower case only, so this one is not asked of moto."""
    rule = {"Id": "x", "QueueArn": OTHER_QUEUE, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "x/"}]}}}
    mine = {**rule, "Id": "firn crm/customers/", "QueueArn": QUEUE, "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "crm/customers/"}]}}}
    bucket = replace(made_bucket(), notifications={"QueueConfigurations": [rule, mine], "EventBridgeConfiguration": {}})

    calls = plan(WANTED, Found(ACCOUNT, bucket, made_role())).calls

    (put,) = [c for c in calls if "notification" in c.name]
    written = put.arguments["NotificationConfiguration"]
    assert [r["Filter"]["Key"]["FilterRules"][0]["Name"] for r in written["QueueConfigurations"]] == ["prefix"] * 3
    assert written["EventBridgeConfiguration"] == {}


def test_statements_of_the_owner_stay_in_the_bucket_policy(clients):
    aws.apply(clients, replace(WANTED, routes=()))
    own = {"Sid": "Own", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
    clients("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [own]}))

    aws.apply(clients, WANTED)

    assert [s["Sid"] for s in aws.read(clients, WANTED).bucket.policy["Statement"]] == ["Own", "FirnTlsOnly"]


def test_a_pipe_with_another_queue_moves_its_rule_and_a_gone_one_is_taken_away_only_when_told(clients):
    aws.apply(clients, WANTED)
    moved = replace(WANTED, routes=(Route("crm/customers/", OTHER_QUEUE),))

    assert len(aws.planned(clients, moved).refusals) == 2  # its events, and the right to read
    aws.apply(clients, replace(moved, prune=True))

    (rule,) = notifications(clients)["QueueConfigurations"]
    assert (rule["Id"], rule["QueueArn"]) == ("firn crm/customers/", OTHER_QUEUE)
    assert aws_policies.prefixes_read(aws.read(clients, WANTED).role.policies[READ_POLICY], BUCKET) == ["crm/customers/"]


# --- what is refused


def made_bucket(**more) -> FoundBucket:
    return FoundBucket("us-east-1", {"firn": "made"}, **more)


def made_role(**more) -> FoundRole:
    return FoundRole(WANTED.role_arn, {"firn": "made"}, **{"trust": aws_policies.trust_policy(SNOWFLAKE.principal, SNOWFLAKE.external_id), **more})


def rule(prefix: str, events: str = "s3:ObjectCreated:Put", suffix: str = "") -> dict:
    rules = [{"Name": "Prefix", "Value": prefix}] + ([{"Name": "Suffix", "Value": suffix}] if suffix else [])
    return {"QueueConfigurations": [{"Id": "theirs", "QueueArn": OTHER_QUEUE, "Events": [events], "Filter": {"Key": {"FilterRules": rules}}}]}


ALLOW_ALL = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}]}
LOCKED_TRUST = copy.deepcopy(aws_policies.trust_policy(SNOWFLAKE.principal, SNOWFLAKE.external_id))
LOCKED_TRUST["Statement"][0]["Condition"]["IpAddress"] = {"aws:SourceIp": "198.51.100.0/24"}
NARROWER = aws_policies.read_policy(BUCKET, ["crm/customers/"])
NARROWER["Statement"][2]["Condition"] = {"StringEquals": {"s3:ExistingObjectTag/x": "y"}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(Found(ACCOUNT, closed="it is there, and you may not look"), "may not look", id="someone else's bucket"),
        pytest.param(Found(ACCOUNT, FoundBucket("us-east-1")), "not made by firn", id="own bucket, not firn's"),
        pytest.param(Found(ACCOUNT, FoundBucket("eu-west-1", {"firn": "made"})), "is in eu-west-1", id="bucket in another region"),
        pytest.param(Found("999999999999"), "these credentials are of 999999999999", id="credentials of another account"),
        pytest.param(Found(ACCOUNT, made_bucket(notifications=rule("crm/"))), "overlaps 'crm/'", id="a wider prefix of others"),
        pytest.param(Found(ACCOUNT, made_bucket(notifications=rule("crm/customers/de/"))), "overlaps", id="a narrower prefix of others"),
        pytest.param(Found(ACCOUNT, made_bucket(notifications=rule("", suffix=".csv"))), "overlaps '….csv'", id="a suffix of others"),
        pytest.param(Found(ACCOUNT, made_bucket(policy=ALLOW_ALL)), "to everyone", id="a bucket policy open to all"),
        pytest.param(Found(ACCOUNT, made_bucket(encryption=("aws:kms", "arn:k"))), "--kms-key", id="a key the role could not use"),
        pytest.param(Found(ACCOUNT, role=FoundRole(WANTED.role_arn)), "not made by firn", id="a role of others"),
        pytest.param(Found(ACCOUNT, role=made_role(attached=("arn:aws:iam::aws:policy/AdministratorAccess",))), "AdministratorAccess", id="a role that may more"),
        pytest.param(Found(ACCOUNT, role=made_role(policies={"more": {}})), "carries more", id="a role with another policy"),
        pytest.param(Found(ACCOUNT, role=made_role(trust=LOCKED_TRUST)), "changed by hand", id="a trust narrower than firn's"),
        pytest.param(Found(ACCOUNT, role=made_role(policies={READ_POLICY: NARROWER})), "would widen it", id="a read policy narrower than firn's"),
    ],
)
def test_refused_with_what_to_do_and_nothing_is_sent(found, said):
    refused = plan(WANTED, found)

    assert any(said in text for text in refused.refusals), refused.refusals
    assert refused.calls == ()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        pytest.param({"routes": (Route("crm/", QUEUE), Route("crm/customers/", QUEUE))}, "overlaps", id="prefix within prefix"),
        pytest.param({"routes": (Route("crm/", QUEUE), Route("crm/", OTHER_QUEUE))}, "overlaps", id="one prefix, two queues"),
        pytest.param({"routes": (Route("", QUEUE),)}, "expected folders", id="the whole bucket"),
        pytest.param({"routes": (Route("crm/*/", QUEUE),)}, "expected folders", id="a wildcard in a prefix"),
        pytest.param({"routes": (Route("crm/${aws:username}/", QUEUE),)}, "expected folders", id="a policy variable in a prefix"),
        pytest.param({"routes": (Route("crm", QUEUE),)}, "ending in a slash", id="no slash at the end"),
        pytest.param({"routes": (Route("crm/", QUEUE.replace("us-east-1", "eu-west-1")),)}, "within a region", id="queue of another region"),
        pytest.param({"routes": (Route("crm/", "sf-snowpipe"),)}, "notification_channel", id="not a queue"),
        pytest.param({"trust": Trust("*", "id")}, "STORAGE_AWS_IAM_USER_ARN", id="everyone as principal"),
        pytest.param({"trust": Trust(SNOWFLAKE.principal, "")}, "STORAGE_AWS_EXTERNAL_ID", id="no external id"),
        pytest.param({"bucket": "Landing"}, "not a bucket's name", id="a bad bucket name"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_before_aws_is_asked(wanted, said):
    assert any(said in text for text in faults(replace(WANTED, **wanted)))


def test_a_prefix_beside_another_is_no_overlap():
    bucket = made_bucket(notifications=rule("crm/customers_old/"))
    removed = made_bucket(notifications=rule("crm/", "s3:ObjectRemoved:*"))

    assert not plan(WANTED, Found(ACCOUNT, bucket)).refusals
    assert not plan(WANTED, Found(ACCOUNT, removed)).refusals


def test_a_policy_that_someone_widened_is_narrowed_again(clients):
    aws.apply(clients, WANTED)
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    clients("iam").put_role_policy(RoleName="firn-landing-reader", PolicyName=READ_POLICY, PolicyDocument=json.dumps(wide))
    assert any("action s3:*" in f.text for f in aws.verify(clients, WANTED) if f.sign == "!")

    aws.apply(clients, WANTED)

    assert {f.sign for f in aws.verify(clients, WANTED)} == {"="}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("InvalidClientTokenId", "does not know these credentials", id="wrong access key"),
        pytest.param("SignatureDoesNotMatch", "does not belong to the access key", id="wrong secret"),
        pytest.param("ExpiredToken", "sign in again", id="expired"),
    ],
)
def test_wrong_credentials_are_said_to_be_so(code, said):
    class Refusing:
        def get_caller_identity(self):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetCallerIdentity")

    with pytest.raises(WiringError, match=said):
        aws.planned(lambda service: Refusing(), WANTED)


# --- taken away


def test_destroy_takes_away_what_firn_made_and_keeps_a_bucket_with_objects(clients):
    aws.apply(clients, WANTED)
    clients("s3").put_object(Bucket=BUCKET, Key="crm/customers/a.csv", Body=b"id\n1\n")

    aws.destroy(clients, WANTED)

    found = aws.read(clients, WANTED)
    assert (found.role, found.bucket.notifications, found.bucket.has_objects) == (None, {}, True)
    assert found.bucket.policy, "its protection stays"
    aws.destroy(clients, WANTED, with_objects=True)
    assert aws.read(clients, WANTED).bucket is None
    assert aws.destroy(clients, WANTED).findings == ()


def test_destroy_leaves_what_was_handed_to_firn(clients):
    clients("s3").create_bucket(Bucket=BUCKET)
    clients("s3").put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "firn", "Value": "wired"}]})
    aws.apply(clients, WANTED)

    aws.destroy(clients, WANTED, with_objects=True)

    found = aws.read(clients, WANTED)
    assert (found.role, found.bucket.notifications) == (None, {})


def test_destroy_touches_nothing_of_others():
    bucket, role = FoundBucket("us-east-1", notifications=rule("crm/")), FoundRole(WANTED.role_arn)

    assert removals(WANTED, Found(ACCOUNT, bucket, role), with_objects=True).calls == ()


# --- least privilege: each check fires on a policy widened in its way


def read_policy() -> dict:
    return aws_policies.read_policy(BUCKET, WANTED.prefixes)


def test_what_firn_writes_is_as_narrow_as_it_should_be():
    assert aws_policies.excess_of_read(read_policy(), BUCKET, WANTED.prefixes) == []
    assert aws_policies.excess_of_trust(aws_policies.trust_policy(*trust()), *trust()) == []
    assert aws_policies.excess_of_bucket({"Statement": [aws_policies.tls_only(BUCKET)]}) == []
    text = json.dumps(read_policy())
    assert not any(word in text for word in ("Put", "Delete", "s3:*", '"*"', "Not"))


@pytest.mark.parametrize(
    ("at", "change", "said"),
    [
        pytest.param(2, {"Action": "s3:*"}, "action s3:*", id="every action"),
        pytest.param(2, {"Action": "s3:Get*"}, "action s3:Get*", id="a pattern of actions"),
        pytest.param(2, {"Action": ["s3:GetObject", "s3:PutObject"]}, "s3:PutObject", id="a write"),
        pytest.param(2, {"Action": "s3:DeleteObject"}, "s3:DeleteObject", id="a delete"),
        pytest.param(2, {"Resource": "*"}, "on *", id="every resource"),
        pytest.param(2, {"Resource": f"arn:aws:s3:::{BUCKET}/*"}, f"on arn:aws:s3:::{BUCKET}/*", id="the whole bucket"),
        pytest.param(2, {"Resource": "arn:aws:s3:::another/crm/customers/*"}, "another", id="another bucket"),
        pytest.param(2, {"NotResource": "arn:aws:s3:::x/*"}, "NotResource", id="everything but"),
        pytest.param(2, {"NotAction": "s3:PutObject"}, "NotAction", id="every action but"),
        pytest.param(1, {"Condition": {}}, "without a condition", id="listing without a condition"),
        pytest.param(1, {"Condition": {"StringLike": {"s3:prefix": ["*"]}}}, "below '*'", id="listing everything"),
        pytest.param(1, {"Condition": {"StringLikeIfExists": {"s3:prefix": ["crm/customers/*"]}}}, "without a condition", id="a condition that may be absent"),
        pytest.param(0, {"Resource": "arn:aws:s3:::*"}, "on arn:aws:s3:::*", id="location of every bucket"),
    ],
)
def test_a_widened_read_policy_is_seen(at, change, said):
    policy = read_policy()
    policy["Statement"][at].update(change)

    assert any(said in text for text in aws_policies.excess_of_read(policy, BUCKET, WANTED.prefixes))


def trust() -> tuple[str, str]:
    return SNOWFLAKE.principal, SNOWFLAKE.external_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"Principal": "*"}, "trusts *", id="everyone"),
        pytest.param({"Principal": {"AWS": ["*"]}}, "trusts *", id="everyone, as AWS writes it"),
        pytest.param({"Principal": {"AWS": SNOWFLAKE.principal, "Service": "ec2.amazonaws.com"}}, "ec2", id="a service too"),
        pytest.param({"Condition": {}}, "asks for no sts:ExternalId", id="no external id"),
        pytest.param({"Condition": {"StringLike": {"sts:ExternalId": "*"}}}, "asks for no sts:ExternalId", id="any external id"),
        pytest.param({"Condition": {"StringEquals": {"sts:ExternalId": [SNOWFLAKE.external_id, "x"]}}}, "external id x", id="a second external id"),
        pytest.param({"Action": ["sts:AssumeRole", "sts:TagSession"]}, "sts:TagSession", id="another action"),
    ],
)
def test_a_widened_trust_is_seen(change, said):
    policy = aws_policies.trust_policy(*trust())
    policy["Statement"][0].update(change)

    assert any(said in text for text in aws_policies.excess_of_trust(policy, *trust()))


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": ["*"]}])
def test_a_bucket_policy_open_to_all_is_seen(principal):
    policy = {"Statement": {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*"}}

    assert aws_policies.excess_of_bucket(policy)


# --- from any state


PREFIXES = ["crm/customers/", "shop/orders/", "web/events/", "old/", "crm/"]
OPEN = {"BlockPublicAcls": True, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}


def notified(prefix: str, queue: str, name: str) -> dict:
    key = {"FilterRules": [{"Name": "prefix", "Value": prefix}]}
    return {"Id": name, "QueueArn": queue, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": key}}


priors = st.fixed_dictionaries(
    {
        "tag": st.sampled_from(["made"] * 6 + ["wired"] * 3 + [None]),
        "blocks": st.sampled_from([None, OPEN]),
        "encryption": st.sampled_from([None] * 4 + ["AES256"] * 4 + ["aws:kms"]),
        "ownership": st.sampled_from([None, "ObjectWriter", "BucketOwnerPreferred"]),
        "policy": st.sampled_from([None, "own", "firn"]),
        "rules": st.lists(st.tuples(st.sampled_from(PREFIXES), st.sampled_from([QUEUE, QUEUE, OTHER_QUEUE]), st.booleans()), max_size=2, unique_by=lambda r: r[0]),
        "role": st.sampled_from([None] * 3 + ["trusts another id", "trusts everyone"] * 3 + ["changed", "foreign"]),
        "reads": st.sampled_from([None, ["crm/customers/"], ["old/"], "*"]),
    }
)
wishes = st.builds(
    lambda routes, prune, trust: replace(WANTED, routes=tuple(Route(p, QUEUE) for p in routes), prune=prune, trust=trust),
    st.lists(st.sampled_from(["crm/customers/", "shop/orders/", "web/events/"]), unique=True, max_size=3),
    st.sampled_from([True, True, False]),
    st.sampled_from([SNOWFLAKE, SNOWFLAKE, None]),
)


def make(clients, prior: dict) -> None:
    s3, iam = clients("s3"), clients("iam")
    s3.create_bucket(Bucket=BUCKET)
    if prior["tag"]:
        s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "firn", "Value": prior["tag"]}]})
    if prior["blocks"]:
        s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=prior["blocks"])
    if prior["encryption"]:
        rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": prior["encryption"]}}]
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})
    if prior["ownership"]:
        s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": prior["ownership"]}]})
    if prior["policy"]:
        statement = aws_policies.tls_only(BUCKET)
        if prior["policy"] == "own":
            statement = {"Sid": "Own", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    rules = [notified(prefix, queue, f"firn {prefix}" if is_ours else f"theirs {prefix}") for prefix, queue, is_ours in prior["rules"]]
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": rules} if rules else {})
    if prior["role"]:
        policy = aws_policies.trust_policy(SNOWFLAKE.principal, "before" if prior["role"] == "trusts another id" else SNOWFLAKE.external_id)
        if prior["role"] == "trusts everyone":
            policy["Statement"][0] |= {"Principal": {"AWS": "*"}, "Condition": {}}
        if prior["role"] == "changed":
            policy = LOCKED_TRUST
        tags = [] if prior["role"] == "foreign" else [{"Key": "firn", "Value": "made"}]
        iam.create_role(RoleName=WANTED.role_name, AssumeRolePolicyDocument=json.dumps(policy), Tags=tags)
        if prior["reads"]:
            reads = aws_policies.read_policy(BUCKET, prior["reads"])
            if prior["reads"] == "*":
                reads = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
            iam.put_role_policy(RoleName=WANTED.role_name, PolicyName=READ_POLICY, PolicyDocument=json.dumps(reads))


def in_process():
    """moto inside this process: a fresh AWS each time, in milliseconds."""
    made: dict[str, object] = {}
    keys = {"aws_access_key_id": "firn", "aws_secret_access_key": "firn", "region_name": "us-east-1", "config": Config(retries={"total_max_attempts": 1})}
    return lambda service: made.setdefault(service, None) or made.update({service: boto3.client(service, **keys)}) or made[service]


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(prior=priors, wanted=wishes)
def test_whatever_was_there_apply_leaves_nothing_to_do_or_touches_nothing(prior, wanted):
    with mock_aws():
        clients = in_process()
        for name in ("sf-snowpipe-1", "another"):
            clients("sqs").create_queue(QueueName=name)
        make(clients, prior)
        before = aws.read(clients, wanted)
        if aws.planned(clients, wanted).refusals:
            with pytest.raises(WiringError):
                aws.apply(clients, wanted)
            assert aws.read(clients, wanted) == before
            return

        aws.apply(clients, wanted)

        again, after = aws.planned(clients, wanted), aws.read(clients, wanted)
        assert not again.changes and not again.calls
        theirs = [r for r in before.bucket.notifications.get("QueueConfigurations", []) if not r["Id"].startswith("firn ")]
        assert [r for r in after.bucket.notifications.get("QueueConfigurations", []) if r in theirs] == theirs
        assert all(f.sign in "=?" for f in aws.verify(clients, wanted))
