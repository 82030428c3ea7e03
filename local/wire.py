"""Results as Snowflake's drivers read them: a row type for each column, and rows as one Arrow stream or as JSON text.

The drivers' side of it: https://github.com/snowflakedb/snowflake-connector-python (nanoarrow_cpp/ArrowIterator).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

RowType = list[dict[str, Any]]

TEXT_LENGTH = 16_777_216
BINARY_LENGTH = 8_388_608

# DuckDB's type → Snowflake's, as the protocol spells it. TIMESTAMP WITH TIME ZONE is an instant without an offset of its
# own, which is what Snowflake calls TIMESTAMP_LTZ.
SNOWFLAKE_TYPES = {
    '"NULL"': "text",
    "BIGINT": "fixed",
    "BIT": "text",
    "BLOB": "binary",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DECIMAL": "fixed",
    "DOUBLE": "real",
    "FLOAT": "real",
    "HUGEINT": "fixed",
    "INTEGER": "fixed",
    "INTERVAL": "text",
    "JSON": "variant",
    "SMALLINT": "fixed",
    "TIME": "time",
    "TIME_NS": "time",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp_ltz",
    "TIMESTAMP_MS": "timestamp_ntz",
    "TIMESTAMP_NS": "timestamp_ntz",
    "TIMESTAMP_S": "timestamp_ntz",
    "TINYINT": "fixed",
    "UBIGINT": "fixed",
    "UHUGEINT": "fixed",
    "UINTEGER": "fixed",
    "USMALLINT": "fixed",
    "UTINYINT": "fixed",
    "UUID": "text",
    "VARCHAR": "text",
}
EPOCH = dt.datetime(1970, 1, 1)


def column(name: str, kind: str, *, precision: int = 38, scale: int = 0, nullable: bool = True) -> dict[str, Any]:
    """One column of a row type. `kind` is Snowflake's name in lower case (text, fixed, timestamp_ntz, variant, …)."""
    info: dict[str, Any] = {"name": name, "database": "", "schema": "", "table": "", "nullable": nullable, "type": kind}
    info |= {"byteLength": None, "length": None, "scale": None, "precision": None, "collation": None}
    if kind == "fixed":
        info |= {"precision": precision, "scale": scale}
    elif kind == "text":
        info |= {"length": TEXT_LENGTH, "byteLength": TEXT_LENGTH}
    elif kind == "binary":
        info |= {"length": BINARY_LENGTH, "byteLength": BINARY_LENGTH}
    elif kind.startswith("time"):
        info |= {"precision": 0, "scale": 9}
    return info


def column_of(name: str, duck_type: str) -> dict[str, Any]:
    """The column for a DuckDB type as DuckDB prints it.

    >>> column_of("N", "DECIMAL(10,2)")["precision"], column_of("N", "INTEGER[]")["type"]
    (10, 'array')
    """
    if decimal := re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", duck_type):
        return column(name, "fixed", precision=int(decimal[1]), scale=int(decimal[2]))
    if duck_type.endswith("]"):
        return column(name, "array")
    if duck_type.startswith(("STRUCT", "MAP")):
        return column(name, "object")
    return column(name, SNOWFLAKE_TYPES.get(duck_type, "variant" if duck_type.startswith("UNION") else "text"))


def rowtype(described: Iterable[Sequence[Any]]) -> RowType:
    """The row type for what DuckDB says of a result: rows that start with a name and a type (a description or DESCRIBE)."""
    return [column_of(row[0], str(row[1])) for row in described]


def payload(table: pa.Table | None, columns: RowType) -> dict[str, Any]:
    """The part of a query's answer that carries rows, as Arrow."""
    rows = table.num_rows if table is not None else 0
    encoded = b64encode(stream(table, columns)).decode() if table is not None and rows else ""
    return {"rowtype": columns, "total": rows, "returned": rows, "queryResultFormat": "arrow", "rowsetBase64": encoded}


def json_payload(table: pa.Table | None, columns: RowType) -> dict[str, Any]:
    """The same as JSON text: drivers read the counts of a DML statement from it."""
    rows = zip(*[c.to_pylist() for c in table.columns], strict=True) if table is not None else ()
    texts = [[None if value is None else str(value) for value in row] for row in rows]
    return {"rowtype": columns, "total": len(texts), "returned": len(texts), "queryResultFormat": "json", "rowset": texts}


