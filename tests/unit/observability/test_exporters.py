"""A collector that is gone, hangs or breaks costs spans and values, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from statistics import median

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from backends.redis_queue.wire import TYPES
from deploy.local.ports import free_port
from gateway.access.placement import Placement
from gateway.observability.telemetry import Telemetry, build_tracing
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
        task = NewTask("add_episode", "g", {}, Placement("t", None, None), None)
        assert tracing.create(task)
        if how != "is gone":
            async with asyncio.timeout(20):
                await came.wait()
        taken = []
        # More than may wait for the exporter: the rest is dropped.
        for _ in range(5000):
            began = time.monotonic()
            assert tracing.create(task)
            taken.append(time.monotonic() - began)
        # Neither one of them waits for long nor all of them for a moment, however busy the machine is.
        assert max(taken) < SOON
        assert median(taken) < SOON / 5000
        assert b"taskgate_tasks" not in telemetry.metrics.render()
        began = time.monotonic()
        await asyncio.to_thread(telemetry.close)
        assert time.monotonic() - began < SOON


def test_only_a_share_is_sampled_unless_the_caller_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    tracing = Tracing(Resource.get_empty(), share=0.05)
    place = Placement("t", None, None)
    sampled = sum(bool(tracing.create(NewTask("probe", "g", {}, place, None))) for _ in range(4000))
    assert 100 < sampled < 320
    context = f"00-{'1' * 32}-{'2' * 16}"
    decided = [
        bool(tracing.create(NewTask("probe", "g", {}, place, None, trace={"traceparent": f"{context}-{flag}"})))
        for flag in ("00", "01")
    ]
    assert decided == [False, True]
    tracing.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[ReadableSpan]:
    """What would go to the collector."""
    spans: list[ReadableSpan] = []

    def export(_: object, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        spans.extend(batch)
        return SpanExportResult.SUCCESS

    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    return spans


CONTEXT = f"00-{'1' * 32}-{'2' * 16}"


@pytest.mark.parametrize(
    ("traceparent", "share", "sampled"),
    [
        (None, 1.0, True),
        (None, 1e-12, False),
        (f"{CONTEXT}-01", 1e-12, True),
        (f"{CONTEXT}-00", 1.0, False),
        ("nonsense", 1.0, True),
    ],
)
def test_a_request_is_decided_upon_once(traceparent: str | None, share: float, sampled: bool) -> None:
    tracing = Tracing(Resource.get_empty(), share=share)
    task = NewTask("probe", "g", {}, Placement("t", None, None), None)
    with tracing.request(traceparent) as decided, ExitStack() as stack:
        if decided:
            stack.enter_context(tracing.tracer.start_as_current_span("POST", kind=SpanKind.SERVER))
        # What is within it does not decide again.
        assert bool(tracing.create(task)) is sampled
    assert decided is sampled
    tracing.close()


def test_texts_of_errors_stay_here(sent: list[ReadableSpan]) -> None:
    tracing = Tracing(Resource.get_empty(), share=1.0)
    as_libraries_do = tracing.tracer.start_as_current_span("SELECT", kind=SpanKind.SERVER)
    with pytest.raises(ValueError, match="private"), as_libraries_do:
        raise ValueError("private words")
    tracing.provider.force_flush()
    (span,) = sent
    assert (span.status.is_ok, span.status.description, span.events) == (False, None, ())
    assert "private" not in span.to_json()
    tracing.close()


def test_without_a_share_nothing_is_loaded() -> None:
    assert build_tracing(Resource.get_empty(), 0.0) is None
