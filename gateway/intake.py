"""The one way in: a task is accepted when its row and its dispatch row are committed together (design §3)."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.access.placement import Placement
from gateway.db import type_Connection


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be accepted. `payload` holds the type's keys of contract §5, without `task_type, task_id, timestamp`."""

    task_type: str
    group_id: str
    payload: dict[str, Any]
    placement: Placement
    user_id: str | None
    entity_id: str | None = None
    entity_type: str | None = None
    parent_task_id: str | None = None
    priority: int = 3
    not_before: datetime | None = None
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What is remembered of a request with an `Idempotency-Key`: the answer that its first execution gives.

    `fingerprint` is a digest of method, path and body; `answer` is the JSON text of the response.
    """

    user_id: str
    key: str
    fingerprint: str
    status: int
    answer: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored answer of an earlier request with the same key."""

    status: int
    answer: str


#: Statements that belong into the transaction of an acceptance (e.g. the row in `memories`).
Beside = Callable[[type_Connection], Awaitable[None]]
