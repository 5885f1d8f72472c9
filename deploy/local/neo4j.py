"""Neo4j: a `neo4j` from PATH, else the server's libraries from Maven, started by a dozen lines of Java."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from neo4j import AsyncGraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.cache import obtain
from deploy.local.errors import PartUnavailableError
from deploy.local.part import Part
from deploy.local.process import Command
from deploy.local.versions import pinned

SOURCE = Path(__file__).with_name("Neo4jServer.java")
HEAP = "320m"
SUPPORTED_MAJOR = "5"
INSTALL_JAVA = "install a JDK (17 or newer) and Maven, or name a server with TASKGATE_GRAPH_URL"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>taskgate</groupId><artifactId>embedded-neo4j</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j-bolt</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True)
class Installed:
    """A whole Neo4j from PATH."""

    program: Path


@dataclass(frozen=True)
class Embedded:
    """Java, and the cache entry with the libraries and the compiled launcher."""

    java: Path
    directory: Path


class Neo4jPart(Part):
    """One Neo4j server, Bolt only, without authentication, on the loopback address."""

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
        """A small heap: the graph of a demo, on a machine that runs five other servers."""
        self.data.mkdir(parents=True, exist_ok=True)
        found = self._found or await locate(self.report)
        if isinstance(found, Installed):
            return self._installed(found)
        return Command(
            [
                str(found.java),
                f"-Xmx{HEAP}",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
                *("-cp", f"{found.directory / 'classes'}:{found.directory / 'lib'}/*"),
                SOURCE.stem,
                str(self.data),
                str(self.port),
            ]
        )

    def _installed(self, found: Installed) -> Command:
        config = self.directory / "config" / self.name
        config.mkdir(parents=True, exist_ok=True)
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
        (config / "neo4j.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return Command([str(found.program), "console"], env={"NEO4J_CONF": str(config)})

    async def healthy(self) -> bool:
        """Whether it runs a query."""
        async with AsyncGraphDatabase.driver(self.url, connection_timeout=2, max_transaction_retry_time=0) as driver:
            try:
                await asyncio.wait_for(driver.execute_query("RETURN 1"), timeout=5)
            except (DriverError, Neo4jError, OSError, TimeoutError):
                return False
        return True


async def locate(report: Report) -> Installed | Embedded:
    """PATH, else the cache, which Maven fills."""
    installed = await asyncio.to_thread(_on_path, report)
    if installed is not None:
        return installed
    java = require_tool("neo4j", "java", INSTALL_JAVA)
    await asyncio.to_thread(_check_java, java)
    version = pinned().neo4j
    source = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]

    async def build(directory: Path) -> None:
        maven = require_tool("neo4j", "mvn", INSTALL_JAVA)
        (directory / "pom.xml").write_text(POM.format(version=version))
        plugin = f"org.apache.maven.plugins:maven-dependency-plugin:{pinned().maven_dependency_plugin}"
        goal = [f"{plugin}:copy-dependencies", f"-DoutputDirectory={directory / 'lib'}", "-DincludeScope=runtime"]
        await run_build("neo4j libraries", [maven, "-B", "-f", str(directory / "pom.xml"), *goal], report)
        # Compiled once, by the compiler that single-file start would run each time.
        compiler = [java, "-m", "jdk.compiler/com.sun.tools.javac.Main"]
        libraries = ":".join(str(jar) for jar in sorted((directory / "lib").glob("*.jar")))
        target = ["-cp", libraries, "-d", str(directory / "classes"), str(SOURCE)]
        await run_build("neo4j launcher", [*compiler, *target], report)

    directory = await obtain(
        f"neo4j-{version}-{source}", build, lambda: report("neo4j: another process is fetching it; waiting")
    )
    return Embedded(Path(java), directory)


def _check_java(java: str) -> None:
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)', answer.stderr)
    if match is None or int(match[1]) < pinned().java_minimum:
        found = answer.stderr.strip().splitlines()
        raise PartUnavailableError(
            f"neo4j: {java} is not Java {pinned().java_minimum} or newer ({found[0] if found else 'no answer'}); "
            f"{INSTALL_JAVA}"
        )


def _on_path(report: Report) -> Installed | None:
    program = shutil.which("neo4j")
    if program is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = answer.stdout.strip()
    if not version.startswith(f"{SUPPORTED_MAJOR}."):
        report(f"neo4j: {program} is {version or 'of unknown version'}, not {SUPPORTED_MAJOR}.x; not used")
        return None
    return Installed(Path(program))
