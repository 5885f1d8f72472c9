"""Cursors of lists with filters: where a list goes on, and which list that is."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.storage.paging import Place
from gateway.tasks.queries.task_log import Position


def cursor_of(position: Position, filters: Any) -> str:
    """The cursor of what follows this place in the list that these filters make; the place has a time."""
    assert position.created_at is not None
    return f"{_digest(filters)}.{Place(position.created_at, position.task_id).cursor}"


def position_at(cursor: str | None, filters: Any) -> Position | None:
    """Where to go on; None: with the newest task. Raises `InvalidRequest` for what is no cursor of this list."""
    if not cursor:
        return None
    digest, _, rest = cursor.partition(".")
    place = Place.of(rest or cursor)
    if place is None or digest != _digest(filters):
        raise InvalidRequest("cursor was made for other filters.", field="cursor")
    return Position(place.at, place.id)


def _digest(filters: Any) -> str:
    return hashlib.sha256(orjson.dumps(filters)).hexdigest()[:16]
