"""Jaeger, which takes traces over OTLP and shows them, for tests: from PATH, else built once by Go.

`go install` refuses a module with a replace directive, so a module of ours (`jaeger_module`) requires it and repeats
the directive; `go.sum` there pins all of its dependencies.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.cache import obtain
from deploy.local.part import Part
from deploy.local.ports import free_port
from deploy.local.process import Command
from deploy.local.versions import pinned

PROGRAM = "jaeger-all-in-one"
PACKAGE = "github.com/jaegertracing/jaeger/cmd/all-in-one"
_MODULE = Path(__file__).with_name("jaeger_module")


async def locate(report: Report) -> Path:
    """PATH, else the cache, which is filled when empty (minutes). Raises `PartUnavailableError`."""
    on_path = shutil.which(PROGRAM)
    if on_path:
        return Path(on_path)

    async def build(directory: Path) -> None:
        go = require_tool("jaeger", "go", f"install Go to build it, or put {PROGRAM} on PATH")
        await run_build("jaeger", [go, "build", "-o", str(directory / PROGRAM), PACKAGE], report, cwd=_MODULE)

    entry = await obtain(f"jaeger-{pinned().jaeger}", build, lambda: report("jaeger: another process is building it"))
    return entry / PROGRAM


class JaegerPart(Part):
    """One process that keeps traces in memory; `port` answers queries, `otlp_url` takes spans over HTTP."""

    def __init__(self, directory: Path, port: int, report: Report) -> None:
        super().__init__("jaeger", directory, port, report)
        self._otlp = free_port()
        self._program: Path | None = None

    @property
    def url(self) -> str:
        """Where queries are answered."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def otlp_url(self) -> str:
        """The value of `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self._otlp}"

    async def prepare(self) -> None:
        """Finds the program or builds it."""
        self._program = self._program or await locate(self.report)

    async def command(self) -> Command:
        """Everything on the loopback address."""
        await self.prepare()
        listeners = {
            "query.http-server": self.port,
            "query.grpc-server": free_port(),
            "collector.otlp.http": self._otlp,
            "collector.otlp.grpc": free_port(),
            "collector.grpc-server": free_port(),
            "collector.http-server": free_port(),
            "admin.http": free_port(),
        }
        ports = [f"--{name}.host-port=127.0.0.1:{port}" for name, port in listeners.items()]
        return Command([str(self._program), "--collector.otlp.enabled=true", *ports], {"SPAN_STORAGE_TYPE": "memory"})

    async def healthy(self) -> bool:
        """Whether its API answers."""
        try:
            return bool(await self._get("/api/services") is not None)
        except httpx.HTTPError:
            return False

    async def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Its spans, each with `process` and `tags` as mappings of its own; none: it is not known."""
        try:
            (found,) = (await self._get(f"/api/traces/{trace_id}"))["data"] or [{"spans": []}]
        except httpx.HTTPStatusError:
            return []
        for span in found["spans"]:
            span["service"] = found["processes"][span["processID"]]["serviceName"]
            span["tags"] = {tag["key"]: tag["value"] for tag in span["tags"]}
        spans: list[dict[str, Any]] = found["spans"]
        return spans

    async def _get(self, path: str) -> Any:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            return (await client.get(f"{self.url}{path}")).raise_for_status().json()
