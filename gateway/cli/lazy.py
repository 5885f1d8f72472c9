"""A group whose commands are imported when they are called: `taskgate --help` imports none of them."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Packages beside the gateway add commands by this entry point group, e.g. `worker`.
PLUGINS = "taskgate.commands"

#: By name: where the command is, and the line about it in the list of commands.
COMMANDS = {
    "access": (
        "gateway.cli.access:access_app",
        "Requests on legacy endpoints beyond the roles of their keys. For administrators.",
    ),
    "audit": ("gateway.cli.audit:audit_app", "The audit log: who changed what, and why. For administrators."),
    "callback": ("gateway.cli.callback:callback_app", "Callbacks and the secrets that sign them."),
    "codec-server": (
        "gateway.cli.codec_server:codec_server",
        "Decrypt payloads for Temporal's UI and CLI: a server of its own, for administrators; each use is recorded.",
    ),
    "dag": ("gateway.cli.dag_runs:dag_app", "DAGs: check, apply, compare and run them."),
    "db": ("gateway.cli.db:db_app", "The database."),
    "dead-letter": (
        "gateway.cli.dead_letter:dead_letter_app",
        "Dead letters: tasks that failed for good, and invalid payloads.",
    ),
    "doctor": ("gateway.cli.doctor:doctor", "Check everything that a gateway needs, and say what to do."),
    "flags": ("gateway.cli.flags:flags_app", "Show and change the migration flag: which tenants are at which stage."),
    "keys": ("gateway.cli.keys:keys_app", "API keys: create, list, rotate and revoke them."),
    "migration": ("gateway.cli.migration:migration_app", "The migration from Redis to Temporal. For administrators."),
    "overview": ("gateway.cli.overview:overview", "Number of tasks by backend and state, and what needs attention."),
    "pause": ("gateway.cli.pause:pause_app", "Pauses of tenants, projects and task types."),
    "quota": ("gateway.cli.quota:quota_app", "Quotas of tenants and projects."),
    "recover": (
        "gateway.cli.recover:recover_app",
        "After the restore of a backup, or a fail-over that lost writes: make the database safe to start on.",
    ),
    "release": (
        "gateway.cli.release:release",
        "Before the gateway is removed: give waiting Redis tasks back to the legacy system.",
    ),
    "route": ("gateway.cli.route:route_app", "Which backend a task goes to, and why."),
    "scale": ("gateway.cli.scale:scale_app", "Load of each pool, and how many workers it needs. For administrators."),
    "schedule": ("gateway.cli.schedule:schedule_app", "Schedules: tasks that are submitted repeatedly."),
    "task": ("gateway.cli.task:task_app", "Tasks: submit, list, show, stop and retry them, also by filter."),
    "tenant": ("gateway.cli.tenant:tenant_app", "Tenants: their tiers, weights and quotas, and why their tasks wait."),
    "resume": ("gateway.cli.pause:resume", "End a pause: waiting tasks start."),
    "settings": (
        "gateway.cli.settings:settings",
        "List every setting with its environment variable, default and meaning.",
    ),
    "simulate": (
        "gateway.cli.simulate:simulate",
        "Simulate worker pools on a virtual clock: waits per tier, use of the slots, fairness.",
    ),
    "workers": (
        "gateway.cli.workers:workers_app",
        "Show the workers (`taskgate workers [ID]`, options: `show --help`), drain one. For administrators.",
    ),
}


class LazyGroup(TyperGroup):
    """Holds a line of help for each command of `COMMANDS`, and puts the command in its place when it is called."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, (_, text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text))
        for plugin in entry_points(group=PLUGINS):
            self.add_command(_command(plugin.name, plugin.load()))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As typer's, with the command itself."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name not in COMMANDS else load(name), rest


def load(name: str) -> Any:
    """A command of `COMMANDS`."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    return _command(name, getattr(import_module(module), attribute))


def _command(name: str, what: Any) -> Any:
    holder = typer.Typer(add_completion=False)
    if isinstance(what, typer.Typer):
        holder.add_typer(what, name=name)
    else:
        holder.command(name)(what)
    return typer.main.get_group(holder).commands[name]
