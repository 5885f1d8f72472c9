"""The command `taskgate`."""

from __future__ import annotations

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
    from gateway.running import run
    from gateway.serve import serve as run_gateway

    run(run_gateway)


@app.command()
def release() -> None:
    """Take the gateway out: waiting Redis tasks become ordinary pending rows of the legacy system again."""
    import asyncio

    from gateway.settings import Settings
    from gateway.storage.database import Database
    from gateway.tasks.lifecycle.release import release as give_back

    async def give_all() -> None:
        # One statement gives back all that waits, which may be a million tasks.
        database = Database(Settings().database_url, size=2, statement_timeout=600)
        try:
            done = await give_back(database)
        finally:
            await database.close()
        print(f"{done.rows} waiting tasks given back to the legacy queue")
        for (backend, state), tasks in done.left.items():
            print(f"left: {tasks} tasks {state} on {backend}")

    asyncio.run(give_all())


def main() -> None:
    """Entry point: errors that a person can act on are one line."""
    code: object = 0
    try:
        app()
    except SystemExit as exit_:
        code = exit_.code
    except Exception as error:
        # Here, because help should not wait for what only errors need.
        from gateway.errors import DatabaseUnavailable

        if not isinstance(error, DatabaseUnavailable):
            raise
        print(f"taskgate: {error.message} ({type(error.__cause__).__name__}: {error.__cause__})", file=sys.stderr)
        code = 1
    from gateway.running import leave

    leave(code)


if __name__ == "__main__":
    main()
