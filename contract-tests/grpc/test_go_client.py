"""The client in Go finds the same service as the one in Python, at every stage."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from contracts.people import Household
from contracts.world import World

pytestmark = pytest.mark.system


async def test_the_client_in_go(
    world: World, rpc: Any, home: Household, stranger: Household, go_client: Path, go_environment: dict[str, str]
) -> None:
    process = await asyncio.create_subprocess_exec(
        str(go_client),
        "-test.v",
        "-test.timeout=120s",
        env={
            **go_environment,
            "TASKGATE_GRPC_ADDRESS": rpc.address,
            "TASKGATE_KEY": home.owner.key,
            "TASKGATE_FOREIGN_KEY": stranger.owner.key,
            "TASKGATE_PROJECT": home.project_id,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert output.count("--- PASS") == 9, output
