"""The local S3 keeps what it was given, whatever happens to its process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from local import s3 as local_s3
from local.s3_queues import answer_without_counting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path):
    running = local_s3.start(tmp_path / "s3")
    yield running
    running.stop()


def killed_and_started_again(server: local_s3.Server, folder: Path) -> local_s3.Server:
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(5)
    return local_s3.start(folder)


def test_objects_survive_a_kill_with_their_etag_and_time(tmp_path, server):
    client = server.s3.client("s3")
    client.create_bucket(Bucket="landing")
    client.put_object(Bucket="landing", Key="customers/day 1+é.csv", Body=b"id\n1\n", Metadata={"source": "crm"}, ContentType="text/csv")
    client.put_object(Bucket="landing", Key="gone.csv", Body=b"x")
    client.delete_object(Bucket="landing", Key="gone.csv")
    before = client.head_object(Bucket="landing", Key="customers/day 1+é.csv")

    again = killed_and_started_again(server, tmp_path / "s3")
    client = again.s3.client("s3")
    after = client.get_object(Bucket="landing", Key="customers/day 1+é.csv")

    assert after["Body"].read() == b"id\n1\n"
    assert after["ETag"].strip('"') == hashlib.md5(b"id\n1\n").hexdigest()
    assert (after["LastModified"], after["ContentType"], after["Metadata"]) == (before["LastModified"], "text/csv", {"source": "crm"})
    assert [o["Key"] for o in client.list_objects_v2(Bucket="landing")["Contents"]] == ["customers/day 1+é.csv"]
    again.stop()


def test_queue_and_notification_survive_and_still_work(tmp_path, server):
    wire(server.s3)
    again = killed_and_started_again(server, tmp_path / "s3")

    again.s3.client("s3").put_object(Bucket="landing", Key="sales/2011 01.csv", Body=b"a\n1\n")

    (record,) = events(again.s3)
    assert (unquote_plus(record["s3"]["object"]["key"]), record["eventName"]) == ("sales/2011 01.csv", "ObjectCreated:Put")
    again.stop()


def test_a_multipart_upload_is_kept_and_sends_one_event(tmp_path, server):
    wire(server.s3)
    client = server.s3.client("s3")
    upload = client.create_multipart_upload(Bucket="landing", Key="sales/big.csv")["UploadId"]
    parts = []
    for number, body in enumerate((b"a" * (5 << 20), b"b"), start=1):
        tag = client.upload_part(Bucket="landing", Key="sales/big.csv", UploadId=upload, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
    client.complete_multipart_upload(Bucket="landing", Key="sales/big.csv", UploadId=upload, MultipartUpload={"Parts": parts})

    assert [r["eventName"] for r in events(server.s3)] == ["ObjectCreated:CompleteMultipartUpload"]
    etag = client.head_object(Bucket="landing", Key="sales/big.csv")["ETag"]
    again = killed_and_started_again(server, tmp_path / "s3")
    kept = again.s3.client("s3").get_object(Bucket="landing", Key="sales/big.csv")
    assert (kept["ETag"], len(kept["Body"].read())) == (etag, (5 << 20) + 1)
    assert etag.endswith('-2"')
    again.stop()


def test_an_overwritten_object_leaves_no_bytes_behind(tmp_path, server):
    client = server.s3.client("s3")
    client.create_bucket(Bucket="landing")
    for body in (b"one", b"two", b"three"):
        client.put_object(Bucket="landing", Key="a", Body=body)

    assert [p.read_bytes() for p in (tmp_path / "s3" / "objects").iterdir()] == [b"three"]


def test_a_queue_answers_as_motos_does_without_counting_its_messages_for_each():
    from moto.sqs.models import Message, Queue, SQSBackend

    now, motos_messages, motos_is_kept = time.time() * 1000, Queue.messages.fget, SQSBackend.is_message_valid_based_on_retention_period
    backend = SQSBackend("us-east-1", "123456789012")
    queue = backend.create_queue("landing", {})
    for name, visible_at, delayed_until, sent in (("new", 0, 0, now), ("received", now + 9e5, 0, now), ("delayed", 0, now + 9e5, now), ("old", 0, 0, now - 5 * 86_400_000)):
        message = Message(name, "{}")
        message.visible_at, message.delayed_until, message.sent_timestamp = visible_at, delayed_until, sent
        queue._messages.append(message)
    expected = [m.id for m in motos_messages(queue)], [m.id for m in queue._messages if motos_is_kept(backend, "landing", m)]
    try:
        answer_without_counting()
        assert ([m.id for m in queue.messages], [m.id for m in queue._messages if backend.is_message_valid_based_on_retention_period("landing", m)]) == expected
    finally:
        Queue.messages, SQSBackend.is_message_valid_based_on_retention_period = property(motos_messages), motos_is_kept

    assert expected == (["new", "old"], ["new", "received", "delayed"])


def test_roles_survive(tmp_path, server):
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    server.s3.client("iam").create_role(RoleName="firn-reader", AssumeRolePolicyDocument=trust)

    again = killed_and_started_again(server, tmp_path / "s3")

    assert again.s3.client("iam").get_role(RoleName="firn-reader")["Role"]["Arn"] == "arn:aws:iam::123456789012:role/firn-reader"
    again.stop()


def test_a_port_in_use_is_said_plainly(tmp_path, server):
    port = int(server.endpoint.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=f"did not start on port {port}: .*in use"):
        local_s3.start(tmp_path / "other", port)


def test_the_server_ends_with_the_process_that_started_it(tmp_path):
    starter = subprocess.Popen(
        [sys.executable, "-c", "import sys,time; from pathlib import Path; from local import s3;"
         f"s = s3.start(Path({str(tmp_path)!r})); print(s.process.pid, flush=True); time.sleep(60)"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()

    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_clients_do_not_look_at_the_users_own_aws_settings(server, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HTTP_PROXY", "http://203.0.113.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")

    client = local_s3.S3(server.endpoint).client("s3")

    assert client.list_buckets()["Buckets"] == []
    assert client._request_signer._credentials.access_key == local_s3.ACCESS_KEY


def wire(s3: local_s3.S3) -> None:
    s3.client("s3").create_bucket(Bucket="landing")
    queue = s3.client("sqs").create_queue(QueueName="firn")["QueueUrl"]
    arn = s3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "sales/"}]}}}
    s3.client("s3").put_bucket_notification_configuration(Bucket="landing", NotificationConfiguration={"QueueConfigurations": [rule]})


def events(s3: local_s3.S3) -> list[dict]:
    url = s3.client("sqs").get_queue_url(QueueName="firn")["QueueUrl"]
    messages = s3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    return [record for m in messages for record in json.loads(m["Body"]).get("Records", [])]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")
