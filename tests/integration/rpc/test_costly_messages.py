"""Messages made to cost much: beside each, other calls have their turn."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.heartbeat import largest_hold
from contracts.least import least
from gateway.serve import spare_the_collector
from tests.integration.rpc.conftest import flood

pytestmark = pytest.mark.system

MEGABYTE = 1024 * 1024
#: The loop is never held for longer than this (seconds).
LONGEST_HOLD = 0.05
#: Takes of the least that was seen; a busy machine holds everybody now and then.
TRIES = 10


@pytest.fixture
def spared() -> Iterator[None]:
    spare_the_collector()
    yield
    gc.unfreeze()
    spare_the_collector()


@pytest.mark.parametrize(
    ("kind", "size", "answer"),
    [
        ("text", 10 * MEGABYTE - 1024, "OK"),
        ("values", 10 * MEGABYTE - 1024, "INVALID_ARGUMENT"),
        ("garbage", 10 * MEGABYTE - 1024, "INVALID_ARGUMENT"),
        ("batch", 60 * MEGABYTE, "OK"),
        ("keyed batch", 60 * MEGABYTE, "OK"),
        ("many tasks", 10_000, "OK"),
    ],
)
async def test_it_is_answered_and_holds_nobody(face: Any, spared: None, kind: str, size: int, answer: str) -> None:
    async def hold() -> float:
        gc.collect()
        process = await flood(f"127.0.0.1:{face.server.port}", face.world.keys["bob"], kind, 1, size)
        sending = asyncio.create_task(process.communicate())
        held = await largest_hold(sending)
        assert sending.result()[0].decode() == answer
        return held

    assert await least(hold, LONGEST_HOLD, TRIES) < LONGEST_HOLD
