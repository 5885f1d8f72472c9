"""`--json` has one shape for every list: an array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from gateway.cli.lazy import COMMANDS, load
from gateway.cli.main import app


def lists() -> Iterator[tuple[str, ...]]:
    """The commands that are called `list`, by themselves so that a new one is here, too; and what else lists."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if words[-1:] == ("list",):
            yield words
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(load(name) if not words and name in COMMANDS else below, (*words, name))

    yield from walk(typer.main.get_command(app), ())
    yield ("migration", "guardrails", "history")
    yield ("migration", "rehearsal", "tasks", "--tenant", "t-ann")


@pytest.mark.parametrize("words", lists(), ids=" ".join)
async def test_it_is_an_array(
    run: Any, admin: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("TASKGATE_DATABASE_URL", database_url)
    whose = ("--tenant", "t-ann") if words == ("dag", "list") else ()  # DAGs belong to one tenant
    code, output = await run(*words, *whose, "--json")
    assert code == 0, output
    assert isinstance(json.loads(output), list), output
