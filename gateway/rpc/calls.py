"""What every call passes: key, parsing, error answers. The methods behind it see messages and raise `gateway.errors`.

Requests are parsed here and not by grpc, which answers bytes that are no message with UNKNOWN, and tells the client the
names of Python's exceptions. They are also read here: on the wire a single request is a stream of one, and grpc never
answers a client that closes its side without one.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from gateway.access.access import Access
from gateway.access.verbs import ASKED, METHODS, Asked, Verb
from gateway.errors import InvalidRequest, Unauthenticated
from gateway.observability.logs import log_fields
from gateway.observability.request_id import HEADER, request_id_of
from gateway.rpc.failures import abort
from gateway.rpc.parsing import Request
from gateway.rpc.peers import Proxies, client_of
from gateway.rpc.receiving import Incoming, Receiver

log = logging.getLogger(__name__)

_T = TypeVar("_T")

Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]
Send = Callable[[bytes], Awaitable[None]]
Handle: TypeAlias = Callable[[AsyncIterator[bytes], Context], Awaitable[_T]]

#: Ends of calls that are a fault of the gateway, or of what it needs.
_FAULTS = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)


def verb_with(request_type: type[Message]) -> Verb:
    """What the method with these requests asks for. Raises `KeyError` when it has no verb in `access.verbs`."""
    return METHODS[request_type.DESCRIPTOR.name.removesuffix("Request")]


def authorization_of(context: Context) -> str | None:
    """The value of the `authorization` metadata."""
    return _metadata(context, "authorization")


def _metadata(context: Context, name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("latin-1")
    return None


class Unbroken:
    """Completes work that must not stop half-way when its client disconnects or its deadline passes.

    A task that was committed has to be told to its engine, a change has to be announced: both happen after the commit.
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result. Cancelling the caller leaves the work under way."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def finish(self, seconds: float) -> None:
        """Return when everything has ended, or after so many seconds: what waits for a hung server does not end."""
        until = asyncio.get_running_loop().time() + seconds
        while self._under_way and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._under_way, timeout=left)
        if self._under_way:
            log.warning(
                "%d calls have not ended in time; what they have committed is carried on later", len(self._under_way)
            )

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A caller that still waits gets the error; for the others this log entry is the only trace.
            log.debug("a call ended with %s", type(error).__name__)


def _with_id(handle: Handle[_T]) -> Handle[_T]:
    """The call has an id, as a request over HTTP; it comes back in the trailing metadata."""

    async def with_id(incoming: AsyncIterator[bytes], context: Context) -> _T:
        request_id = request_id_of(_metadata(context, HEADER))
        context.set_trailing_metadata(((HEADER, request_id),))
        with log_fields(request_id=request_id):
            return await handle(incoming, context)

    return with_id


def _forget_requests(error: BaseException | None) -> None:
    """Drop what the frames below hold: an aborted call, with its error, stays in memory until garbage collection."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class KeyedCalls:
    """Makes handlers for calls that need a key.

    As over HTTP, the answer to somebody without a valid key is UNAUTHENTICATED and nothing else, whatever was sent:
    the key is looked at before the request is read, and an invalid request is reported only to those with a valid one.
    """

    def __init__(
        self,
        access: Access,
        receiver: Receiver,
        *,
        proxies: Proxies | None = None,
        count: Callable[[bool], None] = lambda failed: None,
    ) -> None:
        """`count(failed)` is called at the end of each call that is no stream. `proxies` None: there are none."""
        self._proxies = proxies or Proxies(())
        self._access = access
        self._receiver = receiver
        self._count = count

    def unary(self, request_type: type[Request], method: Callable[[str | None, Request], Awaitable[Message]]) -> Method:
        """One request, one answer."""
        verb = verb_with(request_type)

        async def answer(received: Incoming, authorization: str | None, incoming: AsyncIterator[bytes]) -> bytes:
            request = await received.only(request_type, incoming)
            return (await method(authorization, request)).SerializeToString()

        async def handle(incoming: AsyncIterator[bytes], context: Context) -> bytes:
            ASKED.set(self._asked(verb, context))
            authorization = authorization_of(context)
            async with self._receiver.call(authorization) as received:
                try:
                    return await answer(received, authorization, incoming)
                except Exception as error:
                    await self._refuse(context, authorization, error)
                    raise

        return grpc.stream_unary_rpc_method_handler(self._counted(_with_id(handle)))

    def collecting(
        self,
        request_type: type[Request],
        method: Callable[[str | None, AsyncIterator[tuple[int, Request]]], Awaitable[_T]],
        answer: Callable[[_T], Awaitable[Message]],
    ) -> Method:
        """A stream of requests, one answer.

        `method` is given each request with its size in bytes; `answer` acts on what it made of them. In between, the
        client is known to have closed its side: to the receiver, a stream that was cut looks like one that ended.
        """
        verb = verb_with(request_type)

        async def collect(
            received: Incoming, authorization: str | None, incoming: AsyncIterator[bytes], context: Context
        ) -> bytes:
            async with aclosing(received.each(request_type, incoming)) as requests:
                collected = await method(authorization, requests)
            # Fails, or is cancelled, when the client is already gone.
            await context.send_initial_metadata(())
            return (await answer(collected)).SerializeToString()

        async def handle(incoming: AsyncIterator[bytes], context: Context) -> bytes:
            ASKED.set(self._asked(verb, context))
            authorization = authorization_of(context)
            async with self._receiver.call(authorization) as received:
                try:
                    return await collect(received, authorization, incoming, context)
                except Exception as error:
                    if not isinstance(error, Unauthenticated | grpc.aio.BaseError):
                        await received.discard()
                    await self._refuse(context, authorization, error)
                    raise

        return grpc.stream_unary_rpc_method_handler(self._counted(_with_id(handle)))

    def streaming(
        self, request_type: type[Request], method: Callable[[str | None, Request, Send], Awaitable[None]]
    ) -> Method:
        """One request, a stream of answers, which `method` sends one by one as bytes."""
        verb = verb_with(request_type)

        async def stream(
            received: Incoming, authorization: str | None, incoming: AsyncIterator[bytes], context: Context
        ) -> None:
            request = await received.only(request_type, incoming)
            await received.release()
            await method(authorization, request, context.write)

        async def handle(incoming: AsyncIterator[bytes], context: Context) -> None:
            ASKED.set(self._asked(verb, context))
            authorization = authorization_of(context)
            async with self._receiver.call(authorization) as received:
                try:
                    await stream(received, authorization, incoming, context)
                except Exception as error:
                    await self._refuse(context, authorization, error)
                    raise

        return grpc.stream_stream_rpc_method_handler(_with_id(handle))

    def _asked(self, verb: Verb, context: Context) -> Asked:
        return Asked(verb, face="grpc", address=client_of(context, self._proxies))

    def _counted(self, handle: Handle[_T]) -> Handle[_T]:
        async def counted(incoming: AsyncIterator[bytes], context: Context) -> _T:
            try:
                return await handle(incoming, context)
            finally:
                self._count(context.code() in _FAULTS)

        return counted

    async def _refuse(self, context: Context, authorization: str | None, error: Exception) -> None:
        if isinstance(error, grpc.aio.AbortError) or context.done():
            return
        _forget_requests(error)
        if isinstance(error, Unauthenticated):
            self._receiver.distrust(authorization)
        elif isinstance(error, InvalidRequest):
            try:
                await self._access.authenticate(authorization)
            except Exception as refusal:  # noqa: BLE001 (answered)
                error = refusal
        await abort(context, error)
