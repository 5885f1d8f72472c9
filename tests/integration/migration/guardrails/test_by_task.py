"""A percentage of everybody's tasks goes to Temporal: each tenant is watched, whoever says so."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.guardrails.guard import Phase
from gateway.migration.guardrails.places import Places
from gateway.routing.flag_edit import with_rollout, with_stage
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from workers.testing.waiting import until

Rails = Any
#: With this one the task that routing is asked about is none of the tenth.
SEED = 1


@pytest.fixture
async def by_task(rails: Rails) -> None:
    """A tenth of the tasks is live, but of initech, which has a setting of its own."""

    def change(flag: Any) -> Any:
        return with_rollout(with_stage(flag, Scope("initech"), Stage.SHADOW), Stage.LIVE, 10, by="task", seed=SEED)

    await rails._edit(change)
    await rails.routing.until_stage(Stage.SHADOW, RouteQuery("initech", "backup", plan=None))


async def restart(rails: Rails, new_routing: Any) -> Any:
    """A gateway that starts while nobody says anything of the flag; its routing follows the last known one."""
    rails.path.unlink()
    rails.routing = await new_routing(rails.path)
    await until(lambda: rails.routing.router.is_ready)
    assert rails.routing.flags.last_known is not None
    return await rails.begin_term()


async def test_a_leader_that_follows_the_last_known_flag_goes_on_watching(
    rails: Rails, by_task: None, new_routing: Any
) -> None:
    await rails.ran_on_redis(1000, 10)
    await (await rails.begin_term()).tick()
    assert (await rails.guard()).phase is Phase.ARMED
    leader = await restart(rails, new_routing)
    await leader.tick()
    assert (await rails.guard()).phase is Phase.ARMED
    assert await rails.events() == ["armed"]
    await rails.ended(10, 2)
    await leader.tick()
    assert (await rails.guard()).phase is Phase.ROLLED_BACK


async def test_the_place_is_the_furthest_stage_of_the_default_unless_something_else_is_set(
    rails: Rails, by_task: None, new_routing: Any
) -> None:
    for _ in range(2):
        places = Places(rails.routing.router, rails.routing.flags, rails.routing.overrides)
        await places.look(rails.database)
        assert [places.of(tenant).stage for tenant in ("acme", "globex", "initech")] == [
            Stage.LIVE,
            Stage.LIVE,
            Stage.SHADOW,
        ]
        if rails.path.exists():
            await restart(rails, new_routing)
