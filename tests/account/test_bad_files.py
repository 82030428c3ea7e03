"""What becomes of bad files: the table in docs/bad-input.md, row by row, from the file to silver or quarantine.

Each file goes through the pipe that `firn setup-sql` writes (on an internal stage, for want of a bucket) and through the load step.
The page says what the pipe did, what the load did, and where it is to be seen; the files are made here.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spec_file

from local.pipes_poller import Poller
from local.place import ROOT
from local.setup_sql import sources_sql, verify_sql
from local.stages import stage_folder
from tests.bench.account import Bench
from tests.conftest import alone

COLUMNS = """
    key: [id]
    effective_at: changed_at
    columns:
      id:         {type: integer}
      name:       {type: text}
      amount:     {type: "number(38,0)"}
      price:      {type: "number(12,2)"}
      born_on:    {type: date}
      changed_at: {type: timestamp}
"""
SPEC = "pipeline: bad\nschedule: 1 hour\nsources:\n" + "".join(
    f"  {name}:\n    files: {{prefix: {name}/, format: {kind}}}{COLUMNS}" for name, kind in [("lines", "csv"), ("documents", "json"), ("tables", "parquet")]
)
HEAD = "id,name,amount,price,born_on,changed_at\n"
NOW = "2024-01-01 00:00:00"


def line(key: int, **values: Any) -> str:
    row = {"id": key, "name": "Ann", "amount": 1, "price": "1.50", "born_on": "2000-01-01", "changed_at": NOW, **values}
    return ",".join(str(value) for value in row.values()) + "\n"


def document(key: int, **values: Any) -> str:
    return json.dumps({"id": key, "changed_at": NOW, **values})


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


WIDE = [f"extra_{number}" for number in range(494)]
FILES: dict[str, str | bytes] = {
    "lines/zero_bytes.csv": b"",
    "lines/header_only.csv": HEAD,
    "lines/blank_lines.csv": HEAD + "\n" + line(1) + "\n",
    "lines/no_header.csv": line(2) + line(3),
    "lines/semicolons.csv": (HEAD + line(4)).replace(",", ";"),
    "lines/byte_order_mark.csv": "\ufeff" + HEAD + line(5),
    "lines/latin_1.csv": (HEAD + line(6, name="Müller") + line(7)).encode("latin-1"),
    "lines/megabyte_field.csv": HEAD + line(8, name="x" * 1024 * 1024),
    "lines/500_columns.csv": ",".join([HEAD.strip(), *WIDE]) + "\n" + ",".join([line(9).strip(), *WIDE]) + "\n",
    "lines/header_twice.csv": HEAD.replace("name", "name,name") + line(10, name="Ann,Ben"),
    "lines/short_and_long_lines.csv": HEAD + "11,Ann\n" + line(12).strip() + ",more\n",
    "lines/quote_never_closed.csv": HEAD + line(13) + line(14, name='"Ann'),
    "lines/number_of_39_digits.csv": HEAD + line(15, amount="1" * 39) + line(16, price="12345678901.00"),
    "lines/year_9999.csv": HEAD + line(17, born_on="9999-12-31", changed_at="9999-12-31 23:59:59"),
    "lines/year_10000.csv": HEAD + line(18, born_on="10000-01-01") + line(19, changed_at="10000-01-01 00:00:00"),
    "lines/year_0000.csv": HEAD + line(20, born_on="0000-01-01") + line(21, changed_at="0000-01-01 00:00:00"),
    "lines/day_that_is_none.csv": HEAD + line(22, born_on="2023-02-29"),
    "lines/not_text_at_all.csv": bytes(range(256)) * 4,
    "documents/no_object.json": '[{"id": 30}]\n31\n"text"\nnull\n' + document(32),
    "documents/over_several_lines.json": json.dumps(json.loads(document(33)), indent=2) + "\n" + document(34),
    "documents/cut_off.json": document(35) + "\n" + document(36)[:-5],
    "documents/zero_bytes.json": b"",
    "documents/other_types.json": document(37, name={"first": "Ann"}, amount=[1], born_on=7),
    "tables/nested.parquet": parquet(id=[40], name=[{"first": "Ann", "tags": ["a", None]}], amount=[[1, 2]], changed_at=[NOW]),
    "tables/no_parquet.parquet": HEAD + line(41),
    "tables/no_rows.parquet": parquet(id=pa.array([], pa.int64()), changed_at=pa.array([], pa.string())),
    "tables/zero_bytes.parquet": b"",
}


class Files:
    """All files after their pipes and one load of each source."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder, SPEC)
        self.account, admin = self.bench.account, self.bench.account.session()
        formats = (ROOT / "setup_sql/04_file_formats_and_stage.sql").read_text().split("CREATE STAGE")[0]
        pipes = sources_sql(spec_file.parse(SPEC)).replace("    AUTO_INGEST = TRUE\n", "")
        made = ("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze", "CREATE STAGE firn_landing.bronze.landing")
        for sql in (*made, *statements(formats), *statements(pipes)):
            self.account.answer(admin, sql)
        for path, content in FILES.items():
            file = stage_folder(self.account, "FIRN_LANDING", "BRONZE", "LANDING") / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        for source in ("lines", "documents", "tables"):
            self.account.answer(admin, f"ALTER PIPE firn_landing.bronze.{source}_pipe REFRESH")
        poller = Poller(self.account)
        poller._load_all(poller._delivered([]))  # what `step` does, where no queue is
        self.counts = {source: self.bench.step("bad", "load", source)["counts"] for source in ("lines", "documents", "tables")}

    def at_the_pipe(self, path: str) -> str:
        """What COPY_HISTORY tells of a file: `Loaded, 2 rows`, or why it was not."""
        start = time.strftime("%Y-%m-%d 00:00:00", time.gmtime(time.time() - 86400))
        source, name = path.split("/")
        history = f"COPY_HISTORY(TABLE_NAME => 'firn_landing.bronze.{source}', START_TIME => '{start}'::TIMESTAMP_LTZ)"
        sql = f"SELECT status, row_count, first_error_message FROM TABLE(firn_landing.INFORMATION_SCHEMA.{history}) WHERE file_name LIKE '%{name}'"
        ((status, rows, error),) = (tuple(row) for row in self.bench.session.sql(sql).collect())
        return f"{status}: {error.removeprefix(f'{path}: ').split(': ')[0]}" if error else f"{status}, {counted(rows, 'row')}"

    def at_the_load(self, path: str) -> str:
        """What the load made of a file's rows: `1 event, 1 quarantined (id_is_integer)`."""
        source, name = path.split("/")
        (events,) = self.bench.duck(f"SELECT count(*) FROM firn.silver.{source} WHERE file_name LIKE '%{name}'")[0]
        failed = self.bench.duck(f"SELECT failed_checks::VARCHAR FROM firn.control.quarantine WHERE file_name LIKE '%{name}' ORDER BY row_number")
        checks = list(dict.fromkeys(check for (text,) in failed for check in json.loads(text)))
        parts = [counted(events, "event")] if events else []
        parts += [f"{len(failed)} quarantined ({', '.join(checks)})"] if failed else []
        return ", ".join(parts) or "nothing"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def statements(script: str) -> Iterator[str]:
    for statement in re.split(r";\s*\n", re.sub(r"--[^\n]*", "", script)):
        if statement.strip() and not statement.strip().startswith("USE"):
            yield statement.strip().rstrip(";")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    opened = Files(tmp_path_factory.mktemp("bad"))
    with alone(opened.bench.session):
        yield opened
        opened.bench.close()


