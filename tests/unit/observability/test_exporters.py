"""A collector that is gone, hangs or breaks costs spans and values, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.resources import Resource

from backends.redis_queue.wire import TYPES
from deploy.local.ports import free_port
from gateway.access.placement import Placement
from gateway.observability.telemetry import Telemetry
from gateway.observability.traces import Tracing
from gateway.submission.new_task import NewTask

#: Far less than the exporter's own time limit of ten seconds, which a process would wait for if anything waited for it.
SOON = 6.0


@asynccontextmanager
async def collector(how: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Its address, and an event that is set when something was sent to it."""
    came = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        came.set()
        if how == "hangs":
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    if how == "is gone":
        yield f"http://127.0.0.1:{free_port()}", came
        return
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    server.close()


@pytest.mark.parametrize("how", ["is gone", "hangs", "answers 500"])
async def test_nobody_waits_for_a_collector(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    async with collector(how) as (address, came):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        tracing = Tracing(Resource.get_empty(), share=1.0)
        telemetry = Telemetry(Resource.get_empty(), otlp=True, known_types=TYPES, tenants=(), tracing=tracing)
        task = NewTask("add_episode", "g", {}, Placement("t", None), None)
        assert tracing.create(task)
        if how != "is gone":
            async with asyncio.timeout(20):
                await came.wait()
        began = time.monotonic()
        # More than may wait for the exporter: the rest is dropped.
        for _ in range(5000):
            assert tracing.create(task)
        assert time.monotonic() - began < SOON
        assert b"taskgate_tasks" not in telemetry.metrics.render()
        began = time.monotonic()
        await asyncio.to_thread(telemetry.close)
        assert time.monotonic() - began < SOON


def test_only_a_share_is_sampled_unless_the_caller_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    tracing = Tracing(Resource.get_empty(), share=0.05)
    place = Placement("t", None)
    sampled = sum(bool(tracing.create(NewTask("probe", "g", {}, place, None))) for _ in range(4000))
    assert 100 < sampled < 320
    context = f"00-{'1' * 32}-{'2' * 16}"
    decided = [
        bool(tracing.create(NewTask("probe", "g", {}, place, None, trace={"traceparent": f"{context}-{flag}"})))
        for flag in ("00", "01")
    ]
    assert decided == [False, True]
    tracing.close()


def test_without_a_share_nothing_is_loaded() -> None:
    from gateway.observability.telemetry import build_tracing

    assert build_tracing(Resource.get_empty(), 0.0) is None
