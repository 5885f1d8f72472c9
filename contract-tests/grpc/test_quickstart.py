"""docs/grpc.md: what is printed there is run here as it stands, but for the type of the task and the keys."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts import programs
from contracts.people import Household
from contracts.world import World
from deploy.local.cache import obtain

pytestmark = pytest.mark.system

PAGE = Path(__file__).resolve().parents[2] / "docs" / "grpc.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


async def run(*argv: object, cwd: Path, environment: dict[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, argv), cwd=cwd, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


@pytest.fixture
def environment(rpc: Any, home: Household) -> dict[str, str]:
    return {
        **os.environ,
        "TASKGATE_GRPC_ADDRESS": rpc.address,
        "TASKGATE_KEY_ACME": home.owner.key,
        "TASKGATE_PROJECT_ACME": home.project_id,
    }


async def test_the_python_sample(world: World, environment: dict[str, str], tmp_path: Path) -> None:
    (sample,) = blocks("python")
    (tmp_path / "sample.py").write_text(sample.replace("add_episode", "contract_probe"), encoding="utf-8")

    output = await run(sys.executable, "sample.py", cwd=tmp_path, environment=environment)

    assert output.splitlines()[-1].startswith("3 "), output  # TASK_STATUS_COMPLETED


async def test_the_commands(world: World, environment: dict[str, str], tmp_path: Path) -> None:
    go = programs.go()
    _, commands = blocks("console")
    (package,) = re.findall(r"go install (\S+grpcurl@\S+?)`", PAGE.read_text(encoding="utf-8"))

    async def build(directory: Path) -> None:
        await run(
            go, "install", "-trimpath", package, cwd=directory, environment={**os.environ, "GOBIN": str(directory)}
        )

    tool = await obtain(f"grpcurl-{package.rpartition('@')[2]}", build)
    script = "set -e -o pipefail\n" + "\n".join(line.removeprefix("$ ") for line in commands.splitlines())
    environment = {**environment, "PATH": f"{tool}:{os.environ['PATH']}"}

    output = await run(
        "bash", "-c", script.replace("add_episode", "contract_probe"), cwd=tmp_path, environment=environment
    )

    assert "taskgate.v1.TaskService" in output
    assert '"status": "SERVING"' in output
    assert '"status": "TASK_STATUS_COMPLETED"' in output
    assert '"total": ' in output
