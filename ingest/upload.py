"""One new object in S3, written in parts as the bytes come: complete and checked, or not there at all.

An object that exists is never overwritten, and what was begun and not finished leaves nothing that a pipe could load.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

PART_BYTES = 8 << 20
# S3 takes 10,000 parts: 8 MiB each for the first 2,000, then 64 MiB, lets an object grow to 515 GiB in bounded memory.
SMALL_PARTS, LARGE_PART_BYTES = 2000, 64 << 20


class Refused(Exception):
    """What went wrong and what to do about it, told to the user as it is."""


class NameTaken(Refused):
    """Another object has this name already."""


@dataclass(frozen=True)
class Sent:
    """An object that S3 confirmed."""

    key: str
    size: int
    etag: str


class Upload:
    """Takes bytes by `write`; `finish` makes the object appear; leaving the block without it leaves nothing behind."""

    def __init__(self, s3: Any, bucket: str, key: str, metadata: dict[str, str] | None = None) -> None:
        self.s3, self.bucket, self.key, self.metadata = s3, bucket, key, metadata or {}
        self.size = 0
        self._held = bytearray()
        self._upload_id: str | None = None
        self._digests: list[bytes] = []
        self._parts: list[Future[dict[str, Any]]] = []
        self._sender = ThreadPoolExecutor(max_workers=1)
        self._is_finished = False

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._is_finished:
            self._abort()
        self._sender.shutdown()

    def write(self, data: bytes | memoryview) -> None:
        self._held += data
        self.size += len(data)
        while len(self._held) >= (wanted := part_bytes(len(self._parts) + 1)):
            part = bytes(memoryview(self._held)[:wanted])
            del self._held[:wanted]
            self._send(part)

    def finish(self) -> Sent:
        """Complete the object if nothing has its name, and read back that S3 holds as many bytes with the same checksum."""
        with told(self.bucket, self.key):
            etag = self._complete() if self._upload_id else self._put()
            self._is_finished = True
            there = self.s3.head_object(Bucket=self.bucket, Key=self.key)
        expected = etag_of(self._digests, is_multipart=self._upload_id is not None)
        # With a KMS key the ETag is no checksum; the parts were checked one by one, by Content-MD5, when they arrived.
        is_checksum = there.get("ServerSideEncryption", "AES256") == "AES256"
        if there["ContentLength"] != self.size or (is_checksum and there["ETag"].strip('"') != expected):
            raise Refused(
                f"s3://{self.bucket}/{self.key} is not what was sent: {self.size} bytes with checksum {expected} went out, "
                f"S3 holds {there['ContentLength']} with {there['ETag']}. Something else wrote it meanwhile; look at it before running again."
            )
        return Sent(self.key, self.size, etag)

    def _send(self, part: bytes) -> None:
        if self._upload_id is None:
            with told(self.bucket, self.key):
                begun = self.s3.create_multipart_upload(Bucket=self.bucket, Key=self.key, Metadata=self.metadata)
            self._upload_id = begun["UploadId"]
        # One part is on its way while the next is filled; the wait bounds the memory, and tells of a failure early.
        if self._parts:
            with told(self.bucket, self.key):
                self._parts[-1].result()
        digest = hashlib.md5(part, usedforsecurity=False).digest()
        self._digests.append(digest)
        self._parts.append(self._sender.submit(self._send_part, len(self._parts) + 1, part, digest))

    def _send_part(self, number: int, part: bytes, digest: bytes) -> dict[str, Any]:
        answer = self.s3.upload_part(
            Bucket=self.bucket,
            Key=self.key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=part,
            ContentMD5=base64.b64encode(digest).decode(),
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self) -> str:
        if self._held:
            self._send(bytes(self._held))
        parts = [part.result() for part in self._parts]
        answer = self.s3.complete_multipart_upload(
            Bucket=self.bucket, Key=self.key, UploadId=self._upload_id, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
        )
        return answer["ETag"].strip('"')

    def _put(self) -> str:
        digest = hashlib.md5(self._held, usedforsecurity=False).digest()
        self._digests.append(digest)
        answer = self.s3.put_object(
            Bucket=self.bucket, Key=self.key, Body=bytes(self._held), Metadata=self.metadata,
            ContentMD5=base64.b64encode(digest).decode(), IfNoneMatch="*",
        )  # fmt: skip
        return answer["ETag"].strip('"')

    def _abort(self) -> None:
        if self._upload_id is None:
            return
        for part in self._parts:
            with contextlib.suppress(Exception):
                part.result()
        # Best effort: the error that brought us here is the one to tell. A lifecycle rule removes what a killed process leaves.
        with contextlib.suppress(ClientError, BotoCoreError):
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self._upload_id)


def part_bytes(number: int) -> int:
    """Size of the n-th part, counted from 1.

    >>> part_bytes(1), part_bytes(2000), part_bytes(2001)
    (8388608, 8388608, 67108864)
    """
    return PART_BYTES if number <= SMALL_PARTS else LARGE_PART_BYTES


def etag_of(digests: list[bytes], *, is_multipart: bool) -> str:
    """The ETag S3 gives an object by the MD5 of its parts.

    >>> etag_of([hashlib.md5(b"a").digest()], is_multipart=False)
    '0cc175b9c0f1b6a831c399e269772661'
    >>> etag_of([hashlib.md5(b"a").digest()], is_multipart=True)
    'b6ff9a06b7e20bcb2858c5b8ff744aea-1'
    """
    if not is_multipart:
        return digests[0].hex()
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


@contextlib.contextmanager
def told(bucket: str, key: str) -> Any:
    """What S3 answers, in the words of whoever has to mend it."""
    try:
        yield
    except ClientError as e:
        raise explained(e, bucket, key) from e
    except BotoCoreError as e:
        raise Refused(
            f"s3://{bucket}/{key}: S3 cannot be reached ({e}). Nothing was sent; check the network and the endpoint, then run again."
        ) from e


def explained(error: ClientError, bucket: str, key: str) -> Refused:
    code = error.response["Error"].get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = error.response["Error"].get("Region") or headers.get("x-amz-bucket-region")
    if code in ("PreconditionFailed", "ConditionalRequestConflict") or status == 412:
        return NameTaken(f"s3://{bucket}/{key} exists already and is never overwritten.")
    if code == "NoSuchBucket":
        return Refused(f"there is no bucket {bucket}. Create it (firn aws apply) or correct --bucket.")
    if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301") or status == 301:
        where = f" It is in {region}: set AWS_REGION={region}." if region else " Set AWS_REGION to its region."
        return Refused(f"bucket {bucket} is in another region than this client.{where}")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        return Refused(f"AWS does not accept the credentials ({code}). Renew or correct them, then run again; nothing was sent.")
    if code in ("AccessDenied", "403") or status == 403:
        return Refused(
            f"s3://{bucket}/{key}: access denied. The user or role needs s3:PutObject, s3:GetObject and s3:AbortMultipartUpload "
            f"on {bucket}/* and s3:ListBucket on {bucket}."
        )
    return Refused(f"s3://{bucket}/{key}: S3 answered {code}: {error.response['Error'].get('Message', '')}. Nothing was lost; run again.")
