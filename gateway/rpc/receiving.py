"""How the message of a call comes in: its key is valid before anything is read, and what is unfinished is bounded.

grpc takes no more of a call than one window of HTTP/2 until its handler asks for the message, and up to the whole
message from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.access.access import Access
from gateway.access.keys import hash_key, read_key
from gateway.errors import InvalidRequest, Unauthenticated

#: A message that is not there so long after its call was taken up is not waited for any more (seconds).
MESSAGE_SECONDS = 30.0
#: Messages of one key that may be under way at once; its further calls wait.
MOST_UNFINISHED = 16
#: Messages of a key that was valid are read without asking again for so long (seconds); the call itself asks.
TRUSTED_SECONDS = 60.0
#: Keys that are remembered.
MOST_KEYS = 10_000


async def only_message(incoming: AsyncIterator[bytes]) -> bytes:
    """The message of a call that has one. Raises `InvalidRequest` when the client closed its side without one, or does
    not send it in time."""
    try:
        async with asyncio.timeout(MESSAGE_SECONDS):
            async for raw in incoming:
                return raw
    except TimeoutError:
        raise InvalidRequest(f"The request did not arrive within {MESSAGE_SECONDS:g} s.") from None
    raise InvalidRequest("The request has no message, or an incomplete one.")


@dataclass(slots=True)
class _Key:
    trusted_until: float = 0.0
    unfinished: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_UNFINISHED))


class Receiver:
    """Reads the messages of those who have a valid key."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._keys: dict[str, _Key] = {}

    async def message(self, authorization: str | None, incoming: AsyncIterator[bytes]) -> bytes:
        """The message. Raises `Unauthenticated`, `DatabaseUnavailable`, `InvalidRequest`."""
        key = await self._known(authorization)
        async with key.unfinished:
            return await only_message(incoming)

    def distrust(self, authorization: str | None) -> None:
        """The key was refused."""
        with contextlib.suppress(Unauthenticated):
            self._keys.pop(hash_key(read_key(authorization)), None)

    async def _known(self, authorization: str | None) -> _Key:
        digest, now = hash_key(read_key(authorization)), asyncio.get_running_loop().time()
        key = self._keys.get(digest)
        if key is None or key.trusted_until < now:
            await self._access.authenticate(authorization)
            key = self._keys.setdefault(digest, _Key())
            key.trusted_until = now + TRUSTED_SECONDS
            if len(self._keys) > MOST_KEYS:
                del self._keys[next(iter(self._keys))]
        return key
