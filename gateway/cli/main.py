"""The command `taskgate`."""

from __future__ import annotations

import asyncio
import sys

import typer

from gateway.cli.callback import callback_app
from gateway.cli.dag import dag_app
from gateway.cli.dag_runs import add_run_commands
from gateway.cli.db import db_app
from gateway.cli.dead_letter import dead_letter_app
from gateway.cli.flags import flags_app
from gateway.cli.pause import pause_app
from gateway.cli.pause import resume as resume_command
from gateway.cli.quota import quota_app
from gateway.cli.route import route_app
from gateway.cli.scale import scale_app
from gateway.cli.schedule import schedule_app
from gateway.cli.settings import settings as settings_command
from gateway.cli.simulate import simulate as simulate_command
from gateway.cli.task import task_app
from gateway.cli.tenant import tenant_app
from gateway.cli.worker import worker as worker_command
from gateway.cli.workers import workers as workers_command
from gateway.errors import DatabaseUnavailable
from gateway.running import leave, run
from gateway.settings import Settings

app = typer.Typer(help="Migration gateway for task queues.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(callback_app, name="callback")
add_run_commands(dag_app)
app.add_typer(dag_app, name="dag")
app.add_typer(db_app, name="db")
app.add_typer(dead_letter_app, name="dead-letter")
app.add_typer(flags_app, name="flags")
app.add_typer(pause_app, name="pause")
app.add_typer(quota_app, name="quota")
app.add_typer(route_app, name="route")
app.add_typer(scale_app, name="scale")
app.add_typer(schedule_app, name="schedule")
app.add_typer(task_app, name="task")
app.add_typer(tenant_app, name="tenant")
app.command("resume")(resume_command)
app.command("settings")(settings_command)
app.command("simulate")(simulate_command)
app.command("workers")(workers_command)


@app.command()
def serve() -> None:
    """Run the gateway: HTTP (and gRPC) in front of both backends."""
    from gateway.serve import serve as run_gateway

    run(run_gateway)


app.command("worker")(worker_command)


@app.command()
def release() -> None:
    """Take the gateway out: waiting Redis tasks become ordinary pending rows of the legacy system again."""
    from gateway.storage.database import Database
    from gateway.tasks.lifecycle.release import release as give_back

    async def give_all() -> None:
        database = Database(Settings().database_url, size=2)
        try:
            done = await give_back(database)
        finally:
            await database.close()
        print(f"{done.rows} waiting tasks given back to the legacy queue")
        for (backend, state), tasks in done.left.items():
            print(f"left: {tasks} tasks {state} on {backend}")

    asyncio.run(give_all())


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
    except DatabaseUnavailable as error:
        print(f"taskgate: {error.message} ({type(error.__cause__).__name__}: {error.__cause__})", file=sys.stderr)
        code = 1
    leave(code)


if __name__ == "__main__":
    main()
