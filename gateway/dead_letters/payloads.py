"""Invalid payloads from Redis; a corrected one becomes an ordinary task."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from backends.redis_queue import wire
from backends.redis_queue.dead import DeadPayload
from gateway.access.access import NO_PROJECT
from gateway.access.placement import Caller, Placement
from gateway.dead_letters.archive import audit
from gateway.dead_letters.editing import Edit
from gateway.dead_letters.errors import BackendNotAllowed, DeadLetterClosed, RedriveBlocked
from gateway.dead_letters.filter import SQL
from gateway.errors import Forbidden, InvalidRequest
from gateway.routing.router import RouteQuery, Router
from gateway.storage.database import Database, type_Connection
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.tasks.payload import text_member, without_wire_keys
from gateway.tasks.queries.dispatch_view import DispatchView
from gateway.tasks.queries.task_log import storable

#: The text that a dead payload's row holds of its group's name and reason.
_LONGEST = 1000


class PayloadRedriver:
    """Submits such a payload, corrected or as it is, in the transaction that closes its dead letter."""

    def __init__(self, database: Database, intake: Intake, router: Router, *, max_payload_bytes: int) -> None:
        self._db = database
        self._intake = intake
        self._router = router
        self._view = DispatchView(database)
        self._max_payload_bytes = max_payload_bytes

    async def redrive(
        self, caller: Caller, letter: Any, edit: Edit | None, *, actor: str, backend: str | None = None
    ) -> str:
        """The id of the new task: the one that the payload names, if no other task has it.

        Raises `DeadLetterClosed`, `RedriveBlocked` (it is still invalid), `BackendNotAllowed`, `InvalidRequest`,
        `Forbidden`.
        """
        if letter["state"] == "redriven":
            raise DeadLetterClosed
        message = self._message(letter, edit)
        task = await self._task(caller, letter, message)
        if backend is not None:
            place = task.placement
            route = self._router.route(
                RouteQuery(place.tenant_id, task.task_type, task.task_id, place.project_id, plan=place.plan)
            )
            if backend != route.backend:
                raise BackendNotAllowed(f"A payload becomes a new task, and the flag sends it to {route.backend}")

        async def close(db: type_Connection) -> None:
            if await db.fetchval(SQL.close_payload, letter["id"], actor, task.task_id) is None:
                raise DeadLetterClosed

        async def tell(db: type_Connection) -> None:
            detail = {"task_id": task.task_id, "edited": edit is not None}
            await audit(db, actor, "redrive", [letter["id"]], detail, None)

        await self._intake.submit([task], beside=close, after=tell)
        return task.task_id

    def _message(self, letter: Any, edit: Edit | None) -> wire.TaskMessage:
        """What is to be run. An edit names type and id like the payload itself."""
        found = bytes(letter["found"] or b"")
        if (edit is None or edit.payload is None) and (letter["bytes"] or 0) > len(found):
            raise RedriveBlocked("Only the beginning of this payload was kept: give a whole one")
        if edit is not None:
            before, given = _object(found), edit.payload or edit.patch or {}
            names = {name: given.get(name, before.get(name)) for name in ("task_type", "task_id")}
            found = json.dumps({**edit.apply_to(before, max_bytes=self._max_payload_bytes), **names}).encode()
        try:
            return wire.decode(found)
        except wire.NotATask as error:
            if edit is not None:
                raise InvalidRequest(f"The edited payload is not a valid task: {error}", field="edit") from None
            raise RedriveBlocked(f"It is not a valid task: {error}") from None

    async def _task(self, caller: Caller, letter: Any, message: wire.TaskMessage) -> NewTask:
        payload = without_wire_keys(message.payload)
        try:
            orjson.dumps(payload)
        except TypeError:
            # Valid JSON that orjson refuses: lone surrogates, integers beyond 64 bits.
            raise RedriveBlocked("It contains values that cannot be stored unchanged") from None
        group = letter["group_id"] or ""
        project = text_member(payload, "project_id")
        place = await self._db.fetchrow(
            SQL.place_payload,
            text_member(payload, "tenant_id"),
            project,
            group,
            message.task_id,
            letter["tenant_id"],
        )
        assert place is not None
        tenant = letter["tenant_id"] or place["tenant_id"]
        # With a payload that names two tenants, a handler would write into the second one.
        for other in (place["tenant_id"], place["project_tenant"], place["group_tenant"]):
            if other not in (None, tenant):
                raise Forbidden("The payload names a tenant, a project and a group that do not belong together")
        if not caller.sees(tenant, project):
            raise Forbidden
        caller.check(tenant, project)
        found = _object(bytes(letter["found"] or b""))
        await self._check_memory(payload, found, project)
        if not caller.is_admin:
            _check_groups(payload, found, group)
            if payload.get("user_id") not in (None, caller.user_id, found.get("user_id")):
                raise Forbidden("payload.user_id does not belong to this payload")
        return NewTask(
            task_type=message.task_type,
            group_id=group,
            payload=payload,
            placement=Placement(tenant, project, place["plan"]),
            user_id=text_member(payload, "user_id"),
            task_id=message.task_id if place["id_is_free"] else str(uuid.uuid4()),
        )

    async def _check_memory(self, payload: Mapping[str, Any], found: Mapping[str, Any], project: str | None) -> None:
        """Handlers mark the memory. Raises `Forbidden` for another than the one found, unless the project has it."""
        if payload.get("memory_id") in (None, found.get("memory_id")):
            return
        memory = text_member(payload, "memory_id")
        known = None if memory is None else await self._view.project_of_memory(memory)
        if known is None or known != project:
            raise Forbidden(NO_PROJECT)


def _check_groups(payload: Mapping[str, Any], found: Mapping[str, Any], group: str) -> None:
    """Raises `Forbidden` for a payload that names other groups than its own and those that were found in it."""
    for key in ("group_id", "task_group_id", "group_ids"):
        if payload.get(key) not in (None, group, found.get(key)):
            raise Forbidden(f"payload.{key} does not belong to this payload")


def row_of(dead: DeadPayload) -> tuple[Any, ...]:
    """The arguments of `dead_letters.sql:found_payload`."""
    named = _object(dead.payload)
    group = dead.group[:_LONGEST].replace("\0", "\\0")
    task_type = text_member(named, "task_type")
    return (
        f"payload:{hashlib.sha256(dead.entry).hexdigest()[:40]}",
        text_member(named, "tenant_id"),
        text_member(named, "project_id"),
        group if storable(group) else "",
        task_type and task_type[:_LONGEST],
        dead.reason[:_LONGEST].replace("\0", "\\0"),
        dead.at,
        dead.payload,
        dead.size,
    )


def _object(raw: bytes) -> dict[str, Any]:
    """The members of the payload, as far as it is a JSON object."""
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
