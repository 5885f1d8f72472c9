"""`.local/env`: what a shell reads is what was written."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.env import NAMED_BY, inherited, parse_env, read_env, write_env

AWKWARD = {"TASKGATE_A": "plain", "TASKGATE_B": "two words", "TASKGATE_C": 'it\'s $HOME `x` "y"', "TASKGATE_D": ""}


def test_a_shell_reads_back_every_value(tmp_path: Path) -> None:
    file = tmp_path / "env"
    write_env(file, AWKWARD)
    script = f'set -a; . "{file}"; printf "%s\\n" "$TASKGATE_A" "$TASKGATE_B" "$TASKGATE_C" "$TASKGATE_D"'
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert read == list(AWKWARD.values())


def test_python_reads_back_every_value(tmp_path: Path) -> None:
    write_env(tmp_path / "env", AWKWARD)
    assert read_env(tmp_path / "env") == AWKWARD


def test_only_the_owner_may_read_the_keys(tmp_path: Path) -> None:
    write_env(tmp_path / "env", AWKWARD)
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert read_env(tmp_path / "env") == {}


def test_lines_that_are_no_variables_are_passed_over() -> None:
    assert parse_env("# comment\n\nexport A=1\nnot a line\n1=2\nB='x y'\n") == {"A": "1", "B": "x y"}


def test_children_do_not_inherit_servers_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMED_BY.values():
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("TASKGATE_HANDLERS", "mine")
    assert not set(NAMED_BY.values()) & set(inherited())
    assert inherited()["TASKGATE_HANDLERS"] == "mine"


def test_the_command_is_on_the_shells_path_once(tmp_path: Path) -> None:
    file = tmp_path / "env"
    write_env(file, AWKWARD)
    script = f'PATH=/usr/bin:/bin; . "{file}"; . "{file}"; printf "%s" "$PATH"'
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert read == f"{Path(sys.executable).parent}:/usr/bin:/bin"
