"""An extract's watermark: a small JSON object in the bucket, under `_extract/`, beside the files and outside every pipe's prefix.

It stands in the bucket, not on the machine that runs the extract: it is there when another machine takes over, it is backed up with
the files it speaks of, and S3's conditional writes keep two extracts of one table apart.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from ingest.upload import NameTaken, Refused, told


@dataclass(frozen=True)
class State:
    """What is known after the last extract: all rows whose tracking column is below `watermark` are in confirmed objects."""

    table: str
    column: str
    by: str
    watermark: str | None = None
    columns: tuple[str, ...] = ()
    last_key: str = ""


def state_key(prefix: str, table: str) -> str:
    """
    >>> state_key("shop/orders/", "public.orders")
    '_extract/shop/orders/public.orders.json'
    """
    return f"_extract/{prefix}{table}.json"


def read_state(s3: Any, bucket: str, key: str) -> tuple[State | None, str]:
    """The state and its ETag; None when nothing was extracted yet."""
    with told(bucket, key):
        try:
            answer = s3.get_object(Bucket=bucket, Key=key)
        except ClientError as e:
            if e.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None, ""
            raise
        body = answer["Body"].read()
    try:
        fields = json.loads(body)
        return State(**{**fields, "columns": tuple(fields["columns"])}), answer["ETag"]
    except (ValueError, TypeError, KeyError) as e:
        raise Refused(
            f"s3://{bucket}/{key} is no state of an extract ({e}). Restore an earlier version of it, or delete it to begin afresh."
        ) from e


def move_watermark(s3: Any, bucket: str, key: str, state: State, etag: str) -> str:
    """Write the state if nobody else has since it was read; gives the new ETag."""
    body = json.dumps(asdict(state), indent=2).encode()
    condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    try:
        with told(bucket, key):
            return s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition)["ETag"]
    except NameTaken as e:
        raise Refused(
            f"another extract of {state.table} moved the watermark in s3://{bucket}/{key} meanwhile. Both sent their rows, so none is lost and "
            "some were sent twice. Let only one run at a time."
        ) from e
