"""The bytes of requests under way that one gateway holds, over HTTP and gRPC together."""

from __future__ import annotations

from gateway.errors import TooManyOpen, TooMuchHeld


class HeldBytes:
    """At most `in_all` bytes, and `per_key` bytes of one API key."""

    def __init__(self, *, in_all: int, per_key: int) -> None:
        self.in_all = in_all
        self.per_key = per_key
        self._held = 0
        self._held_by: dict[str, int] = {}

    def hold(self, key_id: str, size: int) -> None:
        """Take room for so many bytes more. Raises `TooManyOpen`, `TooMuchHeld`."""
        held_by_key = self._held_by.get(key_id, 0) + size
        if held_by_key > self.per_key:
            raise TooManyOpen("This key has too many large requests under way.", retry_after=1)
        if self._held + size > self.in_all:
            raise TooMuchHeld(retry_after=1)
        self._held += size
        self._held_by[key_id] = held_by_key

    def release(self, key_id: str, size: int) -> None:
        """Give back what `hold` took."""
        self._held -= size
        left = self._held_by.pop(key_id, 0) - size
        if left:
            self._held_by[key_id] = left
