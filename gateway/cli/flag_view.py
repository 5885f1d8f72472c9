"""How `taskgate flags` shows the flag, its overrides and their changes."""

from __future__ import annotations

from dataclasses import asdict

import asyncpg
import typer

from gateway.routing.flag_document import Json, oddities
from gateway.routing.flag_edit import settings_of
from gateway.routing.flag_file import FlagChange
from gateway.routing.flag_text import describe_default, foreign_rules
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage, meaning


def flag_view(source: FlagSource, flag: Json | None, changes: list[FlagChange]) -> Json:
    if flag is None:
        return {
            "flag": source.flag_key,
            "owner": source.owner,
            "default": "off",
            "settings": [],
            "notes": [source.note()],
        }
    ordered = sorted(settings_of(flag).items(), key=lambda setting: (-setting[0].rank, str(setting[0])))
    return {
        "flag": source.flag_key,
        "owner": source.owner,
        "version": flag.get("version"),
        "on": bool(flag.get("on")),
        "default": describe_default(flag),
        "settings": [
            {"tenant": scope.tenant_id, "project": scope.project_id, "type": scope.task_type, "stage": str(stage)}
            for scope, stage in ordered
        ],
        "rules": foreign_rules(flag),
        "notes": oddities(flag),
        "last_change": asdict(changes[-1]) if changes else None,
    }


def print_view(view: Json) -> None:
    version = f", version {view['version']}" if view.get("version") is not None else ""
    typer.echo(f"flag {view['flag']} ({view['owner']}{version})")
    for row in view["overrides"]:
        scope = Scope(row["tenant"], row["project"], row["type"])
        until = "" if row["expires_at"] is None else f" until {row['expires_at']}"
        name = "everything" if scope.is_default else scope
        typer.echo(f"  override above it: {name}: {row['stage']}{until}, by {row['by']} ({row['why']})")
    for line in view["stranded"]:
        typer.echo(f"  stranded: {line}, and stage complete gives redis up")
    rows = [("default", view["default"])]
    rows += [(str(Scope(item["tenant"], item["project"], item["type"])), item["stage"]) for item in view["settings"]]
    width = max(len(name) for name, _ in rows)
    for name, stage in rows:
        note = f"  {meaning(Stage(stage))}" if stage in tuple(Stage) else ""
        typer.echo(f"  {name:<{width}}  {stage:<9}{note}")
    for rule in view.get("rules", []):
        typer.echo(f"  rule: {rule}")
    for note in view["notes"]:
        typer.echo(f"  note: {note}")
    if last := view.get("last_change"):
        typer.echo(f"last change {last['at']} by {last['who']}: {last['what']}, {last['why']}")


def override_json(row: Override) -> Json:
    return {
        "tenant": row.scope.tenant_id,
        "project": row.scope.project_id,
        "type": row.scope.task_type,
        "stage": str(row.stage),
        "why": row.why,
        "by": row.set_by,
        "at": row.set_at.isoformat(),
        "expires_at": None if row.expires_at is None else row.expires_at.isoformat(),
    }


def override_changes(rows: list[asyncpg.Record]) -> list[Json]:
    """Changes of the override table, shaped as those of the flag file; no version."""
    return [
        {
            "at": row["at"].isoformat(timespec="milliseconds"),
            "who": row["actor"],
            "what": f"override for {row['subject']}",
            "before": row["before"] or "not set",
            "after": row["stage"] or "not set",
            "why": row["why"],
            "version": None,
        }
        for row in rows
    ]
