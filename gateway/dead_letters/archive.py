"""Reads, dismisses and purges dead letters. Dismissed ones are kept, purged ones are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.access.placement import Caller
from gateway.audit.acts import Act, record
from gateway.dead_letters.errors import DeadLetterNotFound
from gateway.dead_letters.filter import SQL, LetterFilter, where
from gateway.errors import TaskNotFound, TooMuchHeld
from gateway.news.piece import Topic
from gateway.news.teller import tell
from gateway.sandbox.pool import Piecewise, Sandbox, SandboxExceeded, SandboxLost
from gateway.storage.database import Database, type_Connection
from gateway.storage.paging import Place
from gateway.tasks.queries.task_log import storable
from gateway.tasks.redaction import MARK, Redaction, beginning, shown

#: Most dead letters of one action.
MOST_AT_ONCE = 1000

#: Of cursors.
LIST = "dead letters"


@dataclass(frozen=True, slots=True)
class Page:
    """Dead letters, newest first; `cursor` is where the next page begins, None after the last one."""

    letters: list[dict[str, Any]]
    cursor: str | None


#: A payload that is larger is not shown whole (bytes of JSON).
LARGEST_SHOWN: Final = 256 * 1024
#: Of one that is larger not even the beginning is: what it hides is found in the whole (bytes of JSON).
LARGEST_READ: Final = 32 * 1024 * 1024
#: Processor time for that (seconds).
_READ_SECONDS: Final = 5.0
#: A payload that is larger is read in a thread, in which others have their turns (characters).
AT_ONCE: Final = 32 * 1024


#: Nobody groups more than the newest so many.
MOST_GROUPED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Groups:
    """Dead letters by what went wrong, the group of the newest one first; of the newest `counted`, at most `most`."""

    groups: list[dict[str, Any]]
    counted: int
    most: int = MOST_GROUPED


@dataclass(frozen=True, slots=True)
class Removal:
    """The result of an action by filter. `matched` counts the dead letters of this step."""

    matched: int
    done: int
    cursor: str | None


class DeadLetters:
    """A `caller` sees the dead letters of its tenants, an administrator all.

    Every method raises `DatabaseUnavailable`.
    """

    def __init__(self, database: Database, redaction: Redaction, sandbox: Sandbox) -> None:
        self._db = database
        self._redaction = redaction
        self._sandbox = sandbox
        self._large = asyncio.Lock()

    async def list(self, caller: Caller, which: LetterFilter, *, limit: int, cursor: str | None = None) -> Page:
        """One page. Raises `InvalidRequest` (the cursor)."""
        condition = where(caller, which, Place.of(cursor, LIST))
        query = _LIST.replace("/*where*/", str(condition)).replace("/*limit*/", str(limit + 1))
        letters = [_letter(row) for row in await self._db.fetch(query, *condition.arguments)]
        more = len(letters) > limit
        letters = letters[:limit]
        last = Place(letters[-1]["died_at"], letters[-1]["id"]).cursor_in(LIST) if more else None
        return Page(letters, last)

    async def groups(self, caller: Caller, which: LetterFilter, *, limit: int) -> Groups:
        """By kind, reason and type of the error; at most so many groups."""
        condition = where(caller, which)
        query = SQL.groups.replace("/*where*/", str(condition)).replace("/*limit*/", str(limit))
        rows = await self._db.fetch(query.replace("/*most*/", str(MOST_GROUPED)), *condition.arguments)
        shown = [{**{name: row[name] for name in _GROUP}, "types": row["types"] or []} for row in rows]
        return Groups(shown, rows[0]["counted"] if rows else 0)

    async def count(self, caller: Caller, which: LetterFilter) -> int:
        """How many there are."""
        condition = where(caller, which)
        return int(await self._db.fetchval(SQL.count.replace("/*where*/", str(condition)), *condition.arguments))

    async def get(self, caller: Caller, letter_id: str) -> dict[str, Any]:
        """One dead letter with its attempts, its payload and the previous versions of it, redacted; of large ones only
        the beginning, as text.

        Stacks, which name files of the servers, are for administrators; others get None.
        Raises `DeadLetterNotFound`, also for one that the caller may not see, and `TooMuchHeld`.
        """
        row = await self.find(caller, letter_id)
        letter = _letter(row)
        if row["kind"] == "payload":
            found = bytes(row["found"] or b"")
            is_large = len(found) > LARGEST_SHOWN
            if is_large:
                async with self._large:
                    letter["payload"] = await self._beginning(found)
            else:
                letter["payload"] = await self._shown(found.decode("utf-8", "backslashreplace"))
            letter["payload_is_cut"] = is_large or (row["bytes"] or 0) > len(found)
            return {**letter, "history": [], "edits": []}
        try:
            payload, _, is_cut = await self.payload_of_task(letter_id)
        except TaskNotFound:  # the row of the task is gone
            payload, is_cut = None, False
        attempts = await self._db.fetch(SQL.attempts, letter_id)
        return {
            **letter,
            "payload": payload,
            "payload_is_cut": is_cut,
            "history": [{**attempt, "stack": attempt["stack"] if caller.is_admin else None} for attempt in attempts],
            "edits": [edit async for edit in self._edits(letter_id)],
        }

    async def _edits(self, task_id: str) -> AsyncIterator[dict[str, Any]]:
        for edit in await self._db.fetch(SQL.edits, task_id, LARGEST_SHOWN):
            if edit["is_large"]:
                payload: Any = await self._read_beginning(SQL.large_payload_before_edit, edit["id"])
            else:
                payload = await self._shown(edit["payload"])
                await asyncio.sleep(0)  # others have their turn between two
            yield {"edited_at": edit["edited_at"], "edited_by": edit["edited_by"], "payload": payload}

    async def find(self, caller: Caller, letter_id: str) -> Any:
        """The row. Raises `DeadLetterNotFound`."""
        row = await self._db.fetchrow(_GET, letter_id) if storable(letter_id) else None
        if row is None or not caller.sees(row["tenant_id"], row["project_id"]):
            raise DeadLetterNotFound
        caller.check(row["tenant_id"], row["project_id"])
        return row

    async def payload_of_task(self, task_id: str) -> tuple[Any, int, bool]:
        """Of any task, redacted; its size in bytes as JSON; whether this is the beginning only. Access was checked.

        Raises `TaskNotFound`, `TooMuchHeld`.
        """
        row = await self._db.fetchrow(SQL.payload_of_task, task_id, LARGEST_SHOWN)
        if row is None:
            raise TaskNotFound
        size = row["bytes"] or 0
        if size <= LARGEST_SHOWN:
            return await self._shown(row["payload"]), size, False
        return await self._read_beginning(SQL.large_payload_of_task, task_id), size, True

    async def _shown(self, text: str | None) -> Any:
        if text is None or len(text) <= AT_ONCE:
            return shown(text, self._redaction)
        return await asyncio.to_thread(shown, text, self._redaction)

    async def _read_beginning(self, query: str, row_id: object) -> str:
        """Of a large payload. One is read at a time: each takes memory."""
        async with self._large:
            raw = await self._db.fetchval(query, row_id, LARGEST_READ)
            return MARK if raw is None else await self._beginning(raw)

    async def _beginning(self, raw: bytes) -> str:
        if len(raw) > LARGEST_READ:
            return MARK
        whole: Any = Piecewise(raw)  # bytes in the child
        try:
            return await self._sandbox.run(_READ_SECONDS, beginning, whole, self._redaction)
        except SandboxLost:
            raise TooMuchHeld(SandboxLost.TOLD, retry_after=1) from None
        except SandboxExceeded:
            return MARK

    async def dismiss(self, caller: Caller, letter_id: str, *, actor: str, why: str | None = None) -> None:
        """Mark it as handled. A second call changes nothing. Raises `DeadLetterNotFound`."""
        await self.find(caller, letter_id)
        await self._remove("dismiss", [letter_id], actor, why)

    async def purge(self, caller: Caller, letter_id: str, *, actor: str, why: str | None = None) -> None:
        """Delete the dead letter; the task and its row in `task_logs` stay. Raises `DeadLetterNotFound`."""
        await self.find(caller, letter_id)
        await self._remove("purge", [letter_id], actor, why)

    async def remove_many(
        self,
        what: str,
        caller: Caller,
        which: LetterFilter,
        *,
        limit: int,
        cursor: str | None,
        dry_run: bool,
        actor: str,
        why: str | None = None,
    ) -> Removal:
        """`dismiss` or `purge` a page of those that match. Raises `InvalidRequest` (the cursor)."""
        caller.check_all(which.tenant_id, which.project_id)
        page = await self.list(caller, which, limit=limit, cursor=cursor)
        ids = [letter["id"] for letter in page.letters]
        done = 0 if dry_run or not ids else await self._remove(what, ids, actor, why)
        return Removal(len(ids), done, page.cursor)

    async def _remove(self, what: str, ids: Sequence[str], actor: str, why: str | None) -> int:
        async with self._db.transaction() as db:
            if what == "purge":
                rows = await db.fetch(SQL.purge, ids)
            else:
                rows = await db.fetch(SQL.dismiss, ids, actor)
            if rows:
                await tell(db, Topic.DEAD_LETTER, {row["tenant_id"] for row in rows})
                await audit(db, actor, what, [row["id"] for row in rows], {}, why)
        return len(rows)

    async def forget_old(self, days: int) -> int:
        """Retention: delete dead letters that died longer ago. Returns how many there were."""
        total = 0
        while forgotten := int((await self._db.execute(SQL.forget_old, days)).rpartition(" ")[2]):
            total += forgotten
        await self._db.execute(SQL.forget_old_edits, days)
        return total


async def audit(
    db: type_Connection, actor: str, what: str, ids: Sequence[str], detail: dict[str, Any], why: str | None
) -> None:
    """Write the entry, last in the transaction: who did what to which dead letters, without payloads."""
    subject = f"dead-letter:{ids[0]}" if len(ids) == 1 else f"{len(ids)} dead letters"
    await record(db, Act(f"dead_letter.{what}", subject, actor, why, detail={**detail, "ids": list(ids)}))


def _letter(row: Any) -> dict[str, Any]:
    """As lists show it."""
    names = (
        "id",
        "kind",
        "tenant_id",
        "project_id",
        "group_id",
        "backend",
        "reason",
        "error",
        "error_type",
        "attempts",
    )
    closing = ("died_at", "state", "closed_at", "closed_by", "redrives", "bytes", "task_id")
    letter = {name: row[name] for name in (*names, *closing)}
    letter["type"] = row["task_type"]
    letter["labels"] = None if row["labels"] is None else orjson.loads(row["labels"])
    if letter["kind"] == "task":
        letter["task_id"] = row["id"]
    return letter


_GROUP = (*("kind", "reason", "error_type", "letters", "tenants", "oldest_at", "newest_at", "newest_id", "error"),)
_LIST = SQL.list.replace("/*columns*/", SQL.columns)
_GET = SQL.get.replace("/*columns*/", SQL.columns)
