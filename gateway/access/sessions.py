"""Sessions of the console: a key is exchanged for one, and no page ever holds the key again."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.access.placement import Caller
from gateway.audit.acts import Act, record
from gateway.errors import Unauthenticated
from gateway.storage.database import Database
from gateway.storage.forgetting import forget
from gateway.storage.queries import Queries

SQL = Queries("gateway.access", "sessions.sql")

#: A use is stored only if the last stored one is older than this part of the idle time.
_NOTED_PART: Final = 20


class SessionEnded(Unauthenticated):
    """The session has ended; sign in again."""

    code = "session_ended"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that is open; `key_hash` leads to what its key may do."""

    session_id: str
    key_hash: str
    expires_at: datetime


def hash_token(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_token(token: str) -> str:
    """What proves that a request comes from a page that may read answers; it says nothing of the session's token."""
    return hashlib.sha256(b"csrf:" + token.encode()).hexdigest()


def proves_origin(token: str, proof: str) -> bool:
    """Whether `proof` is the CSRF token of this session."""
    return hmac.compare_digest(csrf_token(token).encode(), proof.encode())


class Sessions:
    """Each session lasts `absolute_seconds`, and ends sooner when it is not used for `idle_seconds`.

    An open stream is a use. Every method raises `DatabaseUnavailable`.
    """

    def __init__(
        self,
        database: Database,
        *,
        idle_seconds: float,
        absolute_seconds: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._db = database
        self._idle = timedelta(seconds=idle_seconds)
        self._absolute = timedelta(seconds=absolute_seconds)
        self._clock = clock

    async def open(self, caller: Caller) -> tuple[str, datetime]:
        """A session for the caller's key: its token, and when it ends at the latest. Raises `LedgerUnwritable`."""
        now, token, session_id = self._clock(), secrets.token_urlsafe(32), str(uuid.uuid4())
        expires_at = now + self._absolute
        await forget(self._db, SQL.forget, now)
        async with self._db.transaction() as db:
            await db.execute(SQL.add, session_id, hash_token(token), caller.key_id, caller.user_id, now, expires_at)
            detail = {"expires_at": expires_at.isoformat()}
            await record(db, Act("session.create", f"session:{session_id}", caller.user_id, detail=detail))
        return token, expires_at

    async def find(self, token_hash: str) -> OpenSession | None:
        """The session, and it counts as used; None when there never was one. Raises `SessionEnded`."""
        row = await self._db.fetchrow(SQL.find, token_hash)
        if row is None:
            return None
        now = self._clock()
        if row["key_hash"] is None or row["expires_at"] <= now or row["used_at"] <= now - self._idle:
            raise SessionEnded
        await self._note([row], now)
        return OpenSession(row["session_id"], row["key_hash"], row["expires_at"])

    async def still_open(self, session_ids: Iterable[str]) -> set[str]:
        """Which of these are open; they count as used."""
        now = self._clock()
        rows = await self._db.fetch(SQL.valid, list(session_ids), now, now - self._idle)
        await self._note(rows, now)
        return {row["session_id"] for row in rows}

    async def close(self, caller: Caller, *, everywhere: bool) -> int:
        """End the caller's session, or all of its user's (for a key of one tenant: all of this key); how many.

        Their streams end within two seconds. Raises `LedgerUnwritable`.
        """
        async with self._db.transaction() as db:
            if everywhere:
                rows = await db.fetch(SQL.delete_all, caller.user_id, None if caller.only is None else caller.key_id)
            else:
                rows = await db.fetch(SQL.delete, caller.session_id)
            for key_id in {row["key_id"] for row in rows}:
                await db.execute(SQL.announce, key_id)
            subject = f"user:{caller.user_id}" if everywhere else f"session:{caller.session_id}"
            await record(db, Act("session.delete", subject, caller.user_id, detail={"sessions": len(rows)}))
        return len(rows)

    async def _note(self, rows: list[Any], now: datetime) -> None:
        stale = [row["session_id"] for row in rows if now - row["used_at"] > self._idle / _NOTED_PART]
        if stale:
            await self._db.execute(SQL.touch, stale, now)
