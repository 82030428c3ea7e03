"""The topic for alerts: planned from any state, applied once, never wider than publishing, taken away; and an alert that comes out of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from ingest import aws_policies, aws_topic
from ingest.aws_state import Trust, WiringError
from ingest.aws_topic import PUBLISH_POLICY, WantedTopic
from local import s3 as local_s3
from local.account import Account
from local.aws_topic import properties
from local.place import Place
from tests.operating.watching import run_script

ACCOUNT = "123456789012"
SNOWFLAKE = Trust(f"arn:aws:iam::{ACCOUNT}:user/snowflake", "ACME_SFCRole=2_abc=")
WANTED = WantedTopic(f"arn:aws:sns:us-east-1:{ACCOUNT}:firn-alerts", f"arn:aws:iam::{ACCOUNT}:role/firn-alerts-publisher", SNOWFLAKE)


@pytest.fixture
def clients() -> Iterator:
    with mock_aws():
        yield lambda service: boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def signs(found) -> str:
    return "".join(sorted({finding.sign for finding in found.findings}))


def test_applied_twice_the_second_time_does_nothing_and_nothing_is_wider_than_it_must_be(clients):
    assert signs(aws_topic.planned(clients, WANTED)) == "+"

    aws_topic.apply(clients, WANTED)

    assert aws_topic.apply(clients, WANTED).calls == ()
    assert {finding.sign for finding in aws_topic.verify(clients, WANTED)} == {"="}
    policy = clients("iam").get_role_policy(RoleName=WANTED.role_name, PolicyName=PUBLISH_POLICY)["PolicyDocument"]
    assert [(s["Action"], s["Resource"]) for s in policy["Statement"]] == [(["sns:Publish"], [WANTED.topic_arn])]


def test_the_role_waits_until_the_integration_says_whom_to_trust(clients):
    first = aws_topic.apply(clients, replace(WANTED, trust=None))
    assert WANTED.role_arn in first.waiting[0]
    assert aws_topic.read_topic(clients, WANTED.topic_arn) is not None

    second = aws_topic.apply(clients, WANTED)

    assert [call.name for call in second.calls] == ["create_role", "put_role_policy"]


def test_a_new_integration_is_trusted_in_the_place_of_the_old_one(clients):
    aws_topic.apply(clients, WANTED)
    other = replace(WANTED, trust=Trust(SNOWFLAKE.principal, "ACME_SFCRole=3_new="))

    assert [call.name for call in aws_topic.apply(clients, other).calls] == ["update_assume_role_policy"]
    assert aws_topic.apply(clients, other).calls == ()


def test_rights_that_someone_added_are_seen_and_narrowed(clients):
    aws_topic.apply(clients, WANTED)
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sns:*", "Resource": "*"}]}
    clients("iam").put_role_policy(RoleName=WANTED.role_name, PolicyName=PUBLISH_POLICY, PolicyDocument=json.dumps(wide))
    assert "too much is allowed: a statement: sns:* on *" in [finding.text for finding in aws_topic.verify(clients, WANTED)]

    aws_topic.apply(clients, WANTED)

    assert {finding.sign for finding in aws_topic.verify(clients, WANTED)} == {"="}


@pytest.mark.parametrize(("prepare", "said"), [
    pytest.param(lambda c: c("sns").create_topic(Name="firn-alerts"), "was not made by firn", id="a topic of somebody else"),
    pytest.param(
        lambda c: c("iam").create_role(RoleName=WANTED.role_name, AssumeRolePolicyDocument="{}"), "was not made by firn", id="a role of somebody else"
    ),
])  # fmt: skip
def test_what_firn_did_not_make_is_refused_and_nothing_is_sent(clients, prepare, said):
    prepare(clients)

    with pytest.raises(WiringError, match=said):
        aws_topic.apply(clients, WANTED)
    assert aws_topic.destroy(clients, WANTED).calls == (), "nor taken away"


def test_a_role_with_more_policies_is_refused(clients):
    aws_topic.apply(clients, WANTED)
    clients("iam").put_role_policy(RoleName=WANTED.role_name, PolicyName="more", PolicyDocument=json.dumps(aws_policies.read_policy("b", ["x/"])))

    with pytest.raises(WiringError, match="carries more"):
        aws_topic.apply(clients, WANTED)


def test_a_topic_open_to_everyone_is_refused(clients):
    aws_topic.apply(clients, WANTED)
    everyone = {"Version": "2012-10-17", "Statement": [{"Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "sns:Subscribe", "Resource": WANTED.topic_arn}]}
    clients("sns").set_topic_attributes(TopicArn=WANTED.topic_arn, AttributeName="Policy", AttributeValue=json.dumps(everyone))

    with pytest.raises(WiringError, match="everyone"):
        aws_topic.apply(clients, WANTED)


def test_destroy_takes_away_topic_and_role(clients):
    aws_topic.apply(clients, WANTED)
    assert {finding.sign for finding in aws_topic.destroy(clients, WANTED, dry=True).findings} == {"-"}

    aws_topic.destroy(clients, WANTED)

    assert signs(aws_topic.planned(clients, WANTED)) == "+"


@pytest.mark.parametrize(("wanted", "said"), [
    pytest.param(replace(WANTED, topic_arn=WANTED.topic_arn + ".fifo"), "FIFO", id="a FIFO topic"),
    pytest.param(replace(WANTED, role_arn="publisher"), "role", id="a role without its ARN"),
    pytest.param(replace(WANTED, trust=Trust("*", "id")), "principal", id="everyone"),
    pytest.param(replace(WANTED, topic_arn=WANTED.topic_arn.replace(ACCOUNT, "1" * 12)), "these credentials are of", id="another account"),
])  # fmt: skip
def test_a_wish_that_cannot_be_is_refused(clients, wanted, said):
    assert any(said in text for text in aws_topic.planned(clients, wanted).refusals)


def test_a_message_of_the_account_comes_out_of_the_topic_that_was_made_for_it(tmp_path, monkeypatch, capsys):
    """`firn aws topic apply`, 12_topic.sql, `apply --from-account`: what the account sends arrives at a subscriber of the topic."""
    from local import aws_topic as command
    from local.cli import parser

    server = local_s3.start(tmp_path / "s3")
    account = Account(tmp_path / "account", server.s3)
    session = account.session()
    for sql in ("CREATE ROLE firn_transformer", "CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.watch", "CREATE TABLE firn_landing.watch.way_out (integration VARCHAR, kind VARCHAR, since TIMESTAMP_NTZ)"):
        account.answer(session, sql)
    account.answer(session, "GRANT SELECT, INSERT ON TABLE firn_landing.watch.way_out TO ROLE firn_transformer")
    monkeypatch.setattr(Place, "s3", lambda self: server.s3)
    monkeypatch.setattr(command, "properties", lambda place, arguments: {row[0]: row[2] for row in account.answer(session, "DESC INTEGRATION firn_topic")})
    try:
        def firn(*words: str) -> int:
            arguments = parser().parse_args(["aws", "topic", *words])
            return arguments.run(Place(tmp_path), arguments)

        assert firn("apply") == 0
        assert "waits for the integration" in capsys.readouterr().out
        run_script(account, "12_topic")
        assert (firn("apply", "--from-account"), firn("verify", "--from-account")) == (0, 0)
        sns, sqs = server.s3.client("sns"), server.s3.client("sqs")
        queue = sqs.create_queue(QueueName="oncall")["QueueUrl"]
        sns.subscribe(TopicArn=WANTED.topic_arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:oncall")

        transformer = account.session("FIRN_LANDING", "WATCH", role="FIRN_TRANSFORMER")
        account.answer(transformer, "CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(SNOWFLAKE.NOTIFICATION.APPLICATION_JSON('{\"alert_id\": 1}'), '{\"firn_topic\": {}}')")

        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        assert json.loads(json.loads(message["Body"])["Message"]) == {"alert_id": 1}
        assert firn("destroy", "--yes") == 0
        account.answer(transformer, "CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION('{\"text/plain\": \"x\"}', '{\"firn_topic\": {}}')")
        assert [message.status for message in account.outbox.all()] == ["SUCCESS", "FAILURE"], "a topic that is gone shows in the history"
    finally:
        account.close()
        server.stop()


@pytest.mark.parametrize("name", ["x' OR 'a", "\"x' --\"", "x; DROP DATABASE firn", ""])
def test_what_is_no_name_of_an_integration_is_refused_before_the_account_is_asked(name):
    with pytest.raises(WiringError, match="not a name"):
        properties(Place(Path("nowhere")), argparse.Namespace(integration=name, connection=None))
