"""A tenant changes its tier: its waiting work moves, whoever changed it, and each task runs once."""

from __future__ import annotations

from gateway.access.placement import Tier

SHARED, OWN = "shared-add_episode", "tenant-initech-add_episode"


async def change(world, plan):
    await world.database.execute("UPDATE tenants SET plan = $1 WHERE id = 'initech'", plan)
    moved = await world.gateway.tier_mover.tick()
    await world.step()
    return moved


async def test_waiting_work_moves_and_what_runs_stays(world):
    await world.gateway.tier_mover.tick()
    running, *waiting = await world.submit(600)
    await world.submit(tenant="umbrella")
    claim = await world.claim(running)
    assert await change(world, "enterprise") == 599
    assert await world.count(state="queued", queue=OWN, epoch=2, tenant_id="initech") == 599
    assert await world.count(state="queued", queue=SHARED, epoch=1) == 1
    assert await world.gateway.duties.settle("temporal", "cancel") == 599
    assert await world.gateway.transitions.complete(running, claim.attempt)
    starts = [start.ref.workflow_id for start in world.engine.starts]
    assert len(starts) == len(set(starts)) == 601 + 599
    # A copy that a worker took before it was dropped can claim nothing.
    assert await world.gateway.transitions.claim(waiting[0], "temporal", 1, "w1", with_payload=False) is None
    assert await change(world, "free") == 599
    assert await world.count(state="queued", queue=SHARED, epoch=3) == 599


async def test_a_start_that_was_under_way_follows(world):
    await world.gateway.tier_mover.tick()
    await change(world, "vip")
    await world.submit(3)  # whoever submitted it read the old tier
    assert await world.count(queue=SHARED) == 3
    await change(world, "vip")
    assert await world.count(state="queued", queue=OWN) == 3


async def test_vip_goes_one_level_ahead(world):
    await world.submit(tenant="globex", tier=Tier.VIP, priority=3)
    await world.submit(tenant="globex", tier=Tier.VIP, priority=1)
    await world.submit(tenant="acme", tier=Tier.ENTERPRISE, priority=3)
    assert [start.priority for start in world.engine.starts] == [2, 1, 3]


async def test_weights_reach_the_engine(world):
    await world.gateway.tenants.set_weight("initech", 4.0, by="root", why=None)
    await world.gateway.task_limits.refresh()
    await world.submit()
    await world.submit(tenant="umbrella")
    assert [(s.fairness_key, s.fairness_weight) for s in world.engine.starts] == [("initech", 4.0), ("umbrella", 1.0)]
