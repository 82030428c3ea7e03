"""From the CSV that Postgres streams to the bytes of an object: gzip, plain, or Parquet, never more than a few MB at once."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

# zlib level 1: Postgres stays the slower side; level 6 halves the speed for a tenth of the size.
GZIP, LEVEL = 31, 1
CHUNK = 1 << 18
BLOCK, ROW_GROUP = 1 << 20, 16 << 20


def write_gzip(rows: Iterable[bytes | memoryview], write: Callable[[bytes], None], names: Sequence[str]) -> None:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    for chunk in chunks(rows):
        if packed := packer.compress(chunk):
            write(packed)
    write(packer.flush())


def write_plain(rows: Iterable[bytes | memoryview], write: Callable[[bytes], None], names: Sequence[str]) -> None:
    for chunk in chunks(rows):
        write(chunk)


def write_parquet(rows: Iterable[bytes | memoryview], write: Callable[[bytes], None], names: Sequence[str]) -> None:
    """Every column as text, as Postgres prints it: bronze keeps text, and a value no type holds (infinity, 9999) gets through."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    source = pa.PythonFile(Readable(rows), mode="r")
    sink = pa.PythonFile(Writable(write), mode="w")
    schema = pa.schema([(name, pa.string()) for name in names])
    reader = pc.open_csv(
        source,
        read_options=pc.ReadOptions(block_size=BLOCK, use_threads=False),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        # Postgres writes NULL as nothing and '' as "": only what is not quoted may become NULL.
        convert_options=pc.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        group: list[Any] = []
        for batch in reader:
            group.append(batch)
            if sum(one.nbytes for one in group) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(group))
                group = []
        if group:
            writer.write_table(pa.Table.from_batches(group))


def chunks(rows: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The same bytes in pieces worth a call each.

    >>> list(chunks([b"a,b\\n", b"1,2\\n"]))
    [b'a,b\\n1,2\\n']
    """
    held = bytearray()
    for row in rows:
        held += row
        if len(held) >= CHUNK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


class Readable(io.RawIOBase):
    """What is streamed, as a file to read from."""

    def __init__(self, rows: Iterable[bytes | memoryview]) -> None:
        self._chunks = chunks(rows)
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._held:
            self._held = memoryview(next(self._chunks, b""))
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count

    def read(self, size: int = -1) -> bytes:
        """Filled up to `size`: pyarrow takes a short read for the end of the file."""
        parts, wanted = [], size
        while wanted != 0:
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    break
            taken = self._held if wanted < 0 else self._held[:wanted]
            parts.append(bytes(taken))
            self._held = self._held[len(taken) :]
            wanted = wanted - len(taken) if wanted > 0 else wanted
        return b"".join(parts)


class Writable(io.RawIOBase):
    """A file to write to, that hands on what it gets."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write, self._at = write, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        self._write(bytes(data))
        self._at += len(data)
        return len(data)


WRITERS = {"csv.gz": write_gzip, "csv": write_plain, "parquet": write_parquet}
