"""Cursors: where a list goes on. Opaque to clients, and worth nothing to a caller who may not see the tasks."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.status.task_log import Position

_LONGEST = 2000


def cursor_of(position: Position, filters: Any) -> str:
    """The cursor of what follows this place in the list that these filters make."""
    at = None if position.created_at is None else position.created_at.isoformat()
    return urlsafe_b64encode(orjson.dumps([_digest(filters), at, position.task_id])).decode().rstrip("=")


def position_at(cursor: str | None, filters: Any) -> Position | None:
    """Where to go on; None: with the newest task. Raises `InvalidRequest` for what is no cursor of this list."""
    if not cursor:
        return None
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        digest, at, task_id = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        created_at = datetime.fromisoformat(at)
        if created_at.tzinfo is None or not isinstance(task_id, str) or "\0" in task_id:
            raise ValueError
    except (ValueError, TypeError):
        raise InvalidRequest("cursor is not one of this API.", field="cursor") from None
    if digest != _digest(filters):
        raise InvalidRequest("cursor belongs to a list with other filters.", field="cursor")
    return Position(created_at, task_id)


def _digest(filters: Any) -> str:
    return hashlib.sha256(orjson.dumps(filters)).hexdigest()[:16]
