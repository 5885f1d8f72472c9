"""A gateway that is told to end: `ready` is off first, then it stops listening, ends requests, and exits in time."""

from __future__ import annotations

import signal
import time
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.ports import free_port
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
