"""The stages in answers: what the flag says, the overrides above it, what is stranded, and changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.migration.stages.checks import BARE, why_unseen
from gateway.routing.flag_document import Json, oddities
from gateway.routing.flag_edit import settings_of
from gateway.routing.flag_text import describe_default, foreign_rules
from gateway.routing.overrides import Override, deciding, load_overrides
from gateway.routing.query import Scope
from gateway.routing.stages import Stage, backend_of
from gateway.routing.stranded import Left, left_on_redis, lines, stages_under
from gateway.storage.database import Database


async def flag_view(database: Database, flag_key: str, document: Json | None, *, owner: str) -> Json:
    """What the flag says, and what the database knows beside it, as far as that can be asked."""
    flag = None if document is None else document["flags"][flag_key]
    view = stages_said(flag)
    if flag is None:
        view["notes"].append(f"no flag has been set yet ({owner}): every tenant is at stage off")
    try:
        overrides, left = await load_overrides(database), await left_on_redis(database)
    except (DatabaseUnavailable, *BARE) as error:
        view["notes"].append(f"overrides and what is left on redis are not shown: {why_unseen(error)}")
        return {**view, "overrides": [], "stranded": []}
    lost = await _stranded(left, document, flag_key, overrides)
    return {**view, "overrides": [override_view(row) for row in overrides], "stranded": lines(lost)}


def stages_said(flag: Mapping[str, Any] | None) -> Json:
    """What the flag says for whom; None: `off` for all."""
    if flag is None:
        return {"on": True, "default": "off", "settings": [], "rules": [], "notes": []}
    ordered = sorted(settings_of(flag).items(), key=lambda setting: (-setting[0].rank, str(setting[0])))
    return {
        "on": bool(flag.get("on")),
        "default": describe_default(flag),
        "settings": [
            {
                "tenant_id": scope.tenant_id,
                "project_id": scope.project_id,
                "task_type": scope.task_type,
                "stage": str(stage),
            }
            for scope, stage in ordered
        ],
        "rules": foreign_rules(flag),
        "notes": oddities(flag),
    }


def override_view(row: Override) -> Json:
    return {
        "tenant_id": row.scope.tenant_id,
        "project_id": row.scope.project_id,
        "task_type": row.scope.task_type,
        "stage": str(row.stage),
        "why": row.why,
        "by": row.set_by,
        "at": row.set_at.isoformat(),
        "expires_at": None if row.expires_at is None else row.expires_at.isoformat(),
        "version": row.version,
    }


def override_change_view(row: asyncpg.Record) -> Json:
    """A change of the override table, shaped as those of the flag; no version."""
    return {
        "at": row["at"].isoformat(timespec="milliseconds"),
        "who": row["actor"],
        "what": f"override for {row['subject']}",
        "before": row["before"] or "not set",
        "after": row["stage"] or "not set",
        "why": row["why"],
        "version": None,
    }


def written_notes(stage: Stage | None, configured: frozenset[str], flag: Mapping[str, Any] | None = None) -> list[str]:
    """What may surprise of a flag that was just written, and of the stage that somebody was put at."""
    notes = [] if flag is None else oddities(flag)
    if stage is not None and backend_of(stage) not in configured:
        notes.insert(0, f"{backend_of(stage)} is not configured in this environment; where that is so, tasks wait")
    return notes


def override_notes(flag: Mapping[str, Any] | None, scope: Scope, stage: Stage) -> list[str]:
    """What an override means for tasks that are moved from Redis because the flag says `rampdown`."""
    if flag is None or stage is Stage.RAMPDOWN:
        return []
    stages = {str(one): str(stage) for one, stage in settings_of(flag).items() if one.overlaps(scope)}
    stages |= {} if str(scope) in stages else {"default": describe_default(flag)}
    moving = [name for name, text in stages.items() if text == Stage.RAMPDOWN]
    return [
        f"the flag has {name} at rampdown: the move follows the override (live stops it, off sends back what nobody has"
        " begun), and goes on when the override ends"
        for name in moving
    ]


async def _stranded(
    left: Sequence[Left], document: Json | None, flag_key: str, overrides: Sequence[Override]
) -> list[Left]:
    """Those at stage `complete`, by the overrides or else the flag."""
    if not left:
        return []
    stages = [Stage.OFF] * len(left) if document is None else await stages_under(document, flag_key, left)
    above, now = {row.scope: row for row in overrides}, time.monotonic()
    found = []
    for one, stage in zip(left, stages, strict=True):
        override = deciding(above, one.query, now)
        if (stage if override is None else override.stage) is Stage.COMPLETE:
            found.append(one)
    return found
