"""A plan of very many tenants: the leader's look at it holds nobody up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.heartbeat import largest_hold
from contracts.least import least

pytestmark = pytest.mark.system

#: In the later waves; read on the loop their names take a third of a second.
TENANTS = 40_000
WAVES = 40
LONGEST_HOLD = 0.05

PLAN = "name: spring\nwhy: the move\nbake: 2h\nwaves:\n- {tenants: [acme]}\n" + "".join(
    f"- {{tenants: [{','.join(f't{TENANTS // WAVES * wave + n}' for n in range(TENANTS // WAVES))}]}}\n"
    for wave in range(WAVES)
)


async def test_the_first_look_of_a_leader_and_an_act_hold_nobody(world: Any) -> None:
    await world.add_tenants([f"t{n}" for n in range(TENANTS)])
    await world.write(PLAN)
    await world.act("start")
    baking = await world.until("baking")
    assert [wave["moved"] for wave in baking["waves"][:2]] == [1, 0]

    async def hold() -> float:
        await world.begin_term()  # this one has read nothing
        return await largest_hold(asyncio.ensure_future(world.runner.tick()))

    assert await least(hold, LONGEST_HOLD, tries=5) < LONGEST_HOLD
    assert (await world.plan())["state"] == "baking"
