"""`grpc.health.v1.Health`: may a client send its calls here?

The server as a whole serves until it shuts down; the task service also needs PostgreSQL, whose state the change feed's
connection tells without a query.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gateway.errors import NotFound, TooManyOpen
from gateway.rpc.calls import Context, Method
from gateway.rpc.failures import abort
from gateway.rpc.parsing import parse
from gateway.rpc.receiving import KEYLESS_SECONDS, only_message

SERVICE = "grpc.health.v1.Health"

#: Watches at once, in all: they need no key, and count among all calls.
MOST_WATCHES = 100
#: How often the parts are looked at (seconds).
_LOOK = 1.0


class Health:
    """Answers for the services in `parts`: each serves while its function says so, none once `end` was called."""

    def __init__(self, parts: Mapping[str, Callable[[], bool]]) -> None:
        self._parts = dict(parts)
        self._ended = False
        self._watches = 0
        self._changed = asyncio.Event()

    def handlers(self) -> Mapping[str, Method]:
        """A handler for each method. None needs a key."""
        return {
            "Check": grpc.stream_unary_rpc_method_handler(self._check),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
        }

    def status(self, service: str) -> int | None:
        """The `ServingStatus` of a service, None for one that is unknown here."""
        part = self._parts.get(service)
        if part is None:
            return None
        serves: int = HealthCheckResponse.SERVING
        serves_not: int = HealthCheckResponse.NOT_SERVING
        return serves if part() and not self._ended else serves_not

    async def look(self) -> None:
        """Update the watches of each part at intervals, until cancelled."""
        while True:
            self._tell()
            await asyncio.sleep(_LOOK)

    def end(self) -> None:
        """From now on nothing serves; watches are told so, and their streams end."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, incoming: AsyncIterator[bytes], context: Context) -> bytes:
        try:
            status = self.status(
                parse(HealthCheckRequest, await only_message(incoming, within=KEYLESS_SECONDS)).service
            )
            if status is None:
                raise NotFound("unknown service")
        except Exception as error:
            await abort(context, error)
            raise
        return _answer(status)

    async def _watch(self, incoming: AsyncIterator[bytes], context: Context) -> None:
        if self._watches >= MOST_WATCHES:
            await abort(context, TooManyOpen())
        self._watches += 1
        try:
            await self._tell_changes(incoming, context)
        finally:
            self._watches -= 1

    async def _tell_changes(self, incoming: AsyncIterator[bytes], context: Context) -> None:
        try:
            service = parse(HealthCheckRequest, await only_message(incoming, within=KEYLESS_SECONDS)).service
        except Exception as error:
            await abort(context, error)
            raise
        sent: int | None = None
        while True:
            changed = self._changed
            status = self.status(service)
            if status is None:
                status = HealthCheckResponse.SERVICE_UNKNOWN
            if status != sent:
                sent = status
                await context.write(_answer(status))
            if self._ended:
                return
            await changed.wait()


def _answer(status: int) -> bytes:
    answer: bytes = HealthCheckResponse(status=status).SerializeToString()
    return answer
