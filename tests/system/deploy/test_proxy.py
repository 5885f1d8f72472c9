"""What the proxy before the gateways sends to which of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx

from deploy.local.haproxy import HaproxyPart
from gateway.rpc.peers import Proxies, client_of
from workers.testing.waiting import eventually


@asynccontextmanager
async def named(name: str) -> AsyncIterator[str]:
    """A server that answers everything with its name; gives its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}{name}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_page_and_its_files_come_from_one_gateway(tmp_path: Path) -> None:
    """During an upgrade only the gateway that named a file has it."""
    async with AsyncExitStack() as stack:
        servers = {f"GATEWAY_{n}": await stack.enter_async_context(named(str(n))) for n in (1, 2)}
        proxy = HaproxyPart(tmp_path, print, servers)
        stack.push_async_callback(proxy.stop)
        await proxy.start()

        async def who(path: str) -> Counter[str]:
            found: Counter[str] = Counter()
            for _ in range(20):
                async with httpx.AsyncClient(base_url=proxy.gateway_url) as http:
                    found[(await http.get(path)).text] += 1
            return found

        await eventually(lambda: who("/gateway/v1/tasks"), lambda found: found.keys() == {"1", "2"})
        pages = await who("/console/")
        assert len(pages) == 1
        assert await who("/console/assets/index-4f2a.js") == pages


async def test_a_grpc_client_does_not_choose_its_address(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([WhoCalls()])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        alive = await stack.enter_async_context(named("1"))
        proxy = HaproxyPart(tmp_path, print, {"GATEWAY_1": alive, "GATEWAY_1_GRPC": f"127.0.0.1:{port}"})
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(proxy.grpc_address))
        call: Any = channel.unary_unary("/any/Method")
        assert await call(b"", metadata=[("x-forwarded-for", "203.0.113.9")], wait_for_ready=True) == b"127.0.0.1"


class WhoCalls(grpc.GenericRpcHandler):
    """Answers every call with the address of its client."""

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, _: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return client_of(context, Proxies(["127.0.0.1"])).encode()
