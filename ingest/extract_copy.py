"""COPY … TO STDOUT by libpq's own calls: psycopg's copy waits anew for each row, which took half of an extract's time."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import pq, sql


class Copied:
    """The messages of one COPY, a row each, the header first; `count` is the server's number of rows, once all were read.

    Raises what psycopg raises.  Left before its end, it cancels the COPY, so that the connection can be asked again.
    """

    def __init__(self, connection: psycopg.Connection[Any], statement: sql.Composed) -> None:
        self.connection, self.statement, self.count = connection, statement.as_bytes(connection), 0

    def __iter__(self) -> Iterator[memoryview]:
        server = self.connection.pgconn
        server.send_query(self.statement)
        while server.flush():
            select.select([], [server.socket], [])
        began = self._result()
        if began.status != pq.ExecStatus.COPY_OUT:
            self._refuse(began)
        is_over = False
        try:
            while True:
                size, row = server.get_copy_data(1)
                if size > 0:
                    yield row
                elif size == 0:
                    self._wait()
                else:
                    is_over = True
                    break
        finally:
            if not is_over:
                self._give_up()
        ended = self._result()
        if ended.status != pq.ExecStatus.COMMAND_OK:
            self._refuse(ended)
        self.count = ended.command_tuples or 0
        self._settle()

    def _wait(self) -> None:
        select.select([self.connection.pgconn.socket], [], [])
        self.connection.pgconn.consume_input()

    def _result(self) -> Any:
        while self.connection.pgconn.is_busy():
            self._wait()
        return self.connection.pgconn.get_result()

    def _settle(self) -> None:
        """Takes what the server still says of this statement: until then it takes no other."""
        while self._result() is not None:
            pass

    def _refuse(self, result: Any) -> None:
        self._settle()
        raise psycopg.errors.error_from_result(result)

    def _give_up(self) -> None:
        try:
            self.connection.cancel_safe(timeout=5)
            while self.connection.pgconn.get_copy_data(0)[0] > 0:
                pass
            self._settle()
        except psycopg.Error:  # the connection is gone; what ended the COPY is told, not this
            pass
