"""What connects a bucket to Snowpipe: an event for every new object, sent to the pipe's queue.

The queue is the `notification_channel` of the pipe (DESC PIPE). The bucket's notifications that are there already are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

EVENTS = ["s3:ObjectCreated:*"]


def make_bucket(s3: Any, bucket: str) -> bool:
    """Create the bucket if it is not there; True when it was made."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as e:
        if e.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.create_bucket(Bucket=bucket)
        return True
    return False


def send_events(s3: Any, bucket: str, queue_arn: str, prefix: str) -> bool:
    """Have objects under the prefix reported to the queue; True when that was not so yet.

    A prefix that overlaps another queue's is refused, as S3 refuses it.
    """
    there = s3.get_bucket_notification_configuration(Bucket=bucket)
    there.pop("ResponseMetadata", None)
    queues = there.get("QueueConfigurations", [])
    for queue in queues:
        other = prefix_of(queue)
        if other == prefix and queue["QueueArn"] == queue_arn:
            return False
        if other.startswith(prefix) or prefix.startswith(other):
            raise ValueError(
                f"bucket {bucket}: the prefix '{prefix}' overlaps '{other}', whose events go to {queue['QueueArn']}. "
                "S3 sends an object's event to one place: choose another prefix or remove that notification first."
            )
    rule = {
        "Id": f"firn {prefix}",
        "QueueArn": queue_arn,
        "Events": EVENTS,
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
    }
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={**there, "QueueConfigurations": [*queues, rule]})
    return True


def prefix_of(queue: dict[str, Any]) -> str:
    rules = queue.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return next((rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"), "")


def put_folder(s3: Any, bucket: str, folder: Path) -> list[str]:
    """Upload every file below a folder under its own path, in name order; gives the keys."""
    keys = []
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = file.relative_to(folder).as_posix()
        s3.upload_file(str(file), bucket, key)
        keys.append(key)
    return keys
