"""The NiFi flow's structure. The flow itself is not executed: no NiFi runs in these tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "ingest" / "nifi" / "landing.json"
WHOLE = json.loads(FILE.read_text())
FLOW = WHOLE["flowContents"]
PROCESSORS = {each["identifier"]: each for each in FLOW["processors"]}
# Every relationship of the processors used, from NiFi 2's documentation.
RELATIONSHIPS = {
    "ListFile": {"success"},
    "FetchFile": {"success", "failure", "not.found", "permission.denied"},
    "PutS3Object": {"success", "failure"},
}


def kind(processor: dict) -> str:
    return processor["type"].rpartition(".")[2]


def following(processor: dict, relationship: str) -> list[dict]:
    return [c for c in FLOW["connections"] if c["source"]["id"] == processor["identifier"] and relationship in c["selectedRelationships"]]


def test_the_way_of_a_file_is_list_fetch_put_and_only_then_move():
    (at,) = [p for p in PROCESSORS.values() if kind(p) == "ListFile"]
    way = [at]
    while nexts := following(at, "success"):
        at = PROCESSORS[nexts[0]["destination"]["id"]]
        way.append(at)
    assert [kind(p) for p in way] == ["ListFile", "FetchFile", "PutS3Object", "FetchFile"]
    assert [p["properties"].get("Completion Strategy") for p in way] == [None, "None", None, "Move File"]
    assert way[-1]["autoTerminatedRelationships"] == ["success"]


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=lambda p: p["name"])
def test_every_relationship_leads_somewhere_and_failures_are_never_dropped(processor):
    for relationship in RELATIONSHIPS[kind(processor)]:
        ends = relationship in processor["autoTerminatedRelationships"]
        assert ends != bool(following(processor, relationship)), relationship
        assert not ends or relationship == "success"
        if relationship != "success":
            assert [c["destination"]["type"] for c in following(processor, relationship)] == ["FUNNEL"]


def test_the_queue_of_failures_keeps_them():
    (funnel,) = FLOW["funnels"]
    assert not [c for c in FLOW["connections"] if c["source"]["id"] == funnel["identifier"]], "a funnel that leads nowhere holds its queues"
    assert {c["flowFileExpiration"] for c in FLOW["connections"]} == {"0 sec"}


def test_every_reference_is_to_something_in_the_file():
    known = {*PROCESSORS, *(f["identifier"] for f in FLOW["funnels"])}
    everything = [*FLOW["processors"], *FLOW["connections"], *FLOW["funnels"]]
    assert len({each["identifier"] for each in everything}) == len(everything)
    assert {each["groupIdentifier"] for each in everything} == {FLOW["identifier"]}
    assert {c[end]["id"] for c in FLOW["connections"] for end in ("source", "destination")} <= known
    for connection in FLOW["connections"]:
        source = PROCESSORS[connection["source"]["id"]]
        assert set(connection["selectedRelationships"]) <= RELATIONSHIPS[kind(source)]


def test_parameters_are_those_that_are_used_and_none_is_a_secret():
    parameters = WHOLE["parameterContexts"][FLOW["parameterContextName"]]["parameters"]
    used = set(re.findall(r"#\{([^}]+)\}", json.dumps(FLOW["processors"])))
    assert {p["name"] for p in parameters} == used
    assert not re.search(r"(?i)secret|password|access.key", FILE.read_text())


def test_the_same_names_wait_as_in_firn_land():
    from ingest.land import UNFINISHED

    (lister,) = [p for p in PROCESSORS.values() if kind(p) == "ListFile"]
    taken = re.compile(lister["properties"]["File Filter"])
    assert taken.match("Kunden März +100%.csv")
    assert not any(taken.match(f"x.csv{ending}") for ending in UNFINISHED) and not taken.match(".x.csv")
    assert not re.match(lister["properties"]["Path Filter"], "done/")
