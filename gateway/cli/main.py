"""The command `taskgate`."""

from __future__ import annotations

import sys

import typer

from gateway.cli.lazy import LazyGroup

app = typer.Typer(
    cls=LazyGroup, help="Migration gateway for task queues.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.command()
def serve() -> None:
    """Run the gateway: HTTP (and gRPC) in front of both backends."""
    from gateway.running import run
    from gateway.serve import serve as run_gateway

    run(run_gateway)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as package_version

    print(package_version("taskgate"))


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
