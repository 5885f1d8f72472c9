"""Temporal's web UI: from PATH, else built once from the Go module."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import yaml

from deploy.local.builds import Report, require_tool
from deploy.local.cache import obtain
from deploy.local.part import Part
from deploy.local.process import Command
from deploy.local.temporal_binaries import go_install
from deploy.local.temporal_setup import DEFAULT_NAMESPACE
from deploy.local.versions import pinned

MODULE = "github.com/temporalio/ui-server/v2"
PROGRAM = "temporal-ui-server"


class TemporalUiPart(Part):
    """The UI server, on the loopback address, for one Temporal frontend."""

    def __init__(self, directory: Path, port: int, report: Report, *, temporal: str, name: str = "temporal-ui") -> None:
        super().__init__(name, directory, port, report)
        self.temporal = temporal
        self._program: Path | None = None

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        """Finds the program or builds it."""
        self._program = self._program or await locate(self.report)

    async def command(self) -> Command:
        """Its configuration is a directory with one file per environment."""
        program = self._program or await locate(self.report)
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


async def locate(report: Report) -> Path:
    """PATH, else the cache, which is filled when empty."""
    on_path = shutil.which(PROGRAM)
    if on_path:
        return Path(on_path)
    version = pinned().temporal_ui

    async def build(directory: Path) -> None:
        go = require_tool(
            "temporal-ui", "go", "install Go to build it, or leave it out with `up --without temporal-ui`"
        )
        await go_install("temporal ui", go, f"{MODULE}/cmd/server@v{version}", directory / PROGRAM, report)

    waiting = "temporal-ui: another process is building it; waiting"
    return (await obtain(f"temporal-ui-{version}", build, lambda: report(waiting))) / PROGRAM
