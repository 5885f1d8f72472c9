"""Temporal's web UI: from PATH, else built once from the Go module."""

from __future__ import annotations

from pathlib import Path

import httpx
import yaml

from deploy.local.builds import Report
from deploy.local.go_program import GoProgram, GoProgramPart
from deploy.local.process import Command
from deploy.local.temporal_setup import DEFAULT_NAMESPACE
from deploy.local.versions import pinned

PROGRAM = GoProgram(
    "temporal-ui",
    "temporal-ui-server",
    "github.com/temporalio/ui-server/v2",
    lambda: pinned().temporal_ui,
    "install Go to build it, or leave it out with `up --without temporal-ui`",
)


class TemporalUiPart(GoProgramPart):
    """The UI server, on the loopback address, for one Temporal frontend."""

    def __init__(self, directory: Path, port: int, report: Report, *, temporal: str, name: str = "temporal-ui") -> None:
        super().__init__(PROGRAM, name, directory, port, report)
        self.temporal = temporal

    async def command(self) -> Command:
        """Its configuration is a directory with one file per environment."""
        program = await self.program()
        config = self.directory / "config" / self.name
        config.mkdir(parents=True, exist_ok=True)
        settings = {
            "temporalGrpcAddress": self.temporal,
            "host": "127.0.0.1",
            "port": self.port,
            "enableUi": True,
            "defaultNamespace": DEFAULT_NAMESPACE,
            # It would otherwise ask the internet for news.
            "disableNewsFetch": True,
            "cors": {"cookieInsecure": True, "allowOrigins": [self.url]},
        }
        (config / "local.yaml").write_text(yaml.safe_dump(settings))
        return Command([str(program), "--root", str(config.parent), "--config", config.name, "--env", "local", "start"])

    async def healthy(self) -> bool:
        """Whether it answers on its health path."""
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                return (await client.get(f"{self.url}/healthz")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False
