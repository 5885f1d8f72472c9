"""Answers that no gateway gives: one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.unit.cli.recording import serving


@pytest.fixture(params=[(302, b""), (200, b"<html>")], ids=["elsewhere", "page"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a server that sends on to another address, or answers with a page."""
    status, body = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "https://login.example.org/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with serving(Handler) as url:
        yield url


def test_the_address_is_to_be_set(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("TASKGATE_URL", address)
    done = CliRunner().invoke(app, ["task", "show", "t1"])
    assert isinstance(done.exception, SystemExit), done.exception
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"what answers at {address} is no gateway" in done.stderr
    assert "set TASKGATE_URL" in done.stderr


def test_a_plan_s_file_that_is_there_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "move.yaml").write_text("mine")
    words = ("--template", "pilot", "--name", "move", "--why", "x", "--stage", "live", "--tenants", "acme")
    done = CliRunner().invoke(app, ["migration", "plan", "new", *words])
    assert (done.exit_code, (tmp_path / "move.yaml").read_text()) == (1, "mine")
    assert "write another name with --out" in done.stderr
