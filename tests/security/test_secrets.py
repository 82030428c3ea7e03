"""Passwords, keys and tokens: given to every command that takes one, looked for in all it prints and in everything that is kept."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from local import cli
from local.rig import ROOT

SECRET = "S3cr3tPhrase"
WORDS = ["extract", "public.orders", "--column", "updated_at", "--bucket", "b", "--prefix", "p/", "--dsn"]
DSNS = [
    pytest.param(f"postgres://firn:{SECRET}@127.0.0.1:1/shop", id="nobody listens"),
    pytest.param(f"host=127.0.0.1 port=1 user=firn password={SECRET}", id="nobody listens, in words"),
    pytest.param(SECRET, id="the password alone"),
    pytest.param(f"host=127.0.0.1 password={SECRET} port", id="a word without a value"),
    pytest.param(f"postgres://firn:{SECRET}@127.0.0.1:port/shop", id="a port that is no number"),
    pytest.param(f"postgres://firn:{SECRET}@[::1/shop", id="a bracket too few"),
    pytest.param(f"postgres://firn:{SECRET}@127.0.0.1:1/shop?nonsense={SECRET}", id="an option that libpq does not know"),
    pytest.param(f"postgres://firn:{SECRET}@@127.0.0.1:1/shop", id="an at sign too many"),
]


@pytest.mark.parametrize("dsn", DSNS)
def test_no_password_of_postgres_is_shown(dsn, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = cli.main(["--data", str(tmp_path), *WORDS, dsn])

    assert code == 1
    assert "Postgres" in out.getvalue(), "it says what is wrong"
    assert SECRET not in out.getvalue()


CONNECTIONS = f"""
[prod]
account = "a"
user = "u"
password = "{SECRET}"
host = "127.0.0.1"
port = 1
protocol = "http"
login_timeout = 1

[token]
account = "a"
user = "u"
authenticator = "oauth"
token = "{SECRET}"
host = "127.0.0.1"
port = 1
protocol = "http"
login_timeout = 1
"""
COMMANDS = [
    pytest.param(["doctor", "--connection", "prod"], id="doctor with a password"),
    pytest.param(["doctor", "--connection", "token", "--json"], id="doctor with a token"),
    pytest.param(["aws", "plan", "--profile", "prod", "--bucket", "b", "--region", "eu-west-1"], id="aws with keys"),
    pytest.param(["land", "{folder}", "--bucket", "b", "--settle", "0"], id="land with keys"),
]


@pytest.mark.parametrize("words", COMMANDS)
def test_no_key_of_aws_and_no_login_is_shown_or_kept(words, tmp_path):
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "a.csv").write_text("id\n1\n")
    (tmp_path / "connections.toml").write_text(CONNECTIONS)
    (tmp_path / "connections.toml").chmod(0o600)
    (tmp_path / "credentials").write_text(f"[prod]\naws_access_key_id = AKIA{SECRET}\naws_secret_access_key = {SECRET}\naws_session_token = {SECRET}\n")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "SNOWFLAKE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "prod", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1", "AWS_DEFAULT_REGION": "eu-west-1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    command = [sys.executable, "-P", "-m", "local", "--data", str(tmp_path / "account"), *[word.format(folder=tmp_path / "outbox") for word in words]]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert (done.stdout + done.stderr).strip(), "it says what is wrong"
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert kept(tmp_path, SECRET, but=("connections.toml", "credentials")) == []


def kept(folder: Path, secret: str, but: tuple[str, ...] = ()) -> list[str]:
    """Files below a folder in which a text stands."""
    return [str(file) for file in folder.rglob("*") if file.is_file() and file.name not in but and secret.encode() in file.read_bytes()]


def test_what_opens_an_account_is_not_kept_in_it(rig):
    """The password of its workers has the application's rights, and a session's token its role's: neither may outlive the process."""
    assert len(rig.account.workers.password) > 20
    secrets = [rig.account.workers.password, *rig.account.sessions]
    assert len(secrets) > 1

    assert [(secret, files) for secret in secrets if (files := kept(rig.folder, secret))] == []


def test_the_log_of_runs_says_nothing_of_who_may_log_in(rig):
    said = " ".join(str(row) for row in rig.duck("SELECT error, detail FROM firn.control.pipeline_log"))

    assert rig.account.workers.password not in said
    assert "Authorization" not in said and "password" not in said.lower()