def rows_payload(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """An answer made in Python: `columns` are (name, Snowflake's type in lower case)."""
    return payload(*rows_table(columns, rows))


def rows_table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> tuple[pa.Table, RowType]:
    """Python rows as an Arrow table and its row type; NUMBER takes its scale from the values."""
    infos, arrays = [], []
    for i, (name, kind) in enumerate(columns):
        array = python_array([row[i] for row in rows], kind)
        scale = array.type.scale if pa.types.is_decimal(array.type) else 0
        infos.append(column(name, kind, scale=scale))
        arrays.append(array)
    return pa.Table.from_arrays(arrays, names=[f"{i}" for i in range(len(arrays))]), infos


def python_array(values: list[Any], kind: str) -> pa.Array:
    """Python values as the Arrow type that `stream` takes for this kind."""
    match kind:
        case "fixed":
            if any(isinstance(v, (Decimal, float)) and v != int(v) for v in values if v is not None):
                return pa.array([None if v is None else Decimal(str(v)) for v in values])
            return pa.array([None if v is None else int(v) for v in values], pa.int64())
        case "real":
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
        case "boolean":
            return pa.array(values, pa.bool_())
        case "date":
            return pa.array(values, pa.date32())
        case "time":
            return pa.array(values, pa.time64("us"))
        case "binary":
            return pa.array(values, pa.binary())
        case "timestamp_ntz":
            return pa.array(values, pa.timestamp("us"))
        case "timestamp_ltz" | "timestamp_tz":
            aware = [v.replace(tzinfo=dt.UTC) if isinstance(v, dt.datetime) and v.tzinfo is None else v for v in values]
            return pa.array(aware, pa.timestamp("us", tz="UTC"))
        case "variant" | "array" | "object":
            return pa.array([v if v is None or isinstance(v, str) else json.dumps(v, default=str) for v in values], pa.string())
        case _:
            return pa.array([None if v is None else str(v) for v in values], pa.string())


def parameter(binding: dict[str, Any]) -> Any:
    """A bound value from the text the drivers send: nanoseconds for times, milliseconds for dates.

    fakesnow's converter fails on a NUMBER with decimals, and gives TIMESTAMP_NTZ a time zone.
    """
    kind, value = binding.get("type"), binding.get("value")
    if value is None:
        return None
    match kind:
        case "FIXED":
            return int(value) if re.fullmatch(r"[-+]?\d+", value) else Decimal(value)
        case "REAL":
            return float(value)
        case "BOOLEAN":
            return value.lower() == "true"
        case "BINARY":
            return bytes.fromhex(value)
        case "DATE":
            return EPOCH.date() + dt.timedelta(milliseconds=int(value))
        case "TIME":
            return (EPOCH + dt.timedelta(microseconds=int(value) // 1_000)).time()
        case "TIMESTAMP_NTZ":
            return EPOCH + dt.timedelta(microseconds=int(value) // 1_000)
        case "TIMESTAMP_LTZ" | "TIMESTAMP_TZ":
            return (EPOCH + dt.timedelta(microseconds=int(value.split()[0]) // 1_000)).replace(tzinfo=dt.UTC)
        case _:
            return value


def stream(table: pa.Table, columns: RowType) -> bytes:
    """The table as one Arrow stream, each field with the metadata by which the drivers choose a converter."""
    fields, arrays = [], []
    for info, values in zip(columns, table.columns, strict=True):
        array = driver_array(values, info)
        metadata = {
            "logicalType": info["type"].upper(),
            "precision": str(info["precision"] or 38),
            "scale": str(info["scale"] or 0),
            "charLength": str(info["length"] or 0),
            "byteLength": "16",
        }
        fields.append(pa.field(info["name"], array.type, metadata=metadata))
        arrays.append(array)
    sink = pa.BufferOutputStream()
    whole = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return sink.getvalue().to_pybytes()


def driver_array(values: pa.ChunkedArray, info: dict[str, Any]) -> pa.Array | pa.ChunkedArray:
    kind = values.type
    if pa.types.is_timestamp(kind):
        return timestamp_struct(values, with_offset=info["type"] == "timestamp_tz")
    if pa.types.is_time(kind):
        return pc.cast(pc.cast(values, pa.time64("ns")), pa.int64())
    if pa.types.is_decimal(kind) and info["scale"] == 0:
        return whole_numbers(values)
    if pa.types.is_unsigned_integer(kind):
        return whole_numbers(pc.cast(values, pa.decimal128(20, 0)))
    if pa.types.is_float32(kind):
        return pc.cast(values, pa.float64())
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return pc.cast(values, pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if v is None else json.dumps(v, default=str) for v in values.to_pylist()], pa.string())
    if pa.types.is_interval(kind) or pa.types.is_duration(kind):
        return pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())
    return values


def whole_numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """As 64-bit integers where they fit: the driver gives `int` for those and `Decimal` for 128 bits."""
    try:
        return pc.cast(values, pa.int64())
    except pa.ArrowInvalid:
        return values


def timestamp_struct(values: pa.ChunkedArray | pa.Array, *, with_offset: bool = False) -> pa.StructArray:
    """Timestamps as the drivers take them: seconds since 1970, nanoseconds, and for TIMESTAMP_TZ minutes of offset + 1440.

    A NULL is NULL in the struct and in its parts; fakesnow leaves the struct without a mask, and NULL arrives as 1970.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        array = pa.array([], values.type)
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[array.type.unit]
    ticks = pc.cast(array, pa.int64())
    whole = pc.divide(ticks, per_second)
    # Arrow divides towards zero; an instant before 1970 lies in the second that starts before it.
    behind = pc.less(ticks, pc.multiply(whole, per_second))
    epoch = pc.subtract(whole, pc.cast(behind, pa.int64()))
    fraction = pc.multiply(pc.subtract(ticks, pc.multiply(epoch, per_second)), 1_000_000_000 // per_second)
    parts = {"epoch": epoch, "fraction": pc.cast(fraction, pa.int32())}
    if with_offset:
        parts["timezone"] = pa.array([1440] * len(array), pa.int32())
    return pa.StructArray.from_arrays(list(parts.values()), names=list(parts), mask=pc.is_null(array))
