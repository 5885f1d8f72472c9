"""Prometheus, and `promtool` beside it, for tests of dashboards and rules: from PATH, else built once by Go (long)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from deploy.local.builds import Report
from deploy.local.go_program import GoProgram, GoProgramPart
from deploy.local.process import Command
from deploy.local.versions import pinned

_MODULE = "github.com/prometheus/prometheus"
PROGRAM = GoProgram(
    *("prometheus", "prometheus", _MODULE),
    lambda: pinned().prometheus,
    "install Go to build it, or put prometheus on PATH",
    package="cmd/prometheus",
)
PROMTOOL = GoProgram(
    *("promtool", "promtool", _MODULE),
    lambda: pinned().prometheus,
    "install Go to build it, or put promtool on PATH",
    package="cmd/promtool",
)


class PrometheusPart(GoProgramPart):
    """One process with a configuration of the caller's; its data goes with its directory."""

    def __init__(self, directory: Path, port: int, report: Report, *, config: Path) -> None:
        super().__init__(PROGRAM, "prometheus", directory, port, report)
        self._config = config

    async def command(self) -> Command:
        """On the loopback address."""
        options = {
            "config.file": self._config,
            "storage.tsdb.path": self.directory / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        return Command([str(await self.program()), *(f"--{name}={value}" for name, value in options.items())])

    async def healthy(self) -> bool:
        """Whether it answers queries."""
        try:
            await self.query("vector(1)")
        except httpx.HTTPError:
            return False
        return True

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of this expression now. Raises `httpx.HTTPError`."""
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.get(f"{self.url}/api/v1/query", params={"query": expression})
            found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
            return found
