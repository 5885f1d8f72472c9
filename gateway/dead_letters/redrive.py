"""Runs dead letters again, on the backend of the flag, or on one that is asked for if the stage allows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from gateway.access.placement import Caller
from gateway.dead_letters.archive import LIST, DeadLetters, audit
from gateway.dead_letters.editing import Edit, changed_keys, check_place, place_keys
from gateway.dead_letters.errors import BackendNotAllowed, DeadLetterClosed, DeadLetterNotFound, RedriveBlocked
from gateway.dead_letters.filter import SQL, LetterFilter
from gateway.dead_letters.payloads import PayloadRedriver
from gateway.errors import ApiError, Forbidden
from gateway.routing.router import RouteQuery, Router
from gateway.routing.stages import allows
from gateway.storage.database import Database, type_Connection
from gateway.storage.paging import Place
from gateway.submission.new_task import MARK
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL, ChangeNotifier
from gateway.tasks.payload import decode_payload, encode_json
from gateway.tasks.queries.dispatch_view import DispatchView
from gateway.tasks.run_type import BUILT_IN

UNIQUE = "Another active task has the unique key of this one"
GONE = "The task's row in task_logs is gone, or was changed by somebody else"


@dataclass(frozen=True, slots=True)
class RedriveOptions:
    """How to redrive. `backend` None: as the flag says. `spread_seconds`: how long an operation takes to start them."""

    actor: str
    backend: str | None = None
    spread_seconds: float = 0.0
    why: str | None = None


@dataclass(slots=True)
class Redriven:
    """The result for a page of dead letters. `skipped`: the reasons by id."""

    places: list[Place]
    done: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def matched(self) -> int:
        return len(self.places)

    @property
    def ids(self) -> list[str]:
        return [place.id for place in self.places]


class Redriver:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(
        self,
        database: Database,
        letters: DeadLetters,
        payloads: PayloadRedriver,
        router: Router,
        notifier: ChangeNotifier,
        *,
        max_payload_bytes: int,
    ) -> None:
        self._db = database
        self._letters = letters
        self._payloads = payloads
        self._router = router
        self._notifier = notifier
        self._view = DispatchView(database)
        self._max_payload_bytes = max_payload_bytes

    async def redrive(self, caller: Caller, letter_id: str, options: RedriveOptions, edit: Edit | None = None) -> str:
        """Run one again, optionally with an edited payload. Returns the id of its task.

        Raises `DeadLetterNotFound`, `DeadLetterClosed`, `BackendNotAllowed`, `RedriveBlocked`; for an edit also
        `InvalidRequest`, `Forbidden`.
        """
        letter = await self._letters.find(caller, letter_id)
        if letter["kind"] == "payload":
            return await self._payloads.redrive(caller, letter, edit, actor=options.actor, backend=options.backend)
        row = await self._state(self._db, letter_id)
        if (refusal := self._refusal(row, options)) is not None:
            raise refusal
        try:
            async with self._db.transaction() as db:
                detail: dict[str, Any] = {"backend": options.backend}
                if edit is not None:
                    detail["edited_keys"] = await self._edit(db, row, edit, options.actor)
                if not await self._run_again(db, [letter_id], [0.0], options, detail):
                    now = await self._state(db, letter_id)
                    raise _closed(now) if now["dispatch_state"] != "failed" else RedriveBlocked(GONE)
        except asyncpg.UniqueViolationError:
            raise RedriveBlocked(UNIQUE) from None
        self._notifier.changed(letter_id)
        return letter_id

    async def redrive_many(
        self,
        caller: Caller,
        which: LetterFilter,
        options: RedriveOptions,
        *,
        limit: int,
        after: Place | None = None,
        dry_run: bool = False,
        pause_of: Callable[[int], float] = lambda _: 0.0,
    ) -> Redriven:
        """Redrive a page of those that match; `pause_of` says after how many seconds each of it is due.

        A dry run says which could be redriven. Raises `BackendNotAllowed` if the backend is allowed for none of them.
        """
        page = await self._letters.list(
            caller, which, limit=limit, cursor=None if after is None else after.cursor_in(LIST)
        )
        answer = Redriven([Place(letter["died_at"], letter["id"]) for letter in page.letters])
        rows = {row["id"]: row for row in await self._db.fetch(SQL.states, [x["id"] for x in page.letters])}
        ready: list[str] = []
        refusals: list[ApiError] = []
        for letter in page.letters:
            row = rows.get(letter["id"])
            if row is None:
                continue
            refusal = self._refusal(row, options)
            if letter["kind"] == "payload":
                refusal = RedriveBlocked("It is not a valid task: correct it, one at a time")
            if refusal is None:
                ready.append(letter["id"])
            else:
                refusals.append(refusal)
                answer.skipped[letter["id"]] = refusal.message
        if dry_run:
            if not ready and refusals and all(isinstance(refusal, BackendNotAllowed) for refusal in refusals):
                raise refusals[0]
            answer.done = ready
            return answer
        await self._redrive_ready(ready, [pause_of(index) for index in range(len(ready))], options, answer)
        for task_id in answer.done:
            self._notifier.changed(task_id)
        return answer

    async def _redrive_ready(
        self, ids: Sequence[str], pauses: Sequence[float], options: RedriveOptions, answer: Redriven
    ) -> None:
        if not ids:
            return
        detail = {"backend": options.backend}
        try:
            async with self._db.transaction() as db:
                answer.done = await self._run_again(db, ids, pauses, options, detail)
        except asyncpg.UniqueViolationError:
            # One of them prevents all: redrive each by itself.
            for task_id, pause in zip(ids, pauses, strict=True):
                try:
                    async with self._db.transaction() as db:
                        answer.done += await self._run_again(db, [task_id], [pause], options, detail)
                except asyncpg.UniqueViolationError:
                    answer.skipped[task_id] = UNIQUE
        for task_id in set(ids).difference(answer.done, answer.skipped):
            answer.skipped[task_id] = DeadLetterClosed().message

    async def _run_again(
        self,
        db: type_Connection,
        ids: Sequence[str],
        pauses: Sequence[float],
        options: RedriveOptions,
        detail: Mapping[str, Any],
    ) -> list[str]:
        done = [row["task_id"] for row in await db.fetch(SQL.redrive, ids, pauses, options.backend)]
        if done:
            await db.execute(SQL.sign, done, options.actor)
            await db.execute("SELECT pg_notify($1, '')", DUE_CHANNEL)
            await audit(db, options.actor, "redrive", done, dict(detail), options.why)
        return done

    @staticmethod
    async def _state(db: Database | type_Connection, letter_id: str) -> asyncpg.Record:
        """Raises `DeadLetterNotFound`: it was purged since it was found."""
        if not (rows := await db.fetch(SQL.states, [letter_id])):
            raise DeadLetterNotFound
        return rows[0]

    def _refusal(self, row: Any, options: RedriveOptions) -> ApiError | None:
        """Why this task cannot be redriven in this way; None: it can be."""
        if row["state"] == "redriven" or row["dispatch_state"] not in (None, "failed"):
            return _closed(row)
        if row["dispatch_state"] is None or row["log_status"] not in ("FAILED", "STOPPED"):
            return RedriveBlocked(GONE)
        if row["task_type"].startswith(BUILT_IN) and row["dag_run_id"] not in (None, row["id"]):
            return RedriveBlocked(f"This is a node of the DAG run {row['dag_run_id']}: retry that run")
        return check_backend(self._router, row, row["id"], options.backend)

    async def _edit(self, db: type_Connection, row: Any, edit: Edit, actor: str) -> list[str]:
        """Write the edited payload, and keep the previous one. Returns the names of the changed keys."""
        locked = await db.fetchrow(SQL.lock_payload, row["id"])
        if locked is None:
            raise _closed(row)
        before = decode_payload(locked["payload"])
        after = edit.apply_to(before, max_bytes=self._max_payload_bytes)
        check_place(after, before, row)
        memory = after.get("memory_id")
        if memory is not None and memory != before.get("memory_id"):
            known = await self._view.project_of_memory(memory) if isinstance(memory, str) else None
            if known is None or known != row["project_id"]:
                raise Forbidden("You do not have access to this project")
        # Keys of the placement that the edit left out keep their values.
        after |= {name: before[name] for name in place_keys(row["task_type"]) if name in before}
        stored = {**after, "task_type": row["task_type"], "task_id": row["id"], "timestamp": time.time()}
        await db.execute(SQL.edit, row["id"], actor, locked["payload"], MARK + encode_json(stored))
        return changed_keys(before, after)


def check_backend(router: Router, row: Mapping[str, Any], task_id: str, backend: str | None) -> ApiError | None:
    """Why the stage of this task does not allow the backend; None: it does, or none is asked for."""
    if backend is None:
        return None
    route = router.route(RouteQuery(row["tenant_id"], row["task_type"], task_id, row["project_id"], plan=row["plan"]))
    if not allows(route.stage, backend):
        return BackendNotAllowed(f"At stage {route.stage} nothing is started on {backend}")
    if backend not in router.configured:
        return BackendNotAllowed(f"{backend} is not configured here")
    return None


def _closed(row: Any) -> DeadLetterClosed:
    state = row["dispatch_state"]
    return DeadLetterClosed(f"This dead letter was already redriven; its task is {state}")