def documented() -> dict[str, tuple[str, str]]:
    """What the page says of each file."""
    text = (ROOT / "docs/bad-input.md").read_text(encoding="utf-8")
    rows = [[cell.strip().replace("`", "") for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| `")]
    return {row[0]: (row[2], row[3]) for row in rows}


def test_the_page_speaks_of_every_file_and_of_no_other():
    assert list(documented()) == list(FILES)


@pytest.mark.parametrize("path", FILES)
def test_a_file_has_the_outcome_that_is_documented(files, path):
    assert (files.at_the_pipe(path), files.at_the_load(path)) == documented()[path]


@pytest.mark.parametrize("source", ["lines", "documents", "tables"])
def test_every_row_that_came_to_bronze_is_accounted_for(files, source):
    (arrived,) = files.bench.duck(f"SELECT count(*) FROM firn_landing.bronze.{source}")[0]

    counts = files.counts[source]

    assert counts["read"] == arrived == counts["written"] + counts["quarantined"]


def test_a_skipped_file_is_found_by_the_query_that_comes_with_the_sources(files):
    """The queries of setup_sql/90_verify, for these sources."""
    script = verify_sql(spec_file.parse(SPEC)).split("or not whole; one query per table.")[1]
    found = [row["FILE_NAME"] for sql in statements(script) for row in files.bench.session.sql(sql).collect()]

    assert sorted(found) == sorted(path for path, (pipe, _) in documented().items() if pipe.startswith("Load failed"))
