"""`RefusingServer`: a gRPC server that refuses each call with RESOURCE_EXHAUSTED, as Temporal does above its limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import grpc


class _Refusal(grpc.GenericRpcHandler):
    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        self._calls[handler_call_details.method.rpartition("/")[2]] += 1

        async def refuse(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded")

        return grpc.unary_unary_rpc_method_handler(refuse)


class RefusingServer:
    """Listens from `start` to `stop`."""

    def __init__(self) -> None:
        self._server: grpc.aio.Server | None = None
        self.address = ""
        self.calls: Counter[str] = Counter()
        """By method."""

    async def start(self) -> None:
        self._server = grpc.aio.server(handlers=[_Refusal(self.calls)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
