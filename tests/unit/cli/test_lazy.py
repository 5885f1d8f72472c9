"""Commands that are imported when they are called."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gateway.cli.lazy import COMMANDS, load
from gateway.cli.main import app

HEAVY = ("pydantic", "sqlalchemy", "redis", "temporalio", "grpc", "ldclient", "fastapi", "httpx")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_the_command_says(name: str) -> None:
    assert load(name).help.split("\n")[0] == COMMANDS[name][1]


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from gateway.cli.main import app\n"
        "try: app(['--help'])\n"
        f"finally: print('imported:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "imported: []"
    for name in (*COMMANDS, "serve", "release", "version", "worker"):
        assert f" {name} " in done.stdout


def test_a_command_is_called_with_what_follows_it() -> None:
    done = CliRunner().invoke(app, ["route", "explain", "--help"])

    assert done.exit_code == 0
    assert "route explain" in done.output


def test_a_wrong_name_is_told_the_right_one() -> None:
    done = CliRunner().invoke(app, ["flag"])

    assert done.exit_code == 2
    assert "flags" in done.output
