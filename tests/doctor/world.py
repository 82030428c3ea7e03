"""One local account for the doctor to look at: setup scripts run, bucket wired, two pipelines applied, files loaded, graph run.

It runs in this process and answers on its port, so that `firn doctor` reaches it as it reaches any; what would take clients of its
own (`snow`) is done by the account's own hand, as making it must not take half a minute.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from snowflake.connector.util_text import split_statements

from local import aws, cli, doctor, doctor_facts, s3, setup_sql
from local.doctor_findings import WRONG, Finding, Hand
from local.pipes_poller import Poller
from local.place import ROOT, Place
from local.rig import Rig, spec_file
from local.scheduler import run_graph
from local.tasks import find, history

SHOP = """
pipeline: retail
schedule: 1 hour
retention: {bronze: 7 days}
freshness: {orders: 2 hours}
sources:
  customers:
    files: {prefix: crm/customers/, format: csv}
    key: [customer_id]
    effective_at: updated_at
    columns:
      customer_id: {type: integer}
      city:        {type: text, clean: [trim]}
      updated_at:  {type: timestamp}
    checks:
      city_is_given: city is not null
  orders:
    files: {prefix: shop/orders/, format: csv}
    key: [order_id]
    effective_at: ordered_at
    columns:
      order_id:    {type: integer}
      customer_id: {type: integer}
      ordered_at:  {type: timestamp}
dimensions:
  dim_customer: {from: customers, tracked: [city]}
facts:
  fact_orders:
    from: orders
    grain: [order_id]
    at: ordered_at
    lookups: {customer: {dimension: dim_customer, by: customer_id}}
"""
SITE = """
pipeline: site
when: arrival
schedule: 1 hour
sources:
  visits:
    files: {prefix: web/visits/, format: csv}
    key: [visit_id]
    effective_at: visited_at
    columns:
      visit_id:   {type: integer}
      visited_at: {type: timestamp}
"""
FILES = {
    "crm/customers/1.csv": "customer_id,city,updated_at\n1,Oslo,2024-01-01 00:00:00\n2,Rome,2024-01-01 00:00:00\n3,,2024-01-01 00:00:00\n",
    "shop/orders/1.csv": "order_id,customer_id,ordered_at\n1,1,2024-02-01 00:00:00\n2,2,2024-02-02 00:00:00\n",
    "web/visits/1.csv": "visit_id,visited_at\n1,2024-02-01 00:00:00\n",
}
SCRIPTS = ("01_roles", "02_landing", "03_storage_integration", "04_file_formats_and_stage")


class World:
    """`plant` runs a fault in, `doctor` is the command, `heal` carries out what it says is to be done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "account"
        self.store = s3.start(folder / "s3")
        self.clone = folder / "clone"  # what the doctor takes for this project, as far as packaged pipelines go
        (self.clone / "app" / "pipelines").mkdir(parents=True)
        self.package(SHOP)
        self.rig = Rig(self.folder, SHOP, {"../pipelines/retail.yml": SHOP})  # what it packages
        self.account, self.account.s3 = self.rig.account, self.store.s3
        port, s3_port = self.account.address[1], int(self.store.endpoint.rpartition(":")[2])
        self.place = Place(self.folder.resolve())
        self.place.state_file.write_text(json.dumps({"pid": os.getpid(), "port": port, "s3_port": s3_port}))
        self.poller = Poller(self.account)
        self.connection = self.place.connect()
        self.set_up()
        self.put(FILES)
        self.go("RETAIL_BEGIN", "SITE_BEGIN")

    # --- making it

    def package(self, text: str) -> None:
        (self.clone / "app" / "pipelines" / "retail.yml").write_text(text)

    def set_up(self) -> None:
        for name in SCRIPTS:
            self.script((ROOT / f"setup_sql/{name}.sql").read_text())
        self.wire()
        for text in (SHOP, SITE):
            self.script(setup_sql.sources_sql(spec_file.parse(text)))
        self.script(setup_sql.grants_sql(spec_file.parse(SITE)))  # the rig has made SHOP's tables and granted them
        self.script((ROOT / "setup_sql/07_grants_to_app.sql").read_text())
        self.wire()
        self.rig.call("config.apply_spec", SITE)

    def script(self, text: str) -> None:
        """A file of setup_sql as `snow sql -f` would send it: its variables filled in with their defaults."""
        filled = re.sub(r"<% \w+ \| default\(\"([^\"]*)\"\) %>", r"\1", text)
        for sql, is_command in split_statements(io.StringIO(filled), remove_comments=True):
            if not is_command and sql.strip(" ;\n"):
                self.account.execute(self.rig.admin, sql.strip(" ;\n"))  # through the front door, with the script's role
        self.rig.answer("USE ROLE ACCOUNTADMIN")

    def wire(self) -> None:
        aws.applied(self.place, ["--from-account"])

    def put(self, files: dict[str, str]) -> None:
        for key, text in files.items():
            self.store.s3.client("s3").put_object(Bucket="firn-landing", Key=key, Body=text.encode())
        self.poller.drain()

    def go(self, *roots: str) -> None:
        """A graph once, as the scheduler would run it when it is due; without data one that waits for a stream is not."""
        for root in roots or ("RETAIL_BEGIN",):
            run_graph(self.account, find(self.account, ("FIRN", "TASKS", root)), self.account.clock(), wait=True)

    # --- looking, planting, healing

    def doctor(self, *words: str) -> tuple[int, str, str]:
        """Exit code, what it printed, and what it printed as errors."""
        return self.firn("doctor", *words)

    def look(self, *, bucket: bool = False) -> list[Finding]:
        """What is wrong in the account; also in its bucket, when asked, as that takes longer.  This machine is for other tests."""
        verify = doctor.verifier(self.place, argparse.Namespace(connection=None, profile=None)) if bucket else None
        facts = doctor_facts.ask(self.connection, "firn", verify)
        assert facts.blind == {}
        return [one for one in doctor.judged(facts, Hand(data=str(self.folder))) if one.level == WRONG]

    def firn(self, *words: str) -> tuple[int, str, str]:
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = cli.main(["--data", str(self.folder), *words])
        return code, out.getvalue(), errors.getvalue()

    def type(self, command: str) -> None:
        """One command as the doctor printed it, typed into a shell; it must succeed."""
        program, *words = shlex.split(command)
        assert program == "firn", command
        assert words[:2] == ["--data", str(self.folder)], command
        code, out, errors = self.firn(*words[2:])
        assert code == 0, f"{command}\n{out}{errors}"

    def forget_runs(self, root: str) -> None:
        history(self.account).db.execute("DELETE FROM history WHERE name = ?", (root,))

    def close(self) -> None:
        self.connection.close()
        self.place.state_file.unlink(missing_ok=True)
        self.rig.close()
        self.store.stop()


