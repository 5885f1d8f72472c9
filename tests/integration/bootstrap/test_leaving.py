"""A gateway that is told to end: `ready` is off first, then it stops listening, ends requests, and exits in time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.ports import free_port
from gateway.storage.schema.seed import seed
from workers.testing.waiting import eventually

LEAVE, DRAIN = 2.0, 3.0
READY = "/gateway/v1/ready"


async def eventually_leaving(http: httpx.AsyncClient) -> httpx.Response:
    answer = await eventually(lambda: http.get(READY), lambda found: found.status_code == 503, within=LEAVE)
    return answer


async def test_it_leaves_before_it_refuses(database_url: str, redis_server: str, serving: Any) -> None:
    grpc_port = free_port()
    settings = {"LEAVE_SECONDS": str(LEAVE), "DRAIN_SECONDS": str(DRAIN), "GRPC_ENABLED": "true"}
    async with serving(database_url, redis_server, GRPC_PORT=str(grpc_port), **settings) as (process, url):
        async with (
            httpx.AsyncClient(base_url=url) as http,
            grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel,
        ):
            health = health_pb2_grpc.HealthStub(channel)
            before = await http.get(READY)
            assert (before.status_code, before.headers.get("connection")) == (200, None)
            assert (
                await health.Check(health_pb2.HealthCheckRequest())
            ).status == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            answer = await eventually_leaving(http)
            assert (answer.json()["status"], answer.headers["retry-after"]) == ("leaving", "2")
            # What a proxy still sends is served, on new connections, too.
            async with httpx.AsyncClient(base_url=url) as late:
                served = await late.get("/health")
                assert (served.status_code, served.headers["connection"]) == (200, "close")
            assert (
                await health.Check(health_pb2.HealthCheckRequest())
            ).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert time.monotonic() - began < LEAVE
            assert await process.wait() == -signal.SIGTERM
            assert LEAVE <= time.monotonic() - began < LEAVE + DRAIN
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(f"{url}/health")


async def test_without_a_proxy_it_ends_at_once(database_url: str, redis_server: str, serving: Any) -> None:
    async with serving(database_url, redis_server) as (process, _):
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await process.wait() == -signal.SIGTERM
        assert time.monotonic() - began < DRAIN


async def test_calls_of_both_faces_share_the_grace(database_url: str, redis_server: str, serving: Any) -> None:
    """One that hangs on each: whoever ends the gateway waits for the grace once."""
    key = (await seed(database_url))["TASKGATE_KEY_INITECH"]
    grpc_port = free_port()
    settings = {"DRAIN_SECONDS": str(DRAIN), "GRPC_ENABLED": "true", "GRPC_PORT": str(grpc_port)}
    over = asyncio.Event()

    async def nothing() -> AsyncIterator[bytes]:
        """Sends nothing, and ends with the test."""
        await over.wait()
        for none in tuple[bytes, ...]():
            yield none

    async with (
        serving(database_url, redis_server, **settings) as (process, url),
        grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel,
    ):
        batch: Any = channel.stream_unary("/taskgate.v1.TaskService/SubmitBatch")
        call = batch(nothing(), metadata=(("authorization", f"Bearer {key}"),))
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(
            f"POST /api/v1/episodes/ HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
            'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"content": '.encode()
        )
        await writer.drain()
        async with httpx.AsyncClient(base_url=url) as http:
            await http.get("/health")
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await process.wait() == -signal.SIGTERM
        assert DRAIN - 0.1 <= time.monotonic() - began < 2 * DRAIN - 0.5
        with contextlib.suppress(asyncio.CancelledError), pytest.raises(grpc.aio.AioRpcError):
            await call
        over.set()  # grpc's client reads on until then, whatever became of the call
        writer.close()
