"""Server reflection: tools such as grpcurl learn the API from the server, without a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from gateway.errors import ShuttingDown, TooManyOpen
from gateway.rpc.calls import Context, Method
from gateway.rpc.failures import abort
from gateway.rpc.parsing import parse

#: Both versions have the same messages; the package of grpc serves the older name alone.
SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

#: Streams at once, in all: they need no key, and count among all calls.
MOST_STREAMS = 100


class Reflection:
    """Describes the services with these names."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._servicer = aio.ReflectionServicer(services)
        self._streams: set[asyncio.Task[Any]] = set()
        self._ended = False

    def handlers(self) -> Mapping[str, Method]:
        """A handler for each method, under either name of the service."""
        return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(self._info)}

    def end(self) -> None:
        """End the streams under way: tools leave them open between questions."""
        self._ended = True
        for stream in self._streams:
            stream.cancel()

    async def _info(self, incoming: AsyncIterator[bytes], context: Context) -> None:
        async def requests() -> AsyncIterator[Any]:
            async for raw in incoming:
                yield parse(reflection_pb2.ServerReflectionRequest, raw)

        if len(self._streams) >= MOST_STREAMS:
            await abort(context, TooManyOpen())
        stream = asyncio.current_task()
        assert stream is not None
        self._streams.add(stream)
        try:
            async for answer in self._servicer.ServerReflectionInfo(requests(), context):
                await context.write(answer.SerializeToString())
        except asyncio.CancelledError:
            if not self._ended:
                raise
            stream.uncancel()
            await abort(context, ShuttingDown(retry_after=1))
        except Exception as error:  # noqa: BLE001 (answered)
            await abort(context, error)
        finally:
            self._streams.discard(stream)
