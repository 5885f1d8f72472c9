"""Neo4j: Bolt only, without authentication, on the loopback address."""

from __future__ import annotations

from pathlib import Path

from deploy.local.builds import Report
from deploy.local.neo4j_programs import HEAP, Embedded, Installed, answers, locate
from deploy.local.part import Part
from deploy.local.process import Command


class Neo4jPart(Part):
    """One server with a small heap: the graph of a demo, on a machine that runs five other servers."""

    start_seconds = 90.0
    stop_seconds = 30.0

    def __init__(self, directory: Path, port: int, report: Report, *, name: str = "neo4j") -> None:
        super().__init__(name, directory, port, report)
        self.data = directory / "data" / name
        self._found: Installed | Embedded | None = None

    @property
    def url(self) -> str:
        """The Bolt address."""
        return f"bolt://127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        """Finds the server, or fetches its libraries."""
        self._found = self._found or await locate(self.report)

    async def command(self) -> Command:
        """The launcher, or the installed server with a configuration of ours."""
        self.data.mkdir(parents=True, exist_ok=True)
        found = self._found or await locate(self.report)
        if isinstance(found, Embedded):
            return Command(found.argv(self.data, self.port))
        return Command([str(found.program), "console"], env={"NEO4J_CONF": str(self._write_config())})

    async def healthy(self) -> bool:
        """Whether it runs a query."""
        return await answers(self.url)

    def _write_config(self) -> Path:
        directory = self.directory / "config" / self.name
        directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "server.directories.data": self.data / "data",
            "server.directories.logs": self.data / "logs",
            "server.directories.run": self.data / "run",
            "server.bolt.listen_address": f"127.0.0.1:{self.port}",
            "server.http.enabled": "false",
            "server.https.enabled": "false",
            "server.memory.heap.max_size": HEAP,
            "server.memory.pagecache.size": "64m",
            "dbms.security.auth_enabled": "false",
            "dbms.usage_report.enabled": "false",
        }
        (directory / "neo4j.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return directory
