"""The record, read: every entry, the newest first, or as events in the order in which they were written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from gateway.audit.events import event_of
from gateway.storage.database import Database
from gateway.storage.paging import cursor_in, parts_of
from gateway.storage.queries import Queries

SQL = Queries("gateway.audit", "reading.sql")

LARGEST_PAGE = 1000

#: What cursors call the lists.
ENTRIES = "audit entries"
EVENTS = "audit events"


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; None means any. `action` is the beginning of one: `key.` is all about keys."""

    action: str | None = None
    who: str | None = None
    subject: str | None = None
    since: datetime | None = None
    before: datetime | None = None


class AuditTrail:
    """For administrators; the faces see to it. Every method raises `InvalidRequest` (the cursor), and
    `DatabaseUnavailable`."""

    def __init__(self, database: Database, source: str) -> None:
        """`source`: what CloudEvents name as the source of an event."""
        self._db = database
        self._source = source

    async def page(
        self, which: EntryFilter, *, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Entries, the newest first, and the cursor of the next page."""
        rows = await self._rows(which, limit + 1, before=_number(cursor, ENTRIES))
        entries = [_entry(row) for row in rows[:limit]]
        return entries, cursor_in(ENTRIES, entries[-1]["id"]) if len(rows) > limit else None

    async def events(
        self, which: EntryFilter, *, cursor: str | None, limit: int, after: int | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """CloudEvents, the oldest first, and the cursor to ask on with, now or later; None: there was none at all.

        `after`: only those after the event with this id.
        """
        rows = await self._rows(which, limit, after=max(_number(cursor, EVENTS) or 0, after or 0))
        last = cursor_in(EVENTS, rows[-1]["id"]) if rows else cursor
        return [event_of(_entry(row), self._source) for row in rows], last

    async def _rows(
        self, which: EntryFilter, limit: int, *, before: int | None = None, after: int | None = None
    ) -> list[asyncpg.Record]:
        named = (which.action, which.who, which.subject)
        return await self._db.fetch(SQL.entries, limit, before, after, *named, which.since, which.before)


def _number(cursor: str | None, listed: str) -> int | None:
    return None if cursor is None else parts_of(cursor, listed, int)[0]


def _entry(row: asyncpg.Record) -> dict[str, Any]:
    """`before` and `after` as objects; a stage is `{"stage": …}`."""
    evidence = orjson.loads(row["evidence"])
    request = evidence.pop("request", None) or {}
    return {
        "id": row["id"],
        "at": row["at"],
        "action": row["kind"],
        "subject": row["scope"],
        "who": row["who"] or None,
        "why": row["why"] or None,
        "source": row["source"],
        "before": _facts(row["before"]),
        "after": _facts(row["after"]),
        "detail": evidence,
        "request_id": request.get("request_id"),
        "address": request.get("address"),
        "key_id": request.get("key_id"),
        "hash": row["hash"],
    }


def _facts(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    facts: dict[str, Any] = orjson.loads(text) if text.startswith("{") else {"stage": text}
    return facts
