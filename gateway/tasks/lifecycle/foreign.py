"""Tasks whose payloads were pushed by legacy producers, not by the gateway, and those that it has given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.errors import TaskgateError
from gateway.storage.database import Database
from gateway.storage.driver_errors import UNSTORABLE
from gateway.storage.queries import Queries
from gateway.tasks.payload import decode_payload, encode_json, text_member, without_wire_keys

SQL = Queries("gateway.tasks.lifecycle", "foreign.sql")


class PayloadUnstorable(TaskgateError):
    """PostgreSQL cannot hold this payload."""

    code = "payload_unstorable"


class ForeignTasks:
    """Judges and adopts what legacy producers pushed into Redis."""

    def __init__(self, database: Database, *, max_attempts: int = 3) -> None:
        self._db = database
        self._max_attempts = max_attempts

    async def judge(self, task_id: str, group_id: str, payload: Mapping[str, Any]) -> str | None:
        """Why a payload that the gateway did not push cannot be the task that it names; None if it can be.

        A copy of the task's own payload is valid: the claim decides whether it may run.
        """
        tenant, project = text_member(payload, "tenant_id"), text_member(payload, "project_id")
        row = await self._db.fetchrow(SQL.judge, task_id, tenant, project, group_id)
        if row is not None and row["is_undecided"]:
            return "a person decides about it: see `taskgate recover list`"
        if row is None:
            return None
        own = decode_payload(row["payload"])
        if own == without_wire_keys(payload) or own == _as_stored(payload):
            return None
        if row["owner"] not in (None, row["claimed"]):
            return "its task_id belongs to another tenant"
        if row["state"] is not None or row["status"] in ("COMPLETED", "FAILED", "STOPPED"):
            return f"duplicate task_id: there is another task with it ({row['state'] or row['status'].lower()})"
        return None

    async def adopt(self, task_id: str, group_id: str, task_type: str, payload: Mapping[str, Any]) -> bool:
        """Take a task that a legacy producer pushed into the gateway's care; False when its row says it is over.

        Raises `PayloadUnstorable`.
        """
        try:
            row = await self._db.fetchrow(
                SQL.adopt,
                task_id,
                group_id,
                task_type,
                encode_json({**payload, "task_type": task_type, "task_id": task_id}),
                text_member(payload, "tenant_id"),
                text_member(payload, "project_id"),
                text_member(payload, "user_id"),
                self._max_attempts,
            )
        except (*UNSTORABLE, ValueError) as error:
            raise PayloadUnstorable(f"its payload cannot be stored: {type(error).__name__}") from error
        return row is not None

    async def is_given_back(self, task_id: str) -> bool:
        """Whether `taskgate release` gave the task back, and nobody has begun it since."""
        return bool(await self._db.fetchval(SQL.is_given_back, task_id))

    async def take_again(self, task_id: str, group_id: str, task_type: str, epoch: int) -> bool:
        """Take a task that was given back into the gateway's care, at this start; False when it is over or known."""
        given = (task_id, group_id, task_type, epoch, self._max_attempts)
        return await self._db.fetchval(SQL.take_again, *given) is not None


def _as_stored(payload: Mapping[str, Any]) -> dict[str, Any]:
    """As its row has it: `adopt` writes null for NaN, which JSON lacks."""
    return decode_payload(encode_json(payload))
