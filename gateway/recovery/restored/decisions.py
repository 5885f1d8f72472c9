"""What a person decides after a recovery: which held tasks, and which tasks of the gap, start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import asyncpg

from backends.errors import TaskgateError
from gateway.audit.acts import Act, record
from gateway.recovery.restored.evidence import SQL
from gateway.storage.database import Database, type_Connection
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL
from gateway.tasks.payload import decode_payload, encode_json

_PAGE = 500
Choice = Literal["start", "drop"]


class Undecidable(TaskgateError):
    """There is nothing to decide of this task, or not in this way; the message says why."""

    code = "recovery_undecidable"


@dataclass(frozen=True, slots=True)
class Undecided:
    """`is_known`: the restored database had it, unfinished. `can_start` False: its payload is gone."""

    task_id: str
    recovery_id: int
    is_known: bool
    backend: str | None
    epoch: int
    found: str
    can_start: bool
    task_type: str
    group_id: str
    tenant_id: str | None


class Decisions:
    """Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, *, max_attempts: int) -> None:
        self._db = database
        self._max_attempts = max_attempts

    async def undecided(self) -> AsyncIterator[Undecided]:
        """All that is to be decided, by task id."""
        after = ""
        while rows := await self._db.fetch(SQL.undecided, after, _PAGE):
            for row in rows:
                yield Undecided(**dict(row))
            after = rows[-1]["task_id"]

    async def decide(self, task_id: str, choice: Choice, *, by: str, why: str | None) -> None:
        """Start it with a new epoch, or end it for good. Raises `Undecidable`, `LedgerUnwritable`."""
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.lock_undecided, task_id)
            if row is None:
                raise Undecidable(f"task {task_id} is not to be decided; see `taskgate recover list`")
            if row["is_known"]:
                if row["held"] != "recovery":
                    raise Undecidable(f"task {task_id} is no longer held: it was stopped or retried meanwhile")
                await db.execute(SQL.let_go if choice == "start" else SQL.drop_known, task_id)
            elif choice == "start":
                if row["payload"] is None:
                    raise Undecidable(f"task {task_id} cannot be started: its payload is gone; submit it again")
                if row["has_row"]:
                    raise Undecidable(f"task {task_id} was submitted again meanwhile; drop this copy")
                await self._accept(db, row)
            await db.execute(SQL.decide, task_id, choice, by)
            await record(db, Act(f"recovery.{choice}", f"task:{task_id}", by, why, source="command"))
            await db.execute("SELECT pg_notify($1, '')", DUE_CHANNEL)

    async def _accept(self, db: type_Connection, row: asyncpg.Record) -> None:
        payload = {**decode_payload(row["payload"]), "task_id": row["task_id"], "task_type": row["task_type"]}
        text = encode_json(payload)
        names = (row["task_id"], row["group_id"], row["task_type"], text)
        if await db.fetchval(SQL.reserve_unknown, *names) is None:
            raise Undecidable(
                f"task {row['task_id']} has a row in task_logs already that is not PENDING; drop this copy"
            )
        await db.execute(SQL.accept_unknown, *names, self._max_attempts)
