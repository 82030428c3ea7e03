"""What the doctor reads of this machine, against a running account and planted leftovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from local import doctor_machine
from local.doctor_findings import Hand
from local.place import Place


def told(place: Place) -> list[str]:
    machine = doctor_machine.look(place)
    return [str(f) for check in doctor_machine.CHECKS for f in check(machine, Hand())]


def test_nothing_of_a_running_account_listens_beyond_this_machine(world):
    """Sockets of the account, of its S3 and of the processes of its procedures, as the kernel has them."""
    seen = set(doctor_machine.addresses(doctor_machine.family((os.getpid(),))))

    ports = {int(address.rpartition(":")[2]) for address in seen}
    state = json.loads(world.place.state_file.read_text())
    assert {state["port"], state["s3_port"]} <= ports, "the account is among them"
    assert [address for address in seen if not address.startswith(doctor_machine.LOOPBACK)] == []


def test_a_socket_open_to_all_would_be_seen():
    program = "import socket, time; s = socket.create_server(('0.0.0.0', 0)); print(s.getsockname()[1], flush=True); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        try:
            assert f"0.0.0.0:{port}" in set(doctor_machine.addresses(doctor_machine.family((os.getpid(),))))
        finally:
            process.kill()


def test_what_a_killed_account_leaves_behind_is_told(tmp_path):
    place = Place(tmp_path.resolve())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    place.state_file.write_text(json.dumps({"pid": gone.pid, "port": 1, "s3_port": 2}))
    assert any(f"names process {gone.pid}, which has ended without `firn down`" in said for said in told(place))

    # looks as the account does in a list of processes: the doctor goes by the command line
    words = [sys.executable, "-c", "import time; time.sleep(30)", "-m", "local.server", "--folder", str(tmp_path.resolve())]
    with subprocess.Popen(words) as process:
        try:
            time.sleep(0.2)
            assert any(f"process {process.pid}: serves {tmp_path.resolve()}" in said for said in told(place))
        finally:
            process.kill()


def test_a_login_that_others_may_read_is_told(tmp_path):
    place = Place(tmp_path.resolve())
    place.write_config(1)
    assert not any("600" in said for said in told(place))

    place.config_file.chmod(0o644)

    assert any(f"chmod 600 {place.config_file}" in said for said in told(place))


def test_the_packages_of_this_environment_are_read_by_the_names_of_the_lock(tmp_path):
    machine = doctor_machine.look(Place(tmp_path.resolve()))

    assert len(machine.locked) > 50
    assert machine.installed["duckdb"] == machine.locked["duckdb"]
    assert machine.installed["snowflake-cli"] == machine.locked["snowflake-cli"]
    assert machine.has_snow
