"""How `taskgate flags` and `taskgate route override` show stages, overrides and changes."""

from __future__ import annotations

import typer

from gateway.routing.flag_document import Json
from gateway.routing.query import Scope
from gateway.routing.stages import Stage, meaning

#: As the options of commands are called.
_SHORT = {"tenant_id": "tenant", "project_id": "project", "task_type": "type"}
_SHOWN = (
    *("flag", "owner", "version", "on", "default", "settings", "rules", "notes", "problem", "problems", "read_only"),
    *("overrides", "stranded", "last_change"),
)


def scope_json(row: Json) -> Json:
    """The same with the names of the options."""
    return {_SHORT.get(name, name): value for name, value in row.items()}


def view_json(view: Json) -> Json:
    shown = {name: view[name] for name in _SHOWN}
    for name in ("settings", "overrides"):
        shown[name] = [scope_json(row) for row in shown[name]]
    return shown


def print_view(view: Json) -> None:
    typer.echo(f"flag {view['flag']} ({view['owner']}, version {view['version']})")
    for row in view["overrides"]:
        until = "" if row["expires_at"] is None else f" until {row['expires_at']}"
        typer.echo(f"  override above it: {_name(row)}: {row['stage']}{until}, by {row['by']} ({row['why']})")
    for line in view["stranded"]:
        typer.echo(f"  stranded: {line}, and stage complete gives redis up")
    rows = [("default", view["default"])]
    rows += [(str(_scope(item)), item["stage"]) for item in view["settings"]]
    width = max(len(name) for name, _ in rows)
    for name, stage in rows:
        note = f"  {meaning(Stage(stage))}" if stage in tuple(Stage) else ""
        typer.echo(f"  {name:<{width}}  {stage:<9}{note}")
    for rule in view["rules"]:
        typer.echo(f"  rule: {rule}")
    for note in view["notes"]:
        typer.echo(f"  note: {note}")
    for problem in view["problems"]:
        typer.echo(f"  problem: {problem}")
    if last := view["last_change"]:
        typer.echo(f"last change {last['at']} by {last['who']}: {last['what']}, {last['why']}")


def override_line(row: Json) -> str:
    until = "until it is cleared" if row["expires_at"] is None else f"until {row['expires_at']}"
    return f"{_name(row)}: {row['stage']}, {until}, by {row['by']} ({row['why']})"


def scope_of_row(row: Json) -> Scope:
    """The scope of a setting or an override, as the door answers it."""
    return Scope(row["tenant_id"], row["project_id"], row["task_type"])


def _scope(row: Json) -> Scope:
    return Scope(row["tenant"], row["project"], row["type"])


def _name(row: Json) -> str:
    scope = _scope(row)
    return "everything" if scope.is_default else str(scope)
