"""Where Neo4j comes from: a whole one on PATH, or its libraries from Maven with a launcher of ours."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neo4j import AsyncGraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.cache import obtain
from deploy.local.errors import PartUnavailableError
from deploy.local.ports import free_port
from deploy.local.process import Command, ManagedProcess
from deploy.local.versions import pinned

SOURCE = Path(__file__).with_name("Neo4jServer.java")
HEAP = "320m"
SUPPORTED_MAJOR = "5"
INSTALL_JAVA = "install a JDK (17 or newer) and Maven, or name a server with TASKGATE_GRAPH_URL"
LIBRARIES, LAUNCHER, ARCHIVE = "lib", "launcher.jar", "classes.jsa"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>taskgate</groupId><artifactId>embedded-neo4j</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j-bolt</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""

# What graphiti-core does first: run while the archive is recorded, so that these classes are in it.
WARM_UP = (
    "CREATE INDEX warm_up IF NOT EXISTS FOR (n:WarmUp) ON (n.uuid)",
    "CREATE FULLTEXT INDEX warm_up_text IF NOT EXISTS FOR (n:WarmUp) ON EACH [n.name]",
    "CALL db.awaitIndexes(30)",
    "MERGE (n:WarmUp {uuid: '1'}) SET n.name = 'warm up', n.at = datetime() RETURN n",
    "CALL db.index.fulltext.queryNodes('warm_up_text', 'warm') YIELD node, score RETURN node.uuid, score LIMIT 1",
    "MATCH (n:WarmUp) DETACH DELETE n",
)


@dataclass(frozen=True)
class Installed:
    """A whole Neo4j from PATH."""

    program: Path


@dataclass(frozen=True)
class Embedded:
    """Java, the cache entry with the libraries and the launcher, and an archive of the classes it loads."""

    java: str
    directory: Path
    archive: Path | None = None

    def argv(self, data: Path, port: int, *options: str) -> list[str]:
        """The command line of a server."""
        archive = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive is not None else []
        # Quick to start rather than quick for hours; a stale archive is passed over, as -Xshare:auto says.
        java = [self.java, f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        libraries = f"{self.directory / LAUNCHER}:{self.directory / LIBRARIES}/*"
        return [*java, *archive, *options, "-cp", libraries, SOURCE.stem, str(data), str(port)]


async def locate(report: Report) -> Installed | Embedded:
    """PATH, else the cache, which Maven fills."""
    installed = await asyncio.to_thread(_on_path, report)
    if installed is not None:
        return installed
    java = require_tool("neo4j", "java", INSTALL_JAVA)
    java_version = await asyncio.to_thread(_check_java, java)
    version = pinned().neo4j
    name = f"neo4j-{version}-{_digest(SOURCE.read_text(), str(WARM_UP))}"

    def waiting() -> None:
        report("neo4j: another process is fetching it; waiting")

    async def libraries(directory: Path) -> None:
        await _fetch(java, directory, report)

    bare = Embedded(java, await obtain(name, libraries, waiting))

    async def archive(directory: Path) -> None:
        await _record(bare, directory, report)

    recorded = await obtain(f"{name}-start-{_digest(java_version)}", archive, waiting)
    return Embedded(java, bare.directory, recorded / ARCHIVE if (recorded / ARCHIVE).exists() else None)


async def answers(url: str) -> bool:
    """Whether the server runs a query."""
    async with AsyncGraphDatabase.driver(url, connection_timeout=2, max_transaction_retry_time=0) as driver:
        try:
            async with asyncio.timeout(5):
                await driver.execute_query("RETURN 1")
        except (DriverError, Neo4jError, OSError, TimeoutError):
            return False
    return True


async def _fetch(java: str, directory: Path, report: Report) -> None:
    maven = require_tool("neo4j", "mvn", INSTALL_JAVA)
    pom, libraries, classes = directory / "pom.xml", directory / LIBRARIES, directory / "classes"
    pom.write_text(POM.format(version=pinned().neo4j))
    goal = f"org.apache.maven.plugins:maven-dependency-plugin:{pinned().maven_dependency_plugin}:copy-dependencies"
    options = [f"-DoutputDirectory={libraries}", "-DincludeScope=runtime"]
    await run_build("neo4j libraries", [maven, "-B", "-f", str(pom), goal, *options], report)
    # Compiled once, by the compiler that single-file start would run each time.
    jars = ":".join(str(jar) for jar in sorted(libraries.glob("*.jar")))
    compiler = [java, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", jars, "-d", str(classes), str(SOURCE)]
    await run_build("neo4j launcher", compiler, report)
    with zipfile.ZipFile(directory / LAUNCHER, "w") as jar:
        for compiled in classes.glob("*.class"):
            jar.write(compiled, compiled.name)
    shutil.rmtree(classes)


async def _record(bare: Embedded, directory: Path, report: Report) -> None:
    """Runs the server once and keeps the classes it loaded: every later start takes half as long."""
    report("neo4j: recording a class archive (once)")
    port = free_port()
    process = ManagedProcess("neo4j", directory)
    url = f"bolt://127.0.0.1:{port}"
    argv = bare.argv(directory / "data", port, f"-XX:ArchiveClassesAtExit={directory / ARCHIVE}")
    process.start(Command(argv))
    try:
        await process.wait_healthy(lambda: answers(url), 120)
        async with AsyncGraphDatabase.driver(url) as driver:
            for statement in WARM_UP:
                await driver.execute_query(statement)
    finally:
        await process.stop(signal.SIGTERM, 120)
    for name in ("data", "run", "logs"):
        shutil.rmtree(directory / name)


def _digest(*contents: str) -> str:
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()[:8]


def _check_java(java: str) -> str:
    answer = _output([java, "-version"])
    match = re.search(r'version "(\d+)', answer)
    if match is None or int(match[1]) < pinned().java_minimum:
        found = answer.strip().splitlines()
        raise PartUnavailableError(
            f"neo4j: {java} is not Java {pinned().java_minimum} or newer ({found[0] if found else 'no answer'}); "
            f"{INSTALL_JAVA}"
        )
    return answer


def _on_path(report: Report) -> Installed | None:
    program = shutil.which("neo4j")
    if program is None:
        return None
    version = _output([program, "--version"]).strip()
    if not version.startswith(f"{SUPPORTED_MAJOR}."):
        report(f"neo4j: {program} is {version or 'of unknown version'}, not {SUPPORTED_MAJOR}.x; not used")
        return None
    return Installed(Path(program))


def _output(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout
