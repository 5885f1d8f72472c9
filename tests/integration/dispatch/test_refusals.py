"""An engine that refuses is left alone for a while; its refusals make no further starts."""

from __future__ import annotations

import asyncio

import pytest

from contracts.slow_engines import SerialEngine
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway
from gateway.dispatch.circuit_breaker import FIRST_PAUSE
from gateway.submission.new_task import NewTask
from workers.testing.waiting import until

TASKS = 200
RATE = 200.0
#: A pause may be a quarter shorter.
LEAST_PAUSE = 0.75 * FIRST_PAUSE


@pytest.fixture
def rate() -> float:
    return RATE


async def submit_all(gateway: Gateway) -> None:
    for _ in range(TASKS // 25):
        await asyncio.gather(
            *(
                gateway.intake.submit([NewTask("probe", "g", {}, Placement(f"t{n % 2}", None, None), None)])
                for n in range(25)
            )
        )


async def test_one_refusal_repeats_nothing(gateway: Gateway, engine: SerialEngine) -> None:
    await submit_all(gateway)
    before = len(engine.taken)
    assert before < TASKS / 2
    engine.refusals = 1
    await engine.until_taken(TASKS)
    assert engine.taken.most_common(1)[0][1] == 1
    # What was under way ends; nothing else is sent before the pause is over.
    (refused_at,) = engine.refused_at
    assert min(at for at in engine.asked_at if at > refused_at) >= refused_at + LEAST_PAUSE


async def test_refusals_become_fewer_and_work_goes_on_after_them(gateway: Gateway, engine: SerialEngine) -> None:
    """Its health is good all the while, as that of a server which has no room for starts."""
    engine.refusals = 10**6
    await submit_all(gateway)
    await until(lambda: len(engine.refused_at) > 1 and engine.refused_at[-1] - engine.refused_at[0] >= 1.2)
    # 0.25, 0.5 and 1 s after the first: each time at most what goes at once, which is halved from four.
    assert len(engine.refused_at) <= 12
    engine.refusals = 0
    await engine.until_taken(TASKS)
    assert engine.taken.most_common(1)[0][1] == 1
