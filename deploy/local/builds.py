"""Runs the commands that fill the cache, with signs of life while they take minutes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.cache import cache_dir, file_lock
from deploy.local.errors import PartUnavailableError, StackError

Report = Callable[[str], None]

SIGN_OF_LIFE_SECONDS = 10.0


def require_tool(part: str, name: str, install: str) -> str:
    """The path of a program that a build needs, or one line that says what to install."""
    found = shutil.which(name)
    if found is None:
        raise PartUnavailableError(f"{part}: there is no `{name}` on PATH; {install}")
    return found


async def run_build(
    what: str, argv: Sequence[str], report: Report, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs one build command at low priority; its output goes to a log in the cache."""
    log = cache_dir() / "logs" / f"{what.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["nice", *argv] if shutil.which("nice") else list(argv)
    began = time.monotonic()
    # One heavy build at a time: two side by side only take each other's cores and memory.
    async with file_lock(cache_dir() / "locks" / "build.lock", lambda: report(f"{what}: waiting for another build")):
        report(f"{what}: building (log: {log})")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        finished = asyncio.ensure_future(process.wait())
        try:
            while not finished.done():
                await asyncio.wait({finished}, timeout=SIGN_OF_LIFE_SECONDS)
                if not finished.done():
                    report(f"{what}: still building, {time.monotonic() - began:.0f} s")
        finally:
            if not finished.done():
                os.killpg(process.pid, signal.SIGTERM)
                await finished
    if process.returncode != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise StackError(f"{what}: the build failed: {lines[-1].strip() if lines else 'no output'} (whole log: {log})")
    report(f"{what}: built in {time.monotonic() - began:.0f} s")
