"""Cursors: where the next page of a list begins. Opaque to clients; each is of one list, and no other takes it.

A cursor gives no access to rows that the caller may not see: the list is the caller's own, from that place on.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.errors import InvalidRequest

_LONGEST_CURSOR = 3000


def cursor_in(listed: str, *place: str | int) -> str:
    """The cursor of a place in the list of this name."""
    return urlsafe_b64encode(orjson.dumps([listed, *place])).decode().rstrip("=")


def parts_of(cursor: str, listed: str, *kinds: type[str] | type[int]) -> list[Any]:
    """The place that `cursor_in` was given. Raises `InvalidRequest` for what is no cursor of this list."""
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        found: list[Any] = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        name, *place = found
        if name != listed or [type(part) for part in place] != [*kinds]:
            raise ValueError
        if any(part < 0 or part >= 2**63 if isinstance(part, int) else "\0" in part for part in place):
            raise ValueError
    except (ValueError, TypeError):
        raise InvalidRequest("cursor is not valid for this list.", field="cursor") from None
    return place


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list that is sorted by time and id, newest first: right after the row of this time and id."""

    at: datetime
    id: str

    def cursor_in(self, listed: str) -> str:
        """The cursor of this place."""
        return cursor_in(listed, self.at.isoformat(), self.id)

    @classmethod
    def of(cls, cursor: str | None, listed: str) -> Place | None:
        """Raises `InvalidRequest` for what is no cursor of this list."""
        if not cursor:
            return None
        text, row_id = parts_of(cursor, listed, str, str)
        try:
            at = datetime.fromisoformat(text)
            if at.tzinfo is None:
                raise ValueError
            return cls(at.astimezone(UTC), row_id)
        except (ValueError, OverflowError):
            raise InvalidRequest("cursor is not valid for this list.", field="cursor") from None
