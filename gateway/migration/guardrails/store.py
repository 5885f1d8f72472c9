"""Guards, settings and events as rows, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import asyncpg

from backends.errors import TaskgateError
from gateway.migration.guardrails.event import GuardrailEvent
from gateway.migration.guardrails.guard import Concern, Guard, Phase
from gateway.migration.guardrails.policy import Policy, Response, resolve
from gateway.routing.stages import Stage
from gateway.storage.database import type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.guardrails", "guardrails.sql")

DEFAULT = "default"


class GuardChanged(TaskgateError):
    """Somebody changed the guardrail, or what is set, meanwhile; nothing was written."""

    code = "guard_changed"


def guard_of(row: asyncpg.Record) -> Guard:
    fields = dict(row)
    concerns = {
        name: Concern(Response(one["response"]), one["why"]) for name, one in json.loads(fields.pop("concerns")).items()
    }
    return Guard(
        phase=Phase(fields.pop("phase")),
        redis_stage=Stage(fields.pop("redis_stage")),
        since=json.loads(fields.pop("since")),
        concerns=concerns,
        **fields,
    )


async def lock_as_read(db: type_Connection, version: int) -> None:
    """Keep others from changing guards and settings until the end of the transaction.

    `version`: what was read and decided upon. Raises `GuardChanged` if that is no longer what is committed.
    """
    await db.execute(SQL.lock)
    if await db.fetchval(SQL.version) != version:
        raise GuardChanged("a guard or a setting")


async def put_guard(db: type_Connection, guard: Guard) -> int:
    """Write it in place of the version that was read; its new version. Raises `GuardChanged`."""
    version: int | None = await db.fetchval(
        SQL.put_guard,
        guard.tenant_id,
        guard.phase,
        guard.redis_stage,
        guard.entry_id,
        guard.moved_at,
        guard.armed_at,
        json.dumps(guard.since),
        guard.rollbacks,
        guard.rolled_back_at,
        guard.cooldown_ends,
        json.dumps({name: asdict(one) for name, one in guard.concerns.items()}),
        guard.version,
    )
    if version is None:
        raise GuardChanged(guard.tenant_id)
    return version


async def add_events(
    db: type_Connection, events: Iterable[GuardrailEvent], *, entry_id: int | None = None
) -> list[int]:
    """Write the history; the ids. `entry_id`: of the ledger's entry that was written with it."""
    return [
        await db.fetchval(SQL.add_event, one.tenant_id, one.kind, one.why, one.who, json.dumps(one.evidence), entry_id)
        for one in events
    ]


class Policies:
    """What is set at each level."""

    def __init__(self, rows: Iterable[asyncpg.Record] = ()) -> None:
        self._levels: dict[str, dict[str, Any]] = {row["scope"]: json.loads(row["settings"]) for row in rows}
        self._found: dict[tuple[str, str], Policy] = {}

    def of(self, tenant_id: str, tier: str) -> Policy:
        """What applies to this tenant."""
        key = tenant_id, tier
        if key not in self._found:
            names = (f"tenant:{tenant_id}", f"tier:{tier}", DEFAULT)
            self._found[key] = resolve(self._levels.get(name) for name in names)
        return self._found[key]


def event_view(row: asyncpg.Record) -> dict[str, Any]:
    """An event as faces answer it."""
    return {**dict(row), "evidence": json.loads(row["evidence"]), "who": row["who"] or None}
