"""The Temporal server and its schema tool: from PATH, else built once from the Go module."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.builds import Report, require_tool
from deploy.local.cache import obtain
from deploy.local.errors import StackError
from deploy.local.go_program import go_install
from deploy.local.versions import pinned

MODULE = "go.temporal.io/server"
SCHEMA = "schema"


@dataclass(frozen=True)
class TemporalPrograms:
    """The two programs, their version (part of the template's name), and the schema files when we have them."""

    server: Path
    sql_tool: Path
    version: str
    schema: Path | None = None


async def locate(report: Report) -> TemporalPrograms:
    """PATH when it has the pinned version or a newer one, else the cache, which is filled when empty."""
    found = await asyncio.to_thread(_on_path, report)
    if found is not None:
        return found
    version = pinned().temporal

    async def build(directory: Path) -> None:
        go = require_tool(
            "temporal", "go", "install Go to build the server, or name one with TASKGATE_TEMPORAL_ADDRESS"
        )
        for package, program in (("cmd/server", "temporal-server"), ("cmd/tools/sql", "temporal-sql-tool")):
            what = f"temporal {program.removeprefix('temporal-')}"
            await go_install(what, go, f"{MODULE}/{package}@v{version}", directory / program, report)
        await asyncio.to_thread(_copy_schema, go, f"{MODULE}@v{version}", directory / SCHEMA)

    waiting = "temporal: another process is building it; waiting"
    directory = await obtain(f"temporal-server-{version}", build, lambda: report(waiting))
    return TemporalPrograms(directory / "temporal-server", directory / "temporal-sql-tool", version, directory / SCHEMA)


def _copy_schema(go: str, module: str, target: Path) -> None:
    # Asked for outside of any module, whose own requirements would get into the answer.
    argv = [go, "mod", "download", "-json", module]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=target.parent)
    if answer.returncode != 0:
        raise StackError(f"temporal: `{' '.join(argv[1:])}` failed: {answer.stderr.strip() or answer.stdout.strip()}")
    shutil.copytree(Path(json.loads(answer.stdout)["Dir"]) / "schema" / "postgresql" / "v12", target)
    for path in [target, *target.rglob("*")]:  # the module cache is read-only
        path.chmod(0o755 if path.is_dir() else 0o644)


def _on_path(report: Report) -> TemporalPrograms | None:
    server, tool = shutil.which("temporal-server"), shutil.which("temporal-sql-tool")
    if server is None or tool is None:
        return None
    answer = subprocess.run([server, "--version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if match is None:
        return None
    if [int(part) for part in match.groups()] < [int(part) for part in pinned().temporal.split(".")]:
        report(f"temporal: {server} is {match[0]}, older than {pinned().temporal}; not used")
        return None
    return TemporalPrograms(Path(server), Path(tool), match[0])
