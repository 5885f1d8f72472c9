"""Whether a line that files or pages show is one that `taskgate` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer import BadParameter
from typer.core import TyperGroup

from gateway.cli.lazy import COMMANDS, load
from gateway.cli.main import app

#: What a wrong option or argument raises: typer gives no public name to it.
UsageError = BadParameter.__mro__[1]


def command_of(words: Sequence[str]) -> tuple[Any, list[str]]:
    """The command or group that these words name, and the words after them. Raises `LookupError`."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    is_top = True
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = load(name) if is_top and name in COMMANDS else command.commands.get(name)
        if found is None:
            raise LookupError(f"taskgate {' '.join(words)}: there is no command {name!r}")
        command, is_top = found, False
    return command, rest


def parses(words: Sequence[str]) -> None:
    """Raises `LookupError` for a command that is not there, `UsageError` for options or arguments.

    Files that a line names need not be there.
    """
    command, rest = command_of(words)
    try:
        command.make_context(words[0], rest)
    except BadParameter as error:
        if not error.message.endswith("does not exist."):
            raise
