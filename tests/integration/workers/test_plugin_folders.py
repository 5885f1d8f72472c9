"""Folders beside a plug-in that have the names of our own packages: ours are imported, and a clash is one line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from workers.testing.waiting import until

pytestmark = pytest.mark.system

PROGRAM = Path(sys.executable).with_name("taskgate")
PLUGIN = """
class Probe:
    task_type = "plug"

    async def process(self, payload, context):
        return {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A handler's author's: a plug-in, and folders with the names of our packages beside it."""
    (tmp_path / "plug_tasks.py").write_text(PLUGIN)
    (tmp_path / "clashing_tasks.py").write_text(f"from workers import own_helper\n{PLUGIN}")
    for number, name in enumerate(("gateway", "backends", "workers", "deploy")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own_helper.py").write_text("")
        if number % 2 == 0:
            (tmp_path / name / "__init__.py").write_text("")
    return tmp_path


@pytest.fixture
def environment(folder: Path, database_url: str, redis_server: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TASKGATE_", "PYTHON"))}
    return inherited | {
        "TASKGATE_DATABASE_URL": database_url,
        "TASKGATE_REDIS_URL": redis_server,
        "TASKGATE_READY_FILE": str(folder / "ready"),
    }


async def worker(folder: Path, environment: dict[str, str], *, path: bool, handlers: str) -> asyncio.subprocess.Process:
    """The worker, started where the plug-in is, or with that folder in PYTHONPATH."""
    more = {"TASKGATE_HANDLERS": handlers} | ({"PYTHONPATH": str(folder)} if path else {})
    return await asyncio.create_subprocess_exec(
        *(PROGRAM, "worker", "--backend", "redis"),
        cwd="/" if path else folder,
        env=environment | more,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("path", [False, True], ids=["beside", "PYTHONPATH"])
async def test_a_worker_starts_with_its_own_packages(folder: Path, environment: dict[str, str], path: bool) -> None:
    process = await worker(folder, environment, path=path, handlers="plug_tasks")
    try:
        await until(lambda: (folder / "ready").exists() or process.returncode is not None, within=30)
        assert process.returncode is None
    finally:
        process.terminate()
        _, log = await process.communicate()
    assert process.returncode == 0
    assert b"handler of plug from module plug_tasks" in log


@pytest.mark.parametrize("path", [False, True], ids=["beside", "PYTHONPATH"])
async def test_a_clash_is_one_line_that_names_both(folder: Path, environment: dict[str, str], path: bool) -> None:
    process = await worker(folder, environment, path=path, handlers="clashing_tasks")
    try:
        async with asyncio.timeout(30):
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == os.EX_CONFIG
    ours = Path(__file__).parents[3] / "workers"
    assert log.decode().splitlines() == [
        f"taskgate: Handler module 'clashing_tasks' cannot be imported: {folder / 'workers'} is hidden by"
        f" {ours}, which has the same name; rename the former"
    ]


async def test_other_commands_start_too(folder: Path, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "--version"),
        env=environment | {"PYTHONPATH": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert output.strip()
