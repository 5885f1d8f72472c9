"""The command `taskgate`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from gateway.cli.lazy import LazyGroup

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as package_version

        typer.echo(package_version("taskgate"))
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version")
    ] = False,
) -> None:
    """Migration gateway for task queues."""


@app.command()
def serve() -> None:
    """Run the gateway: HTTP (and gRPC) in front of both backends."""
    from gateway.running import importing, run

    with importing():
        from gateway.serve import serve as run_gateway

    run(run_gateway)


def _refused_settings() -> object:
    """Say in one line what is wrong with the settings; the exit code, or None when they are right."""
    from gateway.settings import read_settings

    try:
        read_settings()
    except SystemExit as exit_:
        return exit_.code
    return None


class _Warnings(logging.Formatter):
    """Of a command that keeps no log: what is logged all the same, in the same words."""

    def format(self, record: logging.LogRecord) -> str:
        from gateway.observability.logs import TextFormatter

        return TextFormatter("%(message)s").format(record)


def main() -> None:
    """Entry point: errors that a person can act on are one line."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Warnings())
    code: object = 0
    try:
        app()
    except SystemExit as exit_:
        code = exit_.code
    except Exception as error:  # noqa: BLE001 - whatever it is, its text is not for a log
        # Here, because help should not wait for what only errors need.
        from pydantic import ValidationError
        from pydantic_settings import SettingsError

        from gateway.errors import DatabaseUnavailable
        from gateway.observability.error_text import message_of
        from gateway.observability.logs import say_uncaught
        from gateway.retention.errors import ArchiveExtraMissing
        from gateway.storage.preflight import DatabaseUnfit

        if isinstance(error, DatabaseUnfit | ArchiveExtraMissing):
            print(f"taskgate: {error.message}", file=sys.stderr)
        elif isinstance(error, DatabaseUnavailable):
            cause = error.__cause__ or error
            print(f"taskgate: {error.message} ({type(cause).__name__}: {message_of(cause)})", file=sys.stderr)
        elif isinstance(error, ValidationError | SettingsError) and (refused := _refused_settings()):
            code = refused
        else:
            say_uncaught(error)
        code = code or 1
    from gateway.running import leave

    leave(code)


if __name__ == "__main__":
    main()
