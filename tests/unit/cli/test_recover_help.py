"""`taskgate recover start` and `drop` each say what their `--all` covers."""

from __future__ import annotations

import pytest
import typer
from typer.core import TyperOption

from gateway.cli.recover import recover_app


@pytest.mark.parametrize(
    ("command", "covers"),
    [
        ("start", "Everything that is listed and can be started"),
        ("drop", "Everything that is listed, also what cannot be started"),
    ],
)
def test_all_says_what_it_covers(command: str, covers: str) -> None:
    group = typer.main.get_group(recover_app)
    (option,) = [one for one in group.commands[command].params if "--all" in one.opts]
    assert isinstance(option, TyperOption)
    assert option.help == covers
