"""Receives the messages of a call: its key is checked before anything is read, and their memory is bounded.

grpc takes no more of a call than one window of HTTP/2 until its handler asks for the message, and up to the whole
message from then on. So it is asked for by so few calls at a time that their messages, each of the largest size, fit
into the room that requests have; what has arrived counts as it is, until the call ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.access.access import Access
from gateway.access.keys import hash_key, read_key
from gateway.errors import InvalidRequest, Unauthenticated
from gateway.limits.held_bytes import HeldBytes
from gateway.rpc.parsing import HEAVY, Request, parse_apart
from gateway.sandbox.pool import Sandbox

#: Longest wait for a message after its call asked for it (seconds).
MESSAGE_SECONDS = 30.0
#: The same for a call that needs no key (seconds): such a call can hold no more than what arrives in this time.
KEYLESS_SECONDS = 1.0
#: How long the messages of a refused call are read and dropped (seconds).
DISCARD_SECONDS = 5.0
#: How long a valid key is remembered (seconds); meanwhile messages are read without checking it, the call still checks.
TRUSTED_SECONDS = 60.0
#: Most keys that are remembered.
MOST_KEYS = 10_000
#: A call with a message of fewer bytes counts only until it has arrived.
SMALL = 16 * 1024
#: Calls with a heavy message (`parsing.HEAVY`) take turns: one per key, and so many in all.
MOST_HEAVY = 2


async def only_message(incoming: AsyncIterator[bytes], *, within: float | None = None) -> bytes:
    """The message of a call that has one. Raises `InvalidRequest` when the client closed its side without one, or does
    not send it in time."""
    messages = aiter(incoming)
    raw = await _next(messages, MESSAGE_SECONDS if within is None else within)
    if isinstance(messages, AsyncGenerator):
        # grpc's iterator keeps its last message, and only the garbage collector frees it.
        await messages.aclose()
    if raw is None:
        raise InvalidRequest("The request has no message, or only a part of one.")
    return raw


async def _next(incoming: AsyncIterator[bytes], seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await anext(incoming, None)
    except TimeoutError:
        raise InvalidRequest(f"The request did not arrive within {seconds:g} s.") from None


class _Key:
    def __init__(self, key_id: str, most_unfinished: int) -> None:
        self.key_id = key_id
        self.trusted_until = 0.0
        self.unfinished = asyncio.Semaphore(most_unfinished)
        self.reading = 0
        self.heavy = asyncio.Semaphore(1)


class Receiver:
    """Reads the messages of those who have a valid key; `largest` is the size of the largest message in bytes."""

    def __init__(self, access: Access, held: HeldBytes, sandbox: Sandbox, *, largest: int) -> None:
        self.held = held
        self.sandbox = sandbox
        self.largest = largest
        self.unfinished = asyncio.Semaphore(max(1, held.in_all // largest))
        self.heavy = asyncio.Semaphore(MOST_HEAVY)
        self._access = access
        self._most_of_key = max(1, held.per_key // largest)
        self._keys: dict[str, _Key] = {}

    @asynccontextmanager
    async def call(self, authorization: str | None) -> AsyncIterator[Incoming]:
        """The messages of a call; what they hold is given back when it ends."""
        async with AsyncExitStack() as until_the_end:
            yield Incoming(self, authorization, until_the_end)

    async def known(self, authorization: str | None) -> _Key:
        """Raises `Unauthenticated`, `DatabaseUnavailable`."""
        digest, now = hash_key(read_key(authorization)), asyncio.get_running_loop().time()
        key = self._keys.get(digest)
        if key is None or key.trusted_until < now:
            caller = await self._access.authenticate(authorization)
            key = self._keys.setdefault(digest, _Key(caller.key_id, self._most_of_key))
            key.trusted_until = now + TRUSTED_SECONDS
            if len(self._keys) > MOST_KEYS:
                del self._keys[next(iter(self._keys))]
        return key

    def distrust(self, authorization: str | None) -> None:
        """The key was refused."""
        with contextlib.suppress(Unauthenticated):
            self._keys.pop(hash_key(read_key(authorization)), None)


class Incoming:
    """The messages of one call. What reads them raises `Unauthenticated`, `DatabaseUnavailable`, `InvalidRequest`,
    `BodyTooLarge`, `TooManyOpen`, `TooMuchHeld`."""

    def __init__(self, receiver: Receiver, authorization: str | None, until_the_end: AsyncExitStack) -> None:
        self._receiver = receiver
        self._authorization = authorization
        self._until_the_end = until_the_end
        self._messages: AsyncIterator[bytes] | None = None

    async def only(self, request_type: type[Request], incoming: AsyncIterator[bytes]) -> Request:
        """The request of a call that has one."""
        key = await self._receiver.known(self._authorization)
        await key.unfinished.acquire()
        self._until_the_end.callback(key.unfinished.release)
        raw = await self._kept(key, lambda: only_message(incoming))
        assert raw is not None
        if len(raw) <= SMALL:
            await self.release()
        await self._until_the_end.enter_async_context(self._turn(key, raw))
        return await self._parsed(request_type, raw)

    async def each(
        self, request_type: type[Request], incoming: AsyncIterator[bytes]
    ) -> AsyncGenerator[tuple[int, Request], None]:
        """The requests of a call that has any number, with their sizes in bytes. To be closed by who reads them."""
        key = await self._receiver.known(self._authorization)
        await key.unfinished.acquire()
        self._until_the_end.callback(key.unfinished.release)
        messages = self._messages = aiter(incoming)
        if isinstance(messages, AsyncGenerator):
            self._until_the_end.push_async_callback(messages.aclose)
        while (raw := await self._kept(key, lambda: _next(messages, MESSAGE_SECONDS))) is not None:
            size = len(raw)
            async with self._turn(key, raw):
                request = await self._parsed(request_type, raw)
            del raw
            yield size, request

    async def discard(self) -> None:
        """Read and forget what else comes of a call that is refused. A client that still writes when it is told so may
        take that for a fault inside of its library, and says INTERNAL."""
        messages = self._messages
        if messages is None:
            return
        with contextlib.suppress(Exception):  # the call has its answer already
            async with asyncio.timeout(DISCARD_SECONDS):
                key = await self._receiver.known(self._authorization)
                while await self._read(key, lambda: anext(messages, None)) is not None:
                    pass

    async def release(self) -> None:
        """Give everything back before the call ends."""
        await self._until_the_end.aclose()

    async def _parsed(self, request_type: type[Request], raw: bytes) -> Request:
        receiver = self._receiver
        return await parse_apart(request_type, raw, receiver.sandbox, largest=receiver.largest)

    async def _kept(self, key: _Key, read: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        """A message, whose room is given back when the call ends."""
        raw = await self._read(key, read)
        if raw is not None and len(raw) > SMALL:
            held, size = self._receiver.held, len(raw)
            held.hold(key.key_id, size)
            self._until_the_end.callback(held.release, key.key_id, size)
        return raw

    async def _read(self, key: _Key, read: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        """A message, or None at the end. The only one of a key does not wait for others'."""
        async with self._receiver.unfinished if key.reading else contextlib.nullcontext():
            key.reading += 1
            try:
                return await read()
            finally:
                key.reading -= 1

    @asynccontextmanager
    async def _turn(self, key: _Key, raw: bytes) -> AsyncIterator[None]:
        if len(raw) <= HEAVY:
            yield
            return
        async with key.heavy, self._receiver.heavy:
            yield
