"""Traces: spans of requests, and of each task from its acceptance to its end, over gateways, engines and workers.

Span names and attributes follow OpenTelemetry's semantic conventions for messaging, version 1.36. A task's context
travels in `WorkflowStart.trace`, as W3C's `traceparent`; a trace that is not sampled leaves no context at all.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.submission.new_task import NewTask

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.36.0"
#: How long the end of a process waits for the last export (seconds).
CLOSE_SECONDS: Final = 2.0
#: Beside `traceparent`, in what an engine carries: the span of the task's creation, which consumers link to.
CREATED: Final = "created"
#: Of the attributes of a span; nothing of ours is longer.
_LONGEST = 512

_PROPAGATOR = TraceContextTextMapPropagator()
#: Traces begin with a request, or with a task that nobody asked for (a schedule's). Statements in the background would
#: be traces of their own, of one span each.
_ROOTS = (SpanKind.SERVER, SpanKind.PRODUCER)


#: In a context: the trace that begins here is sampled.
_SAMPLED = context.create_key("taskgate-sampled")


class RootSampler(Sampler):
    """Samples a share of those spans that begin a trace."""

    def __init__(self, share: float) -> None:
        self._ratio = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        *rest: Any,
        **more: Any,
    ) -> SamplingResult:
        if kind not in _ROOTS:
            return SamplingResult(Decision.DROP)
        if context.get_value(_SAMPLED, parent_context):
            return SamplingResult(Decision.RECORD_AND_SAMPLE)
        return self._ratio.should_sample(parent_context, trace_id, name, kind, *rest, **more)

    def get_description(self) -> str:
        return f"RootSampler({self._ratio.get_description()})"


class DiscreetExporter(OTLPSpanExporter):
    """Sends spans without the texts of errors, which instrumentations put into the status."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            if span.status.description:
                span._status = Status(span.status.status_code)
        return super().export(spans)


class Tracing:
    """The tracer of one process. `share`: of the traces that begin here; those that others began are as they decided.

    Spans are sent over OTLP (HTTP) by a thread: `OTEL_EXPORTER_OTLP_…` says where to, `OTEL_BSP_…` how many may wait. A
    collector that is away, slow or broken costs spans, and nothing else.
    """

    def __init__(self, resource: Resource, *, share: float) -> None:
        self.provider = TracerProvider(
            sampler=ParentBased(RootSampler(share)),
            resource=resource,
            shutdown_on_exit=False,
            # Instrumentations record exceptions as events, with texts that may quote what a client sent.
            span_limits=SpanLimits(max_events=0),
        )
        self.provider.add_span_processor(BatchSpanProcessor(DiscreetExporter()))
        self._share = share
        self.tracer: Tracer = self.provider.get_tracer("taskgate", schema_url=SCHEMA_URL)

    def close(self) -> None:
        """Send the last spans. Returns after `CLOSE_SECONDS` at the latest."""
        closing = threading.Thread(target=self.provider.shutdown, name="taskgate-traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    @contextmanager
    def request(self, traceparent: str | None) -> Iterator[bool]:
        """Decides whether a request is sampled, before anything is done for its span: most are not. The block has what
        spans within it need to know."""
        here = None if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent})
        origin = trace.get_current_span(here).get_span_context()
        sampled = origin.trace_flags.sampled if origin.is_valid else random.random() < self._share
        if sampled:
            here = context.set_value(_SAMPLED, True)
        elif not origin.is_valid:  # nothing within it begins a trace
            unsampled = SpanContext(random.getrandbits(128) or 1, random.getrandbits(64) or 1, is_remote=False)
            here = trace.set_span_in_context(NonRecordingSpan(unsampled))
        token = context.attach(here if here is not None else context.get_current())
        try:
            yield sampled
        finally:
            context.detach(token)

    def create(self, task: NewTask) -> dict[str, str]:
        """The span of a task that is accepted now; its context is for the task. Empty: it is not sampled."""
        parent = _PROPAGATOR.extract(task.trace) if task.trace else None
        span = self.tracer.start_span(f"create {task.task_type}"[:_LONGEST], parent, SpanKind.PRODUCER)
        if not span.is_recording():
            return {}
        attributes = {
            "messaging.message.id": task.task_id,
            "messaging.destination.name": task.task_type,
            "taskgate.task.type": task.task_type,
            "taskgate.tenant.id": task.placement.tenant_id or "",
        }
        _describe(span, "create", attributes)
        span.end()
        return self.context_of(span)

    def context_of(self, span: Span) -> dict[str, str]:
        """What carries the trace on from this span; empty if it is not recorded."""
        carrier: dict[str, str] = {}
        if span.get_span_context().trace_flags.sampled:
            _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        return carrier

    def sent(self, span: Span, carrier: Mapping[str, str]) -> Mapping[str, str]:
        """What goes to an engine: the context of the span that sends, and that of the task's creation."""
        context_of_span = self.context_of(span)
        return {**context_of_span, CREATED: carrier["traceparent"]} if context_of_span else carrier

    @contextmanager
    def operation(
        self, what: str, name: str, kind: SpanKind, carrier: Mapping[str, str], attributes: Mapping[str, str]
    ) -> Iterator[Span]:
        """A span for what is done with a task, in the task's trace. A consumer's is linked to the task's creation.

        Without a context there is none. An error that leaves the block marks the span, by its class alone: messages may
        hold what a client sent.
        """
        parent = _PROPAGATOR.extract(carrier) if carrier else None
        origin = trace.get_current_span(parent).get_span_context() if parent is not None else None
        if origin is None or not origin.is_valid or not origin.trace_flags.sampled:
            yield trace.INVALID_SPAN
            return
        links = [Link(created)] if kind is SpanKind.CONSUMER and (created := _span_context(carrier, CREATED)) else []
        with self.tracer.start_as_current_span(
            f"{what} {name}"[:_LONGEST],
            parent,
            kind,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            _describe(span, what, attributes)
            try:
                yield span
            except BaseException as error:
                failed(span, type(error).__name__)
                raise

    def callback(self, task_id: str, carrier: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The span of an attempt to tell a receiver of the end of this task."""
        return self.operation("send", "callback", SpanKind.PRODUCER, carrier, {"messaging.message.id": task_id})

    @contextmanager
    def step(self, what: str, name: str, task_id: str) -> Iterator[Span]:
        """A span inside the present one, if that is recorded."""
        if not trace.get_current_span().is_recording():
            yield trace.INVALID_SPAN
            return
        with self.tracer.start_as_current_span(
            f"{what} {name}", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            _describe(span, what, {"messaging.message.id": task_id})
            yield span


def _span_context(carrier: Mapping[str, str], name: str) -> SpanContext | None:
    """The span that a carrier names; None if it names none."""
    if name not in carrier:
        return None
    found = trace.get_current_span(_PROPAGATOR.extract({"traceparent": carrier[name]})).get_span_context()
    return found if found.is_valid else None


def failed(span: Span, error_type: str) -> None:
    """Mark a span."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", error_type[:_LONGEST])


def _describe(span: Span, operation: str, attributes: Mapping[str, str]) -> None:
    span.set_attributes(
        {
            "messaging.system": "taskgate",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            **{name: value[:_LONGEST] for name, value in attributes.items() if value},
        }
    )
