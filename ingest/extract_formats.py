"""From the CSV that Postgres streams to the bytes of an object: gzip, plain, or Parquet, never more than a few MB at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from isal import isal_zlib

# ISA-L makes gzip in a quarter of the time that zlib's level 1 takes, a tenth smaller: Postgres stays the slower side.
GZIP, LEVEL = 31, 1
CHUNK = 1 << 20
ROW_GROUP = 2 << 20  # of CSV; larger ones cost twenty times as much memory


def write_gzip(rows: Iterable[bytes | memoryview], write: Callable[[bytes], None], names: Sequence[str]) -> None:
    # It is compressed while the next rows come in: Python lets others run meanwhile.
    packer, waiting = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP), None
    with ThreadPoolExecutor(max_workers=1) as beside:
        for chunk in chunks(rows):
            if waiting is not None:
                write(waiting.result())
            waiting = beside.submit(packer.compress, chunk)
        if waiting is not None:
            write(waiting.result())
    write(packer.flush())


def write_plain(rows: Iterable[bytes | memoryview], write: Callable[[bytes], None], names: Sequence[str]) -> None:
    for chunk in chunks(rows):
        write(chunk)


def write_parquet(rows: Iterable[bytes | memoryview], write: Callable[[bytes], None], names: Sequence[str]) -> None:
    """Every column as text, as Postgres prints it: bronze keeps text, and a value no type holds (infinity, 9999) gets through."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in names])
    # Postgres writes NULL as nothing and '' as "": only what is not quoted may become NULL.
    convert = pc.ConvertOptions(column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False)
    # Blocks of whole rows, one by one: pyarrow's own streaming reader reads ahead as it likes.
    read, parse = pc.ReadOptions(column_names=names, use_threads=False), pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    lines = iter(rows)
    next(lines, None)  # the header
    with pq.ParquetWriter(pa.PythonFile(Writable(write), mode="w"), schema, compression="zstd") as writer:
        for block in chunks(lines, ROW_GROUP):
            writer.write_table(pc.read_csv(pa.BufferReader(block), read, parse, convert))


def chunks(rows: Iterable[bytes | memoryview], size: int = CHUNK) -> Iterator[bytes]:
    """The same bytes in pieces worth a call each, cut between rows: Postgres sends each row as one message.

    >>> list(chunks([b"a,b\\n", b"1,2\\n"]))
    [b'a,b\\n1,2\\n']
    """
    held = bytearray()
    for row in rows:
        held += row
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


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
