"""A stand-in for an S3-compatible store, for tests: from PATH, else built once by Go. It keeps objects in memory."""

from __future__ import annotations

from pathlib import Path

import httpx

from deploy.local.builds import Report
from deploy.local.go_program import GoProgram, GoProgramPart
from deploy.local.process import Command
from deploy.local.versions import pinned

PROGRAM = GoProgram(
    "gofakes3",
    "gofakes3",
    "github.com/johannesboyne/gofakes3",
    lambda: pinned().gofakes3,
    "install Go to build it, or put gofakes3 on PATH",
    package="cmd/gofakes3",
)
BUCKET = "archive"


class Gofakes3Part(GoProgramPart):
    """One process with the bucket `archive`; any key is let in."""

    def __init__(self, directory: Path, port: int, report: Report) -> None:
        super().__init__(PROGRAM, "gofakes3", directory, port, report)

    async def command(self) -> Command:
        """On the loopback address."""
        options = ["-backend", "memory", "-initialbucket", BUCKET, "-host", f"127.0.0.1:{self.port}"]
        return Command([str(await self.program()), *options])

    async def healthy(self) -> bool:
        """Whether it answers."""
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            try:
                return (await client.get(self.url)).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False
