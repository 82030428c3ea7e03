"""`firn doctor`: what is wrong with this machine and with an account, the local one or Snowflake's, and what to do about it.

It only looks: SHOW, DESCRIBE and SELECT on the account, the bucket's settings, processes and files here.
Exit code 0: nothing wrong; 1: findings; 2: something could not be looked at, and nothing wrong was found in the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from local import doctor_checks, doctor_facts, doctor_landing, doctor_machine
from local.aws import opened
from local.doctor_findings import WRONG, Finding, Hand, plural
from local.place import Place


def add(commands: argparse._SubParsersAction) -> None:
    text = "what is wrong here and in the account, and what to do; changes nothing"
    one = commands.add_parser("doctor", help=text, description=text + ". Exit code 0: nothing, 1: findings, 2: could not look.")
    one.set_defaults(run=run)
    one.add_argument("--connection", metavar="NAME", help="Snowflake by this connection of your own, instead of the local account")
    one.add_argument("--profile", help="with --connection: also the bucket, on AWS by this profile")
    one.add_argument("--application", default="firn", metavar="NAME", help="the application (default: firn)")
    one.add_argument("--json", action="store_true", help="one JSON object: findings, what could not be looked at, how much was")


def run(place: Place, arguments: argparse.Namespace) -> int:
    hand = Hand(arguments.connection, arguments.data)
    machine = doctor_machine.look(place, is_remote=bool(arguments.connection))
    findings = [finding for check in doctor_machine.CHECKS for finding in check(machine, hand)]
    blind: dict[str, str] = {}
    facts = None
    if arguments.connection or machine.is_up:
        try:
            with opened(place, arguments.connection) as connection:
                facts = doctor_facts.ask(connection, arguments.application, verifier(place, arguments))
        except Exception as e:  # no login, no network, no such connection: whatever it is, the user is told
            blind["account"] = " ".join(str(getattr(e, "msg", None) or e).split())[:300]
    else:
        blind["account"] = f"no local account is running in {place.folder}. Start it with: {hand.firn('up')}"
    if facts is not None:
        findings += judged(facts, hand)
        blind |= dict(facts.blind)
    return told(findings, blind, as_json=arguments.json)


def judged(facts: doctor_facts.Facts, hand: Hand) -> list[Finding]:
    return [finding for check in (*doctor_checks.CHECKS, *doctor_landing.CHECKS) for finding in check(facts, hand)]


def verifier(place: Place, arguments: argparse.Namespace):
    """What asks the bucket: the local S3, or AWS when a profile is named; None when neither can be asked."""
    from local import aws

    if arguments.connection and not arguments.profile:
        return None
    words = ["aws", "verify", "--from-account", *(["--profile", arguments.profile, "--connection", arguments.connection] if arguments.connection else [])]

    def verify() -> Sequence[str]:
        parser = argparse.ArgumentParser()
        aws.add(parser.add_subparsers())
        asked = parser.parse_args(words)
        try:
            clients, region = aws.clients_of(place, asked.profile, asked.region)
            findings = aws.aws.verify(clients, aws.wish(place, asked, clients, region))
        except aws.WiringError as e:
            raise LookupError(str(e)) from e
        return [finding.text for finding in findings if finding.sign != "="]

    return verify


def told(findings: Sequence[Finding], blind: Mapping[str, str], *, as_json: bool) -> int:
    wrong = [finding for finding in findings if finding.level == WRONG]
    code = 1 if wrong else 2 if blind else 0
    looked = len(doctor_machine.CHECKS) + len(doctor_checks.CHECKS) + len(doctor_landing.CHECKS)
    if as_json:
        print(json.dumps({"exit_code": code, "checks": looked, "findings": [f.as_json() for f in findings], "not_looked_at": dict(blind)}, default=str))
        return code
    for finding in sorted(findings, key=lambda finding: finding.level != WRONG):
        print(finding)
    for what, why in blind.items():
        print(f"could not look at {what}: {why}", file=sys.stderr)
    notes = len(findings) - len(wrong)
    print(f"{looked} checks: {plural(len(wrong), 'finding')}, {plural(notes, 'note')}" + (f", {len(blind)} not looked at" if blind else ""))
    return code


