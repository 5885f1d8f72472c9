"""`make up && make demo`: both backends run real episodes into a real graph."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from deploy.local.demo import TENANTS
from deploy.local.env import NAMED_BY
from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import NEEDS

CHECKOUT = Path(__file__).parents[3]


async def demo(directory: Path) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in NAMED_BY.values()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.demo"),
        cwd=CHECKOUT,
        env={**clean, "TASKGATE_LOCAL_DIR": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_the_demo_finishes_on_both_backends(stack_factory: StackFactory) -> None:
    stack = await stack_factory([name for name in NEEDS if name != "temporal-ui"])
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


async def test_without_a_stack_the_demo_says_what_to_do(tmp_path: Path) -> None:
    code, _, errors = await demo(tmp_path)
    assert code == 1
    assert errors == f"error: there is no stack in {tmp_path}; start it with `make up`\n"
