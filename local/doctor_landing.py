"""What `firn doctor` looks for between the bucket and bronze: pipes, files, streams, integration, events.  Facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator

from local.doctor_checks import STALE_SOON, Check, naive, sources
from local.doctor_facts import Facts, Row, is_true
from local.doctor_findings import NOTE, WRONG, Finding, Hand


def pipes_are_there(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.binding is None or {"pipes", "bronze tables"} & set(facts.blind):
        return
    there = {pipe["name"].lower() for pipe in facts.pipes}
    for one, source in sources(facts):
        if source.name in facts.bronze and f"{source.name}_pipe" not in there:
            yield Finding("pipes", f"{place(facts)}.{source.name}_pipe", f"no such pipe that role {facts.role} can see", f"the pipe that fills bronze.{source.name}", (hand.script(f"05_sources_{one.name}.sql"),))


def pipes_run(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """Paused, stopped, stalled, or with an error of its own."""
    for pipe in facts.pipes:
        name, said = f"{place(facts)}.{pipe['name'].lower()}", pipe["status"]
        state = said.get("executionState", "")
        if state == "PAUSED":
            yield Finding("pipes", name, "paused", "RUNNING", (hand.sql(f"ALTER PIPE {name} SET PIPE_EXECUTION_PAUSED = FALSE"),))
        elif state.startswith("STALLED") or state == "STOPPED_BY_SNOWFLAKE_ADMIN" or "STALE" in state:
            yield Finding("pipes", name, state, "RUNNING", (hand.sql(f"SELECT SYSTEM$PIPE_FORCE_RESUME('{name}')"), hand.firn("pipes", "status", source_of(pipe), asks=True)))
        elif state != "RUNNING":
            yield Finding("pipes", name, f"{state}{': ' + said['error'] if said.get('error') else ''}", "RUNNING", (hand.sql(f"SELECT SYSTEM$PIPE_STATUS('{name}')"), hand.firn("pipes", "status", source_of(pipe), asks=True)))
        elif said.get("error"):
            yield Finding("pipes", name, f"it runs with an error: {said['error']}", "no error", (hand.firn("pipes", "status", source_of(pipe), asks=True),))


def pipes_are_told_of_files(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for pipe in facts.pipes:
        if not pipe["notification_channel"]:
            name = f"{place(facts)}.{pipe['name'].lower()}"
            yield Finding("pipes", name, "no notification channel: it loads nothing by itself", "AUTO_INGEST = TRUE", (hand.firn("pipes", "status", source_of(pipe), asks=True),))


def files_were_loaded(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for file in facts.failed_files:
        line = f" (line {file['first_error_line_number']})" if file["first_error_line_number"] else ""
        yield Finding("files", f"bronze.{file['source']}", f"{file['file_name']}: {file['status'].lower()}: {file['first_error_message']}{line}", "a file that can be read: mend it and put it under another name",
                      (hand.firn("pipes", "status", file["source"], asks=True),))  # fmt: skip


def streams_are_there(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.binding is None or "streams" in facts.blind:
        return
    there = {stream["name"].lower() for stream in facts.streams}
    for one, source in sources(facts):
        if one.spec.when == "arrival" and source.stream not in there:
            yield Finding("streams", f"{place(facts)}.{source.stream}", "no such stream", f"the stream that starts {one.name}", (hand.script(f"05_sources_{one.name}.sql"), hand.script(f"07_grants_{one.name}.sql")))


def streams_are_not_stale(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """A stale stream starts nothing any more; no row is lost, as the scheduled look takes what it missed."""
    awaited = {source.stream for one, source in sources(facts) if one.spec.when == "arrival"}
    for stream in facts.streams:
        name, table = f"{place(facts)}.{stream['name'].lower()}", str(stream["table_name"]).lower()
        todo = (
            hand.sql(f"CREATE OR REPLACE STREAM {name} ON TABLE {table} APPEND_ONLY = TRUE"),
            hand.sql(f"GRANT SELECT ON STREAM {name} TO APPLICATION {facts.app}"),
        )
        level = WRONG if stream["name"].lower() in awaited else NOTE  # of a pipeline that is not applied, nobody reads it
        if is_true(stream["stale"]):
            yield Finding("streams", name, f"stale{'' if level == WRONG else '; no applied pipeline waits for it'}", "read at least every two weeks", todo, level)
        elif stream["stale_after"] and naive(stream["stale_after"]) - facts.now < STALE_SOON:
            yield Finding("streams", name, f"it goes stale at {naive(stream['stale_after']):%Y-%m-%d %H:%M} UTC, as nothing reads it", "read at least every two weeks",
                          (hand.sql(f"SELECT SYSTEM$STREAM_HAS_DATA('{name}')"),), level)  # fmt: skip


def integration_covers_the_stage(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.binding is None or "stage and integration" in facts.blind or not facts.bronze:
        return
    if not facts.stage_url:
        yield Finding("integration", f"{place(facts)}.landing", "no such stage, or it is not in S3", "the stage of the landing bucket", (hand.script("04_file_formats_and_stage.sql"),))
        return
    said = facts.integration
    name = said.get("NAME", "firn_landing_s3")
    if "ENABLED" not in said:
        yield Finding("integration", name, f"no such integration that role {facts.role} can see", f"one that reaches {facts.stage_url}", (hand.script("03_storage_integration.sql"),))
    elif not is_true(said["ENABLED"]):
        yield Finding("integration", name, "disabled: no pipe can read a file", "enabled", (hand.sql(f"ALTER STORAGE INTEGRATION {name} SET ENABLED = TRUE"),))
    elif not covered(facts.stage_url, said.get("STORAGE_ALLOWED_LOCATIONS", "")):
        yield Finding("integration", name, f"it allows {said.get('STORAGE_ALLOWED_LOCATIONS') or 'nothing'}", f"{facts.stage_url}, where the stage lies",
                      (hand.sql(f"ALTER STORAGE INTEGRATION {name} SET STORAGE_ALLOWED_LOCATIONS = ('{facts.stage_url}')"),))  # fmt: skip


def covered(url: str, allowed: str) -> bool:
    """
    >>> covered("s3://landing/", "s3://landing/"), covered("s3://landing/", "s3://landing/crm/, s3://other/")
    (True, False)
    """
    places = [place.strip() for place in allowed.split(",")]
    return any(place == "*" or (place and (url.rstrip("/") + "/").startswith(place.rstrip("/") + "/")) for place in places)


def bucket_is_wired(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """Events of each prefix to its pipe's queue, the role and its trust; what `firn aws verify` reads back."""
    more = ["--profile", "PROFILE", "--connection", hand.connection] if hand.connection else []
    for said in facts.wiring:
        yield Finding("bucket", "wiring", said, "events, role and trust as the account's pipes need them", (hand.firn("aws", "apply", "--from-account", *more), hand.firn("aws", "verify", "--from-account", *more)))


def place(facts: Facts) -> str:
    return ".".join(facts.binding or ("firn_landing", "bronze"))


def source_of(pipe: Row) -> str:
    return str(pipe["name"]).lower().removesuffix("_pipe")


CHECKS: tuple[Check, ...] = (
    pipes_are_there,
    pipes_run,
    pipes_are_told_of_files,
    files_were_loaded,
    streams_are_there,
    streams_are_not_stale,
    integration_covers_the_stage,
    bucket_is_wired,
)
