"""Cursors of lists: where the next page begins, and for which filters."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.storage.paging import Place
from gateway.tasks.queries.task_log import Position

_LIST = "tasks"


def cursor_of(position: Position, filters: Any) -> str:
    """The cursor of the entries after this place in the list with these filters; the place has a time."""
    assert position.created_at is not None
    return f"{_digest(filters)}.{Place(position.created_at, position.task_id).cursor_in(_LIST)}"


def position_at(cursor: str | None, filters: Any) -> Position | None:
    """Where the page begins; None: at the newest task. Raises `InvalidRequest` for a cursor of another list."""
    if not cursor:
        return None
    digest, _, rest = cursor.partition(".")
    place = Place.of(rest or cursor, _LIST)
    if place is None or digest != _digest(filters):
        raise InvalidRequest("cursor was made for other filters.", field="cursor")
    return Position(place.at, place.id)


def _digest(filters: Any) -> str:
    # In a fixed order: what was read from a protobuf map has none.
    return hashlib.sha256(orjson.dumps(filters, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
