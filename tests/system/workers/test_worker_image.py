"""What the worker's image leaves out is not missed: a worker starts, and all of its modules load, without it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import PROGRAM
from tests.unit.deploy.test_containers import serving
from workers.testing.waiting import until

#: Modules by the names that code imports.
MODULES = {
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "grpcio-status": "grpc_status",
}
LEFT_OUT = {MODULES.get(name, name.replace("-", "_")) for name in serving()}
#: Read by each interpreter that has its folder in PYTHONPATH.
SITE = f"""
import sys

class LeftOut:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(LEFT_OUT)!r}:
            raise ModuleNotFoundError(f"the image has no {{name}}", name=name)

sys.meta_path.insert(0, LeftOut())
"""
EVERY_MODULE = """
import importlib, pkgutil, workers
for found in pkgutil.walk_packages(workers.__path__, "workers."):
    if not found.name.startswith("workers.testing"):
        importlib.import_module(found.name)
import deploy.demo.embedder, deploy.demo.extractor
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    rest = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    return rest | {"PYTHONPATH": str(tmp_path)}


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """To import every library takes a busy machine minutes, the first time."""
    async with asyncio.timeout(240):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def python(code: str, environment: dict[str, str]) -> tuple[int | None, str]:
    program = PROGRAM.with_name("python")
    started = asyncio.create_subprocess_exec(program, "-c", code, env=environment, stderr=asyncio.subprocess.PIPE)
    return await ended(await started)


async def test_every_module_of_workers_loads(environment: dict[str, str]) -> None:
    assert await python(EVERY_MODULE, environment) == (0, "")
    code, errors = await python("import fastapi", environment)
    assert (code, errors.splitlines()[-1]) == (1, "ModuleNotFoundError: the image has no fastapi")


async def test_a_worker_starts(
    environment: dict[str, str], database_url: str, redis_server: str, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_server, "READY_FILE": str(ready)}
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "worker", "--pool", "redis"),
        env=environment | {f"TASKGATE_{name}": value for name, value in settings.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await until(lambda: ready.exists() or process.returncode is not None, within=240)
        assert process.returncode is None, (await ended(process))[1]
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
