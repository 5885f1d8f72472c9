"""What every call passes: key, parsing, error answers. The methods behind it see messages and raise `gateway.errors`.

Requests are parsed here, so that bytes that are no message are INVALID_ARGUMENT, and no client is told the names of
Python's exceptions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.access.access import Access
from gateway.access.keys import read_key
from gateway.errors import InvalidRequest
from gateway.rpc.failures import end_with
from gateway.rpc.wire.call import Call, Gone
from gateway.rpc.wire.method import Method

log = logging.getLogger(__name__)

Request = TypeVar("Request", bound=Message)
_T = TypeVar("_T")

Send = Callable[[bytes], Awaitable[None]]

#: Requests beyond this size (bytes) are taken apart in a thread, so that the others need not wait.
LARGE = 64 * 1024


async def apart(size: int, work: Callable[..., _T], *args: Any, **options: Any) -> _T:
    """The result of `work`, done in a thread when it is about more than `LARGE` bytes."""
    if size <= LARGE:
        return work(*args, **options)
    return await asyncio.to_thread(work, *args, **options)


def parse(request_type: type[Request], raw: bytes) -> Request:
    """The message in these bytes. Raises `InvalidRequest`."""
    try:
        return request_type.FromString(raw)
    except (DecodeError, RecursionError):
        raise InvalidRequest(f"The request is not a valid {request_type.DESCRIPTOR.full_name}.") from None


class Unbroken:
    """Carries out to its end what must not stop half-way because a client leaves or its deadline passes.

    A task that was committed has to be told to its engine, a change has to be announced: both happen after the commit.
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result. Cancelling the caller leaves the work under way."""
        if asyncio.current_task() in self._under_way:
            return await work
        task = asyncio.create_task(work)
        self.hold(task)
        return await asyncio.shield(task)

    def hold(self, task: asyncio.Task[Any]) -> None:
        """This is not to be cancelled, and ends before the server does."""
        self._under_way.add(task)
        task.add_done_callback(self._done)

    async def finish(self) -> None:
        """Return when everything has ended."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever still waits is told; for the others this is the only trace.
            log.debug("a call ended with %s", type(error).__name__)


class KeyedCalls:
    """Makes handlers for calls that need a key.

    As over HTTP, the answer to somebody without a valid key is UNAUTHENTICATED and nothing else, whatever was sent: a
    missing or malformed key is refused before the request is parsed, an invalid request is reported only to those whose
    key is valid.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def unary(self, request_type: type[Request], method: Callable[[str | None, Request], Awaitable[Message]]) -> Method:
        """One request, one answer."""

        async def serve(call: Call) -> None:
            authorization = call.metadata.get("authorization")
            try:
                read_key(authorization)
                raw = await call.only()
                request = await apart(len(raw), parse, request_type, raw)
                call.answer((await method(authorization, request)).SerializeToString())
            except Exception as error:  # noqa: BLE001 (answered)
                await self._refuse(call, authorization, error)

        return Method(serve, unbroken=True)

    def collecting(
        self,
        request_type: type[Request],
        method: Callable[[str | None, AsyncIterator[tuple[int, Request]]], Awaitable[_T]],
        answer: Callable[[_T], Awaitable[Message]],
    ) -> Method:
        """A stream of requests, one answer.

        `method` is given each request with its size in bytes; `answer` acts on what it made of them, once the client
        has closed its side.
        """

        async def serve(call: Call) -> None:
            authorization = call.metadata.get("authorization")

            async def requests() -> AsyncIterator[tuple[int, Request]]:
                while (raw := await call.next()) is not None:
                    yield len(raw), await apart(len(raw), parse, request_type, raw)

            try:
                read_key(authorization)
                collected = await method(authorization, requests())
                call.answer((await answer(collected)).SerializeToString())
            except Exception as error:  # noqa: BLE001 (answered)
                await self._refuse(call, authorization, error)

        return Method(serve, whole=False)

    def streaming(
        self, request_type: type[Request], method: Callable[[str | None, Request, Send], Awaitable[None]]
    ) -> Method:
        """One request, a stream of answers, which `method` sends one by one as bytes."""

        async def serve(call: Call) -> None:
            authorization = call.metadata.get("authorization")
            try:
                read_key(authorization)
                await method(authorization, parse(request_type, await call.only()), call.send)
            except Exception as error:  # noqa: BLE001 (answered)
                await self._refuse(call, authorization, error)

        return Method(serve)

    async def _refuse(self, call: Call, authorization: str | None, error: Exception) -> None:
        if isinstance(error, Gone) or not call.is_open:
            return
        if isinstance(error, InvalidRequest):
            try:
                await self._access.authenticate(authorization)
            except Exception as refusal:  # noqa: BLE001 (answered)
                error = refusal
        end_with(call, error)
