"""The application holds no privilege that it does not use, and uses none that it lacks: both sides are taken from what is there."""

from __future__ import annotations

import re

import yaml

from local import grants
from local.rig import ROOT

# Statements of an application that need a right on the account: https://docs.snowflake.com/en/developer-guide/native-apps/requesting-about
NEEDS = {
    r"^CREATE (OR REPLACE )?TASK\b(?![^;]*\bWAREHOUSE\s*=)": "EXECUTE MANAGED TASK",
    r"^(CREATE (OR REPLACE )?TASK|ALTER TASK .* RESUME|EXECUTE TASK)\b": "EXECUTE TASK",
    r"^CREATE (OR REPLACE )?(TRANSIENT )?DATABASE\b": "CREATE DATABASE",
    r"^CREATE (OR REPLACE )?WAREHOUSE\b": "CREATE WAREHOUSE",
    r"^(ALTER|DROP) WAREHOUSE\b": "MANAGE WAREHOUSES",
    r"^CREATE COMPUTE POOL\b": "CREATE COMPUTE POOL",
    r"^CREATE (OR REPLACE )?(API|EXTERNAL ACCESS|NOTIFICATION|STORAGE|SECURITY) INTEGRATION\b": "CREATE INTEGRATION",
    r"\bCURRENT_(USER|ROLE|SESSION|IP_ADDRESS)\b": "READ SESSION",
    r"\bSNOWFLAKE\.ACCOUNT_USAGE\b": "IMPORTED PRIVILEGES ON SNOWFLAKE DB",
    r"\b(CREATE|EXECUTE) (MANAGED )?ALERT\b": "EXECUTE ALERT",
}
# Used where it is granted, and done without where it is not (procedures/replaying.py): not asked of every consumer.
DONE_WITHOUT = {"READ SESSION"}


def manifest() -> set[str]:
    asked = yaml.safe_load((ROOT / "app" / "manifest.yml").read_text())["privileges"]
    return {name for entry in asked for name in entry}


def setup_statements() -> list[str]:
    text = "\n".join(file.read_text() for file in [ROOT / "app" / "setup.sql", *sorted((ROOT / "app" / "sql").glob("*.sql"))])
    without_comments = re.sub(r"--[^\n]*", "", text)
    return [" ".join(part.split()) for part in without_comments.split(";") if part.strip()]


def needed(statements: list[str]) -> set[str]:
    plain = [" ".join(sql.split()) for sql in statements]
    return {privilege for pattern, privilege in NEEDS.items() for sql in plain if re.search(pattern, sql, re.IGNORECASE)}


def test_the_manifest_asks_for_what_the_statements_need_and_no_more(watched):
    watched.rig.call("config.apply_spec", watched.rig.call("config.export_spec", "retail"))  # the graph is made anew
    assert len(watched.issued) > 100

    assert needed([*setup_statements(), *watched.issued]) - DONE_WITHOUT == manifest()


def outside(watched) -> set[tuple[str, str]]:
    """(privilege, object) of everything the application touched that is not its own."""
    found = set()
    for sql in watched.issued:
        for use in grants.uses(sql):
            if len(use.parts) == 3 and use.parts[0] not in ("FIRN", "TEMP", "SYSTEM"):
                found.add((use.privilege, ".".join(use.parts)))
    return found


def test_of_the_landing_tables_it_uses_all_that_is_granted_and_nothing_else(watched):
    granted = {
        (privilege, ".".join(grant["on"]))
        for grant in watched.rig.account.catalog.find("grant")
        if (grant["to_kind"], grant["to"]) == ("APPLICATION", "FIRN") and grant.get("object_kind") == "TABLE"
        for privilege in grant["privileges"]
    }
    tables = {f"FIRN_LANDING.BRONZE.{source.name.upper()}" for source in watched.rig.pipeline.sources}

    assert granted == {(privilege, table) for privilege in ("SELECT", "DELETE") for table in tables}
    assert outside(watched) == granted


def test_the_watch_would_see_a_statement_outside(watched):
    issued, watched.issued = watched.issued, ["SELECT * FROM firn_landing.bronze.elsewhere", "UPDATE firn_landing.bronze.orders SET order_id = '1'"]
    try:
        assert {privilege for privilege, _ in outside(watched)} == {"SELECT", "UPDATE"}
        assert needed(["CREATE OR REPLACE TASK tasks.t SCHEDULE = '1 MINUTE' AS SELECT 1", "create warehouse w"]) == {"EXECUTE TASK", "EXECUTE MANAGED TASK", "CREATE WAREHOUSE"}
    finally:
        watched.issued = issued
