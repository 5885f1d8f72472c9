"""Every command of the tree: `-h`, and a line of help; and an end without a traceback when nobody reads on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.lazy import COMMANDS, load
from gateway.cli.main import app

#: Commands that end with no result: they run until they are told to stop.
WITHOUT_RESULT = {("serve",), ("codec-server",), ("worker",)}
PROGRAM = Path(sys.executable).with_name("taskgate")


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(load(name) if not words and name in COMMANDS else below, (*words, name))

    yield from walk(typer.main.get_command(app), ())


def single_commands() -> list[tuple[str, ...]]:
    every = list(commands())
    return [words for words in every if not any(other[:-1] == words for other in every)]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_says_what_it_does(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "-h"], prog_name="taskgate")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.output.splitlines() if line.strip()]
    assert lines[0].startswith(" ".join(("Usage: taskgate", *words)))
    assert lines[1][0].isupper()
    assert "Options" not in lines[1]


@pytest.mark.parametrize("words", single_commands(), ids=" ".join)
def test_every_result_can_be_had_as_json(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(app, [*words, "-h"], prog_name="taskgate").output
    assert bool(re.search(r"^\W*--json\b", text, re.MULTILINE)) == (words not in WITHOUT_RESULT)


def test_a_tenant_is_named_in_one_way() -> None:
    """Several are `--tenants`."""
    found: set[tuple[str, ...]] = set()

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found.update(tuple(one.opts) for one in command.params if "tenant" in one.name)
        for name, below in getattr(command, "commands", {}).items():
            walk(load(name) if not words and name in COMMANDS else below, (*words, name))

    walk(typer.main.get_command(app), ())
    assert found == {("--tenant",), ("--tenants",)}


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"{version('taskgate')}\n"


def test_a_reader_that_has_enough_is_no_error() -> None:
    with subprocess.Popen([PROGRAM, "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
