"""Python functions (UDFs), registered with DuckDB under a name of their own; by whole batches when the handler is vectorised.

docs.snowflake.com/en/developer-guide/udf/python/udf-python-batch: `handler._sf_vectorized_input = pandas.DataFrame` marks a handler
that takes a frame (one column per argument) and gives a series.
Differs: a function runs in the account's process, not in a sandbox. Its module comes from the application's files all the same.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from local.catalog import Thing
from local.errors import refused

if TYPE_CHECKING:
    from local.account import Account

TYPES = {"VARCHAR": "VARCHAR", "STRING": "VARCHAR", "TEXT": "VARCHAR", "BOOLEAN": "BOOLEAN", "NUMBER": "BIGINT", "INTEGER": "BIGINT", "INT": "BIGINT", "FLOAT": "DOUBLE", "DOUBLE": "DOUBLE", "DATE": "DATE", "TIMESTAMP_NTZ": "TIMESTAMP"}  # fmt: skip


def duck_name(function: Thing) -> str:
    return f"udf_{function.database}_{function.schema}_{function.name.replace('/', '_')}_{function['version'] or 0}".lower()


def register_functions(account: Account) -> None:
    """After a restart: make the functions known to DuckDB again."""
    for function in account.catalog.find("function"):
        register(account, function)


def register(account: Account, function: Thing) -> None:
    for kind in [p["type"] for p in function["parameters"]] + [function["returns"]]:
        if kind.split("(")[0] not in TYPES:
            raise refused(f"function {function.name}: the local account has no Python functions over {kind}")
    handler = load(account, function)
    name = duck_name(function)
    parameters = [TYPES[p["type"].split("(")[0]] for p in function["parameters"]]
    returns = TYPES[function["returns"].split("(")[0]]
    vectorised = getattr(handler, "_sf_vectorized_input", None) is not None
    arity = len(inspect.signature(handler).parameters)
    if arity != (1 if vectorised else len(parameters)):
        raise refused(f"function {function.name}: handler {function['handler']} takes {arity} arguments")
    wrapped: Callable[..., Any] = batches(handler, returns) if vectorised else handler
    connection = account.duck.duck_conn
    try:
        connection.remove_function(name)
    except Exception:  # not registered yet: DuckDB says so with different errors
        pass
    connection.create_function(name, wrapped, parameters, returns, type="arrow" if vectorised else "native", null_handling="special")
    account.duck.forget_plans()  # a plan may name the function of the version before


def batches(handler: Callable[..., Any], returns: str) -> Callable[..., Any]:
    import pandas as pd

    kind = {"VARCHAR": pa.string(), "BOOLEAN": pa.bool_(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us")}[returns]

    def over_arrow(*columns: pa.ChunkedArray) -> pa.Array:
        frame = pd.DataFrame({i: column.to_pandas() for i, column in enumerate(columns)})
        return pa.array(handler(frame), type=kind, from_pandas=True)

    return over_arrow


def load(account: Account, function: Thing) -> Callable[..., Any]:
    from local.workers import imports_folder

    folder = imports_folder(account, function)
    module_name, _, handler = function["handler"].rpartition(".")
    module_name = module_name or "_inline"  # a function with its body in the statement names no module
    path = folder / f"{module_name}.py"
    spec = importlib.util.spec_from_file_location(f"_firn_udf_{folder.name}_{module_name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
                del sys.modules[name]  # the next version brings its own
    return getattr(module, handler)


def resolve_function(account: Account, app: str | None, database: str | None, schema: str | None, parts: tuple[str, ...], arity: int | None = None) -> str | None:
    """The DuckDB name of a user-defined function, or None when the name is no such function."""
    if len(parts) == 1:
        parts = (schema or "", *parts)
    if len(parts) == 2:
        parts = (app or database or "", *parts)
    for function in account.catalog.find("function", database=parts[0].upper(), schema=parts[1].upper()):
        if function.name.rsplit("/", 1)[0] == parts[2].upper() and arity in (None, len(function["parameters"])):
            return duck_name(function)
    return None
