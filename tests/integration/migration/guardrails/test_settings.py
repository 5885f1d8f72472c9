"""The leader acts on what is set now, whenever in its look that was committed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.migration.guardrails.guard import Phase
from gateway.migration.guardrails.store import SQL
from gateway.routing.stages import Stage

Rails = Any


@pytest.fixture
async def leader(rails: Rails) -> Any:
    """Acme is moved, and armed."""
    await rails.ran_on_redis(1000, 10)
    await rails.put(Stage.LIVE)
    leader = await rails.begin_term()
    await leader.tick()
    assert (await rails.guard()).phase is Phase.ARMED
    return leader


async def test_what_is_set_while_the_leader_writes_another_guard_is_not_passed_over(
    rails: Rails, leader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = leader.places.look

    async def set_first(db: Any) -> Any:
        await rails.set("tenant:acme", dry_run=True)
        return await look(db)

    await rails.put(Stage.LIVE, "globex")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(leader.places, "look", set_first)
        await leader.tick()
    await leader.tick()
    assert (await rails.guard("globex")).phase is Phase.ARMED
    await rails.ended(10, 2)
    await leader.tick()
    assert await rails.overrides() == []
    assert await rails.events() == ["armed", "notified"]


async def test_what_is_set_before_a_rollback_is_written_holds_for_it(
    rails: Rails, leader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def set_first() -> None:
        await rails.set("tenant:acme", dry_run=True)

    await rails.ended(10, 2)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(rails.redis, "check_health", set_first)
        await leader.tick()
    assert await rails.overrides() == []
    await leader.tick()
    assert await rails.overrides() == []
    assert await rails.events() == ["armed", "notified"]


async def test_what_is_set_before_everything_freezes_holds_for_that(
    rails: Rails, leader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rails.ran_on_redis(1000, 10, tenant="globex")
    await rails.put(Stage.LIVE, "globex")
    await leader.tick()
    looks = leader._looks

    async def set_afterwards(*given: Any) -> Any:
        found = await looks(*given)
        await rails.set("tenant:acme", dry_run=True)
        return found

    for tenant in ("acme", "globex"):
        await rails.ended(10, 2, tenant=tenant)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(leader, "_looks", set_afterwards)
        await leader.tick()
    assert await rails.events(None) == []
    await leader.tick()
    assert await rails.events(None) == []
    assert [tenant for tenant, _, _ in await rails.overrides()] == ["globex"]


async def test_what_is_committed_after_a_look_is_seen_by_the_next(rails: Rails, leader: Any) -> None:
    async with rails.database.transaction() as db:
        await db.execute(SQL.lock)
        await db.execute(SQL.put_setting, "tenant:acme", json.dumps({"dry_run": True}), "ada", "test")
        await leader.tick()
    await rails.ended(10, 2)
    await leader.tick()
    assert await rails.overrides() == []
    assert await rails.events() == ["armed", "notified"]
