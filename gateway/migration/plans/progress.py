"""How far a plan is: its row, and what may become of it. Pure but for `write`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import asyncpg

from backends.errors import TaskgateError
from gateway.migration.ledger.writer import append_step
from gateway.storage.database import type_Connection
from gateway.storage.queries import Queries

_JSON: Final = ("share_before", "share_after", "summary")

SQL = Queries("gateway.migration.plans", "plans.sql")


class PlanState(StrEnum):
    """The state of a plan.

    `draft`: not started. `running`: tenants of the present wave are being moved. `baking`: all of them are moved, and
    are watched. `held`: something is in the way; the plan continues by itself once it is over. `paused`: a person
    stopped it. `rolling_back`: tenants are put back. `done`: all waves are over. `aborted`: ended by a person, or
    rolled back.
    """

    DRAFT = "draft"
    RUNNING = "running"
    """Tenants of a wave are being moved."""
    BAKING = "baking"
    """All of a wave are moved, and are watched for a while."""
    HELD = "held"
    """Something keeps it from going on; it goes on by itself once that is over."""
    PAUSED = "paused"
    """A person has stopped it."""
    ROLLING_BACK = "rolling_back"
    DONE = "done"
    ABORTED = "aborted"


#: In these the leader takes steps.
ACTIVE: Final = (PlanState.RUNNING, PlanState.BAKING, PlanState.HELD)
OVER: Final = (PlanState.DONE, PlanState.ABORTED)


class PlanChanged(TaskgateError):
    """Somebody changed the plan meanwhile; nothing was written."""

    code = "plan_changed"


@dataclass(frozen=True, slots=True)
class Progress:
    """A plan as its row has it. Times are the database's; `wave` counts from 0."""

    name: str
    document: str
    state: PlanState
    says: str
    wave: int
    moved_at: datetime | None
    is_troubled: bool
    approved_by: str | None
    approved_at: datetime | None
    share_before: Mapping[str, Any] | None
    share_after: Sequence[Mapping[str, Any]] | None
    created_by: str
    created_at: datetime
    started_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    version: int
    summary: Mapping[str, Any] | None
    """What lists show of the document (`view.summary_of`)."""

    @property
    def resumed(self) -> PlanState:
        """The state in which the present wave is."""
        return PlanState.RUNNING if self.moved_at is None else PlanState.BAKING

    def in_wave(self, wave: int) -> Progress:
        """At the beginning of this wave."""
        return replace(self, wave=wave, moved_at=None, approved_by=None, approved_at=None)


def progress_of(row: asyncpg.Record) -> Progress:
    fields = dict(row)
    before, after, summary = (None if text is None else json.loads(text) for text in map(fields.pop, _JSON))
    state = PlanState(fields.pop("state"))
    return Progress(state=state, share_before=before, share_after=after, summary=summary, **fields)


async def write(
    db: type_Connection, progress: Progress, who: str, why: str, evidence: Mapping[str, Any] | None = None
) -> Progress:
    """Replace the row that was read, with its entry in the ledger: last in its transaction.

    Raises `PlanChanged`, `LedgerUnwritable`.
    """
    written = await put(db, progress)
    facts = {"state": progress.state, "wave": progress.wave + 1, **(evidence or {})}
    await append_step(db, progress.name, who, why, facts)
    return written


async def put(db: type_Connection, progress: Progress) -> Progress:
    """Replace the row that was read, alone. Raises `PlanChanged`."""
    version = await db.fetchval(
        SQL.write,
        progress.name,
        progress.version,
        progress.state,
        progress.says,
        progress.wave,
        progress.moved_at,
        progress.is_troubled,
        progress.approved_by,
        progress.approved_at,
        None if progress.share_before is None else json.dumps(progress.share_before),
        None if progress.share_after is None else json.dumps(progress.share_after),
        progress.started_by,
        progress.started_at,
        progress.ended_at,
    )
    if version is None:
        raise PlanChanged(progress.name)
    return replace(progress, version=version)


async def check_unchanged(db: type_Connection, progress: Progress) -> None:
    """Until the end of the transaction nobody changes the plan. Raises `PlanChanged`."""
    row = await db.fetchrow(SQL.plan_for_change, progress.name)
    if row is None or row["version"] != progress.version:
        raise PlanChanged(progress.name)
