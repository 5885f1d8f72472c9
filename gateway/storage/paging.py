"""Keyset pages of lists that are sorted by time and id, newest first."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from gateway.errors import InvalidRequest

_LONGEST_CURSOR = 3000


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list, newest first: right after the row of this time and id."""

    at: datetime
    id: str

    @property
    def cursor(self) -> str:
        """Opaque to clients; it gives no access to rows that the caller may not see."""
        return urlsafe_b64encode(orjson.dumps([self.at.isoformat(), self.id])).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str | None) -> Place | None:
        """Raises `InvalidRequest` for an invalid cursor."""
        if not cursor:
            return None
        try:
            if len(cursor) > _LONGEST_CURSOR:
                raise ValueError
            text, row_id = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            at = datetime.fromisoformat(text)
            if not isinstance(row_id, str) or "\0" in row_id or at.tzinfo is None:
                raise ValueError
            at = at.astimezone(UTC)
        except (ValueError, TypeError, OverflowError):
            raise InvalidRequest("cursor is not valid for this list.", field="cursor") from None
        return cls(at, row_id)
