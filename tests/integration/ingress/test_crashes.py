"""Nothing is lost and nothing doubled, wherever a gateway dies, and whoever else takes from the lists."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.redis_queue.engine import RedisQueueEngine
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database


class Died(Exception):
    """The process is gone: nothing after this happens."""


class Dying:
    """An ingress whose gateway dies before or after one of its steps, the first time."""

    def __init__(self, ingress: Any, step: str, *, after: bool) -> None:
        self._ingress = ingress
        self._step = step
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ingress, name)
        if name != self._step:
            return method

        async def die(*args: Any) -> None:
            if self._after:
                await method(*args)
            raise Died

        return die


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["collect", "drop"])
async def test_a_gateway_that_dies_is_followed_by_another(producer, new_bridge, ingress, tasks, step, after):
    payload = await producer.push()
    with pytest.raises(Died):
        await new_bridge(ingress=Dying(ingress, step, after=after)).tick()
    await new_bridge().tick()
    assert await tasks.adopted() == [payload["task_id"]]
    assert await producer.waiting() == []
    assert await producer.kept() == 0
    assert await producer.dead() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_gateway_that_dies_over_what_is_no_task(producer, new_bridge, ingress, after):
    await producer.push_raw("p-moved", b"no json")
    with pytest.raises(Died):
        await new_bridge(ingress=Dying(ingress, "set_aside", after=after)).tick()
    await new_bridge().tick()
    assert await producer.dead() == ["not JSON"]
    assert await producer.kept() == 0


async def test_a_task_that_went_on_meanwhile_is_not_touched(producer, new_bridge, ingress, tasks):
    """It was adopted, ran and ended before anybody could drop its payload."""
    payload = await producer.push()
    with pytest.raises(Died):
        await new_bridge(ingress=Dying(ingress, "drop", after=False)).tick()
    await tasks.database.execute("UPDATE taskgate.dispatch SET state = 'completed', backend = 'temporal'")
    await tasks.database.execute("UPDATE task_logs SET status = 'COMPLETED', completed_at = now()")
    before = await tasks.row(payload["task_id"])
    await new_bridge().tick()
    assert await tasks.row(payload["task_id"]) == before
    assert await producer.kept() == 0
    assert await producer.dead() == []


async def test_postgresql_goes_away_after_the_payload_was_taken(producer, new_bridge, tasks, ingress):
    class Broken(Database):
        """Answers the first question only."""

        def transaction(self) -> Any:
            raise DatabaseUnavailable

    payload = await producer.push()
    with pytest.raises(DatabaseUnavailable):
        await new_bridge(database=Broken(tasks.database.url)).tick()
    assert await producer.waiting() == []
    assert await producer.kept() == 1
    await new_bridge().tick()
    assert await tasks.adopted() == [payload["task_id"]]
    assert await producer.kept() == 0


async def test_redis_is_away(new_bridge, tasks):
    engine = RedisQueueEngine("redis://127.0.0.1:1/0", timeout=1)
    with pytest.raises(EngineUnavailable):
        await engine.check_health()
    await new_bridge(ingress=engine.ingress).tick()
    assert await tasks.adopted() == []
    await engine.close()


async def test_two_gateways_at_once(producer, new_bridge, tasks):
    """The lock of a leader may be lost unnoticed for a moment."""
    pushed = [(await producer.push(f"group-{n % 7}"))["task_id"] for n in range(80)]
    bridges = [new_bridge() for _ in range(3)]
    await asyncio.gather(*(bridge.tick() for bridge in bridges))
    await bridges[0].tick()
    assert sorted(await tasks.adopted()) == sorted(pushed)
    assert await producer.dead() == []
    assert await producer.kept() == 0
    count = "SELECT count(*) FROM task_logs"
    assert await tasks.database.fetchval(count) == len(pushed)


async def test_a_legacy_worker_takes_from_the_same_lists(producer, bridge, tasks):
    pushed = [(await producer.push())["task_id"] for _ in range(100)]
    ran: list[str] = []

    async def work() -> None:
        while raw := await producer.queue.rpoplpush("queue:group:p-moved", "queue:processing:global"):
            ran.append(json.loads(raw)["task_id"])

    await asyncio.gather(work(), bridge.tick())
    await bridge.tick()
    assert sorted([*ran, *await tasks.adopted()]) == sorted(pushed)


async def test_switched_off_it_only_settles_what_was_taken(producer, new_bridge, ingress, tasks):
    payload = await producer.push()
    with pytest.raises(Died):
        await new_bridge(ingress=Dying(ingress, "collect", after=True)).tick()
    later = await producer.push()
    bridge = new_bridge(enabled=False)
    for _ in range(2):
        await bridge.tick()
    assert await tasks.adopted() == [payload["task_id"]]
    assert await producer.waiting() == [later["task_id"]]
