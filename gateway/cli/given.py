"""Which options of a command were given: one that would have no effect there is refused."""

from __future__ import annotations

import typer

from gateway.cli.output import fail


def refuse(context: typer.Context, *names: str, says: str) -> None:
    """End the command with exit code 2 when one of these options was given; `says` follows its name."""
    for parameter in context.command.params:
        if parameter.name in names and _is_given(context, parameter.name):
            fail(f"{parameter.opts[0]} {says}", code=2)


def refuse_others(context: typer.Context, *names: str, says: str) -> None:
    """The same for every option but these."""
    others = (parameter.name or "" for parameter in context.command.params if parameter.name not in names)
    refuse(context, *others, says=says)


def refuse_before_subcommand(context: typer.Context) -> None:
    """The same for every option of a group that stands before the name of its subcommand."""
    says = f"has no effect before `{context.invoked_subcommand}`; see `{context.command_path} --help`"
    refuse_others(context, says=says)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
