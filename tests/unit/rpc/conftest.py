"""buf, the linter and compatibility checker of the protos, from its npm package; installed once, into the cache."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.cache import obtain

TOOLS = Path(__file__).resolve().parents[2] / "buf"

Buf = Callable[..., Awaitable[tuple[int, str]]]


@pytest_asyncio.fixture(scope="session")
async def buf() -> Buf:
    """Runs buf with the given arguments; its exit code and output."""
    lock = TOOLS / "package-lock.json"

    async def install(directory: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            pytest.fail("there is no `npm` on PATH, which brings buf; install Node.js 18 or newer")
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(TOOLS / name, directory)
        code, output = await run(npm, "ci", cwd=directory)
        assert code == 0, output

    where = await obtain(f"buf-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}", install)
    (program,) = where.glob("node_modules/@bufbuild/*/bin/buf")

    async def call(*arguments: object) -> tuple[int, str]:
        return await run(program, *arguments)

    return call


async def run(*argv: object, cwd: Path | None = None) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, argv), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
