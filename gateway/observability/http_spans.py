"""The span of each HTTP request: OpenTelemetry's ASGI middleware, named by the route, without queries."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import Span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observability.traces import Tracing


class HttpSpans:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._traced = OpenTelemetryMiddleware(
            _named_by_route(app),
            # The path has ids in it; the route is not known yet.
            default_span_details=lambda scope: (scope.get("method", "HTTP"), {}),
            server_request_hook=_without_query,
            tracer_provider=tracing.provider,
            meter_provider=NoOpMeterProvider(),
            exclude_spans=["receive", "send"],
        )
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
        with self._tracing.request(None if given is None else given.decode("latin-1")) as sampled:
            await (self._traced if sampled else self._app)(scope, receive, send)


def _named_by_route(app: ASGIApp) -> ASGIApp:
    """The route is known once the answer begins, and the span ends with the answer."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                _name(trace.get_current_span(), scope)
            await send(message)

        await app(scope, receive, named)

    return call


def _name(span: Span, scope: Scope) -> None:
    path = getattr(scope.get("route"), "path", None)
    if path is not None and span.is_recording():
        span.update_name(f"{scope['method']} {path}")
        span.set_attribute("http.route", path)


def _without_query(span: Span, scope: dict[str, Any]) -> None:
    """What clients search for is theirs."""
    if span.is_recording():
        host = scope.get("server") or ("", 0)
        path = scope.get("path", "")
        span.set_attributes(
            {"http.target": path, "http.url": f"{scope.get('scheme', 'http')}://{host[0]}:{host[1]}{path}"}
        )
