"""Behind one address each, a Temporal node and a gateway may die under load, and gateways may be restarted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("cluster.py")


async def outcome(*strikes: str) -> tuple[dict[str, Any], str]:
    """The summary, and all that the program wrote."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), *strikes),
        env=inherited,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    last = output.strip().splitlines()[-1]
    assert last.startswith("{"), output
    return json.loads(last), output


@pytest.mark.timeout(600)
async def test_nodes_and_gateways_die_and_are_restarted() -> None:
    """Nothing is lost or runs twice, and no request fails at a restart; 15 s after a kill all is as before."""
    kills = ("temporal-0", "temporal-1", "temporal-2", "gateway-1")
    summary, output = await outcome("restart-0", "restart-1", *kills)
    assert (summary["lost"], summary["doubled"]) == (0, 0), output
    assert (summary["failed"]["restart-0"], summary["failed"]["restart-1"]) == (0, 0), output
    assert summary["resumed"] > 0, output
    for kill in kills:
        assert summary["p99_after"][kill] <= 2 * summary["p99_before"][kill], output
