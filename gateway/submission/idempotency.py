"""Requests with an `Idempotency-Key`, and their stored answers."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.placement import RepeatsAs
from gateway.errors import ApiError, IdempotencyMismatch, InvalidRequest
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.tasks.lifecycle", "transitions.sql")

#: Characters of an idempotency key.
LONGEST_KEY = 255

#: Refusals by what is so at the moment: a time that has passed, a unique key, a backend. Rights are not among them.
_OF_THE_MOMENT = frozenset((404, 409, 422))


def check_idempotency_key(key: str) -> None:
    """Raises `InvalidRequest` for a key that is not 1 to 255 printable ASCII characters."""
    if not 1 <= len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        message = f"An idempotency key must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise InvalidRequest(message, field="idempotency_key")


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A request with an `Idempotency-Key`, and the answer of its first execution.

    `asked_by` is `Caller.repeats_as`, `fingerprint` a digest of method, path and body; `answer` is the JSON text
    of the response.
    """

    asked_by: RepeatsAs
    key: str
    fingerprint: str
    status: int
    answer: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored answer of an earlier request with the same key."""

    status: int
    answer: str


async def recall(db: type_Connection, key: Idempotency, memory_seconds: float) -> Replay | None:
    """Store this request, or return the answer to an earlier one with the same key. Raises `IdempotencyMismatch`."""
    fresh = await db.fetchval(
        SQL.remember, key.asked_by, key.key, key.fingerprint, key.status, key.answer, memory_seconds
    )
    if fresh:
        return None
    known = await db.fetchrow(SQL.recall, key.asked_by, key.key)
    if known is None or known["fingerprint"] != key.fingerprint:
        raise IdempotencyMismatch
    return Replay(known["status"], known["answer"])


def may_have_passed(refused: ApiError) -> bool:
    """Whether the same request may have been accepted before, although it is refused now."""
    return refused.http_status in _OF_THE_MOMENT


async def first_answer(db: Database, key: Idempotency, memory_seconds: float) -> Replay | None:
    """The answer to an earlier request that is the same and has the same key. Raises `DatabaseUnavailable`."""
    known = await db.fetchrow(SQL.first_answer, key.asked_by, key.key, key.fingerprint, memory_seconds)
    return None if known is None else Replay(known["status"], known["answer"])
