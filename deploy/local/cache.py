"""The cache outside the checkout: what was built or downloaded once is there for every checkout."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

LOCK_POLL_SECONDS = 0.1


def cache_dir() -> Path:
    """`$TASKGATE_CACHE`, else `~/.cache/taskgate`; made when missing."""
    named = os.environ.get("TASKGATE_CACHE")
    directory = Path(named) if named else Path.home() / ".cache" / "taskgate"
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


@asynccontextmanager
async def file_lock(path: Path, waiting: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Holds an exclusive lock between processes; `waiting` is called once when another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting is not None and not told:
                    waiting()
                told = True
                # flock has no asynchronous form, and a thread blocked in it could not be cancelled.
                await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


async def obtain(
    name: str, build: Callable[[Path], Awaitable[None]], waiting: Callable[[], None] | None = None
) -> Path:
    """The cache entry `name`, built by `build(empty_directory)` when it is missing.

    Two that ask at once get one build, and an entry appears whole or not at all.
    """
    target = cache_dir() / name
    if target.is_dir():
        return target
    async with file_lock(cache_dir() / "locks" / f"{name}.lock", waiting):
        if target.is_dir():
            return target
        workspace = Path(tempfile.mkdtemp(dir=cache_dir(), prefix=f".{name}-"))
        os.chmod(workspace, 0o755)  # other users may use the cache
        try:
            await build(workspace)
            os.replace(workspace, target)
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
    return target
