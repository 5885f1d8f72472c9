"""`make demo`: both backends run real episodes into a real graph; again, after `make down`, beside another checkout."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from deploy.local.demo import TENANTS
from deploy.local.env import NAMED_BY, read_env
from deploy.local.process import destroy_directory
from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import NEEDS, EmbeddedStack

CHECKOUT = Path(__file__).parents[3]


#: As in `make demo`: what is missing is started, then the demo runs. The usual ports are those of another checkout.
UP = """
import runpy
from deploy.local.ports import DEFAULT_PORTS
DEFAULT_PORTS.update({ports})
runpy.run_module("deploy.local", run_name="__main__", alter_sys=True)
"""
PARTS = [name for name in NEEDS if name != "temporal-ui"]
EPISODES = sum(len(tenant.episodes) for tenant in TENANTS)


@pytest_asyncio.fixture(scope="module")
async def stack(module_stack_factory: StackFactory) -> EmbeddedStack:
    return await module_stack_factory(PARTS)


@pytest_asyncio.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path / "local"
    await destroy_directory(tmp_path / "local")


async def demo(directory: Path) -> tuple[int, str, str]:
    return await run(directory, "-m", "deploy.local.demo")


async def run(directory: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in NAMED_BY.values()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=CHECKOUT,
        env={**clean, "TASKGATE_LOCAL_DIR": str(directory), **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_the_demo_finishes_on_both_backends(stack: EmbeddedStack) -> None:
    code, output, errors = await demo(stack.directory)
    assert (code, errors) == (0, "")
    rows = [line.split() for line in output.splitlines() if " Completed " in line]
    assert [(row[0], row[1]) for row in rows] == [("acme", "temporal")] * 3 + [("initech", "redis")] * 3
    for tenant in TENANTS:
        episodes = len(tenant.episodes)
        assert f"Graph of {tenant.name} (group {tenant.name}-project): " in output
        assert f"{episodes} Episodic" in output
    assert "Alice Moreau  --" in output
    for name in ("gateway", "worker-temporal", "worker-redis"):
        log = (stack.directory / "logs" / f"{name}.log").read_text()
        assert '"level": "INFO"' in log
        # Nothing went wrong, so nothing is said to have.
        assert re.findall(r"^.*\b(?:WARNING|ERROR|CRITICAL|Traceback)\b.*$", log, re.MULTILINE) == []
    # With every address and key in the shell, as it says, a worker of one's own starts.
    reads = "from gateway.settings import read_settings; print(read_settings().redis_url)"
    told = await run(stack.directory, "-c", reads, **read_env(stack.env_file))
    assert told == (0, f"{stack.redis_url}\n", "")


def check_told(output: str, directory: Path) -> None:
    """That all finished, and what to look at next."""
    assert f"{EPISODES} of {EPISODES} episodes finished" in output
    after = output.partition("What to look at next")[2]
    assert str(directory / "env") in after
    for what in ("taskgate task list", "taskgate flags show", "docs/how-to-move-a-tenant.md", "make down", "/console/"):
        assert what in after, what


async def test_again_after_down_and_beside_another_checkout(stack: EmbeddedStack, directory: Path) -> None:
    """Each demo takes a minute of two processors, so there are two: again on one stack, and beside it, after `down`."""
    code, output, errors = await demo(stack.directory)
    assert (code, errors) == (0, "")
    check_told(output, stack.directory)

    taken: dict[str, int] = json.loads((stack.directory / "ports.json").read_text())
    up = ("-c", UP.format(ports=taken), "up", "--without", "temporal-ui")
    code, output, errors = await run(directory, *up)
    assert code == 0, errors
    chosen: dict[str, int] = json.loads((directory / "ports.json").read_text())
    assert not set(chosen.values()) & set(taken.values())
    for name, number in chosen.items():
        assert f"port {taken[name]} is taken, {number} is used instead; TASKGATE_PORT_{name.upper()} chooses" in output
    address = read_env(directory / "env")["TASKGATE_URL"]

    await run(directory, "-m", "deploy.local", "down")
    code, _, errors = await demo(directory)
    assert code == 1
    assert errors.startswith(f"error: the gateway does not answer at {address}")
    assert errors.endswith("start it with `make up`\n")
    code, _, errors = await run(directory, *up)
    assert code == 0, errors
    assert json.loads((directory / "ports.json").read_text()) == chosen  # a shell still has their addresses
    code, output, errors = await demo(directory)
    assert (code, errors) == (0, "")
    check_told(output, directory)
    assert f"{address}/console/" in output


async def test_without_a_stack_the_demo_says_what_to_do(tmp_path: Path) -> None:
    code, _, errors = await demo(tmp_path)
    assert code == 1
    assert errors == f"error: there is no stack in {tmp_path}; start it with `make up`\n"
