"""Whose payloads are adopted, and what they become."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.ingress import late_copies
from gateway.ingress import remembered as module
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.tasks.lifecycle.release import release


async def test_a_pushed_task_becomes_a_task_of_the_gateway(producer, bridge, tasks, changes):
    payload = await producer.push()
    await bridge.tick()
    row = await tasks.row(payload["task_id"])
    assert {name: value for name, value in row.items() if value is not None} == {
        "id": payload["task_id"],
        "group_id": "p-moved",
        "task_type": "add_episode",
        "status": "PROCESSING",
        "created_at": row["created_at"],
        "retry_count": 0,
        "progress": 0,
        "payload": payload,
    }
    dispatch = await tasks.dispatch(payload["task_id"])
    names = ("state", "backend", "epoch", "tenant_id", "project_id", "user_id", "max_attempts")
    assert [dispatch[name] for name in names] == ["waiting", None, 0, "moved", "p-moved", "u1", 3]
    assert isinstance(dispatch["due_at"], datetime)
    assert await producer.waiting() == []
    assert await producer.kept() == 0
    assert await tasks.database.fetchval("SELECT count(*) FROM taskgate.bridge_entry") == 0
    assert changes.ids == [payload["task_id"]]
    assert changes.wakes == 1


@pytest.mark.parametrize("is_older", [True, False])
async def test_the_starts_of_a_task_that_was_given_back_are_not_taken_for_its_next_ones(
    is_older, producer, bridge, tasks
):
    """`taskgate release` keeps no epoch; an engine that knows a start would give its end for that of the next one."""
    payload = await producer.push()
    if is_older:
        await tasks.insert(payload["task_id"], created_at=datetime.now(UTC) - timedelta(hours=1))
    await release(tasks.database, None, by="ada")
    if not is_older:
        await tasks.insert(payload["task_id"], created_at=datetime.now(UTC))
    await bridge.tick()
    epoch = (await tasks.dispatch(payload["task_id"]))["epoch"]
    assert epoch == (pytest.approx(time.time() / 60, abs=5) if is_older else 0)


async def test_the_runs_of_a_task_that_was_given_back_are_counted_on(producer, bridge, tasks):
    """`taskgate release` leaves them; a late report of one must not be taken for one of the next run."""
    payload = await producer.push()
    await tasks.database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome)"
        " VALUES ($1, 2, 1, 'redis', 'w1', 'lost')",
        payload["task_id"],
    )
    await bridge.tick()
    assert (await tasks.dispatch(payload["task_id"]))["attempt"] == 2


async def test_who_is_on_redis_stays_there_until_the_flag_says_otherwise(producer, bridge, tasks, flags):
    await bridge.tick()  # what comes after its first look is new
    payload = await producer.push("p-staying", tenant_id="staying")
    moved = await producer.push()
    await bridge.tick()
    assert await tasks.adopted() == [moved["task_id"]]
    assert await producer.waiting("p-staying") == [payload["task_id"]]
    flags.put(Scope(tenant_id="staying"), Stage.COMPLETE)
    await bridge.tick()
    assert payload["task_id"] in await tasks.adopted()
    assert await producer.waiting("p-staying") == []


async def test_nobody_is_moved_to_a_backend_that_is_not_there(producer, new_bridge, tasks):
    payload = await producer.push()
    await new_bridge(configured=frozenset({"redis"})).tick()
    assert await producer.waiting() == [payload["task_id"]]
    assert await tasks.adopted() == []


@pytest.mark.parametrize(
    ("payload", "group"),
    [
        ({"project_id": None}, "neo4j"),
        ({"tenant_id": None, "project_id": "p-moved"}, "neo4j"),
        ({"tenant_id": None, "project_id": None}, "p-moved"),
        ({"tenant_id": 7, "project_id": ["x"]}, "p-moved"),
        ({"tenant_id": "", "project_id": ""}, "p-moved"),
    ],
)
async def test_the_tenant_follows_the_contract(producer, bridge, tasks, payload, group):
    pushed = await producer.push(group, **payload)
    await bridge.tick()
    assert (await tasks.dispatch(pushed["task_id"]))["tenant_id"] == "moved"


async def test_a_stage_for_a_type_or_project_counts_too(producer, bridge, tasks, flags):
    flags.put(Scope(task_type="rebuild_communities"), Stage.LIVE)
    rebuild = await producer.push(
        "p-staying", task_type="rebuild_communities", tenant_id=None, project_id=None, task_group_id="p-staying"
    )
    await producer.push("p-staying", tenant_id="staying")
    await bridge.tick()
    assert await tasks.adopted() == [rebuild["task_id"]]
    assert (await tasks.dispatch(rebuild["task_id"]))["tenant_id"] == "staying"


async def test_the_row_of_a_producer_keeps_what_it_says(producer, bridge, tasks):
    payload = await producer.push()
    await tasks.insert(payload["task_id"], payload='{"kept": 1}', entity_id="e1", entity_type="memory", retry_count=2)
    before = await tasks.row(payload["task_id"])
    await bridge.tick()
    row = await tasks.row(payload["task_id"])
    assert row == {**before, "status": "PROCESSING"}
    assert (await tasks.dispatch(payload["task_id"]))["created_at"] == before["created_at"]


async def test_a_row_without_payload_is_given_the_one_that_was_pushed(producer, bridge, tasks):
    payload = await producer.push()
    await tasks.insert(payload["task_id"])
    await bridge.tick()
    assert (await tasks.row(payload["task_id"]))["payload"] == payload


async def test_a_row_may_come_after_its_payload(producer, new_bridge, tasks):
    """Or else the producer's own INSERT would fail."""
    bridge = new_bridge(row_grace=3600)
    await bridge.tick()
    payload = await producer.push()
    await bridge.tick()
    assert await tasks.adopted() == []
    await tasks.insert(payload["task_id"])
    await bridge.tick()
    assert await tasks.adopted() == [payload["task_id"]]


async def test_what_the_gateway_pushed_stays(producer, bridge, tasks):
    for more in ({"dispatch_epoch": 1}, {"dispatch_epoch": 12, "name": "x" * 300}):
        await producer.push(**more)
    await producer.push_raw("p-moved", b'{"dispatch_epoch": 3, "task_id": "t", "task_type": "add_episode"}')
    await bridge.tick()
    assert len(await producer.waiting()) == 3
    assert await tasks.adopted() == []


async def test_text_that_only_looks_like_the_gateways(producer, bridge, tasks):
    payloads = [
        await producer.push(content='"dispatch_epoch": 1}'),
        await producer.push(metadata={"dispatch_epoch": 1}),
    ]
    await bridge.tick()
    assert sorted(await tasks.adopted()) == sorted(payload["task_id"] for payload in payloads)


async def test_unusual_text_arrives_as_it_was_pushed(producer, bridge, tasks):
    await bridge.tick()
    content = "\ud800 \0 \N{SNOWMAN} \\u0000 \U0001f600"
    payload = await producer.push(content=content)
    await bridge.tick()
    await bridge.tick()
    assert (await tasks.row(payload["task_id"]))["payload"]["content"] == content
    assert await producer.dead() == []


async def test_what_redis_cannot_read_is_judged_all_the_same(producer, bridge, tasks):
    """A lone surrogate is JSON for Python and not for Redis; the payload of who stays must stay."""
    payload = await producer.push("p-staying", tenant_id="staying", content="\ud800")
    for _ in range(3):
        await bridge.tick()
    assert await producer.waiting("p-staying") == [payload["task_id"]]
    assert await producer.kept() == 0
    assert await tasks.adopted() == []


async def test_the_middle_of_a_long_list(producer, bridge, tasks):
    """Ends are looked at always, everything now and then."""
    raw = [json.dumps({"task_id": f"s{n}", "task_type": "add_episode", "tenant_id": "staying"}) for n in range(700)]
    raw.insert(350, json.dumps({"task_id": "middle", "task_type": "add_episode", "tenant_id": "moved"}))
    await producer.queue.sadd("queue:active_groups", "shared")
    await producer.queue.rpush("queue:group:shared", *raw)
    await bridge.tick()
    assert await tasks.adopted() == ["middle"]
    assert len(await producer.waiting("shared")) == 700
    last = await producer.push("shared")
    await bridge.tick()
    assert sorted(await tasks.adopted()) == sorted(["middle", last["task_id"]])


async def test_a_list_that_fell_out_of_the_active_set(producer, bridge, tasks):
    payload = await producer.push()
    await producer.queue.srem("queue:active_groups", "p-moved")
    await bridge.tick()
    assert await tasks.adopted() == [payload["task_id"]]


async def test_many_at_once(producer, bridge, tasks):
    pushed = [(await producer.push(f"group-{n % 60}"))["task_id"] for n in range(150)]
    await bridge.tick()
    assert sorted(await tasks.adopted()) == sorted(pushed)


async def test_what_has_waited_long_does_not_wait_for_a_look_that_is_far_away(producer, new_bridge, tasks, flags):
    """Its copies, if it has any, may lie where a quick look does not see them."""
    bridge = new_bridge()
    payload = await producer.push("p-staying", tenant_id="staying")
    await bridge.tick()
    for known in bridge._remembered._known.values():
        known.since -= 60
    bridge._everything_at, bridge._soonest = time.monotonic() + 3600, 0.0
    flags.put(Scope(tenant_id="staying"), Stage.COMPLETE)
    await bridge.tick()
    assert await tasks.adopted() == [], "this look saw the ends of the lists only"
    await bridge.tick()
    assert await tasks.adopted() == [payload["task_id"]]


async def test_what_waited_before_this_leader_came_may_have_copies(producer, new_bridge, tasks, flags):
    """Taken at an end of a long list without its copy in the middle, it would run beside that, on a legacy worker."""
    filler = b'{"task_id": "filler", "task_type": "add_episode"}'
    waited = await producer.push("p-staying", tenant_id="staying")
    for raw in [*[filler] * 120, json.dumps({**waited, "timestamp": 1}).encode(), *[filler] * 120]:
        await producer.push_raw("p-staying", raw)
    bridge = new_bridge()
    await bridge.tick()
    flags.put(Scope(tenant_id="staying"), Stage.LIVE)
    bridge._everything_at, bridge._soonest = time.monotonic() + 3600, 0.0
    await bridge.tick()
    assert await tasks.adopted() == [], "this look saw the ends of the list only"
    await bridge.tick()
    assert sorted(await tasks.adopted()) == sorted([waited["task_id"], "filler"])
    assert waited["task_id"] not in await producer.waiting("p-staying")


async def test_while_more_wait_than_are_remembered_all_are_left_to_looks_at_everything(
    producer, new_bridge, tasks, flags, monkeypatch
):
    """What was forgotten would pass for new, though it may have copies."""
    monkeypatch.setattr(module, "MOST", 2)
    bridge = new_bridge()
    await bridge.tick()
    pushed = [(await producer.push("p-staying", tenant_id="staying"))["task_id"] for _ in range(4)]
    bridge._everything_at = 0.0
    await bridge.tick()
    bridge._everything_at = bridge._soonest = time.monotonic() + 3600
    flags.put(Scope(tenant_id="staying"), Stage.LIVE)
    await bridge.tick()
    assert await tasks.adopted() == []
    bridge._everything_at = 0.0
    await bridge.tick()
    assert sorted(await tasks.adopted()) == sorted(pushed)


async def test_a_copy_that_is_pushed_while_others_are_taken_is_taken_with_its_task(
    producer, bridge, ingress, tasks, monkeypatch
):
    """To take all of a look may last minutes, and legacy recovery copies what has waited for one."""
    monkeypatch.setattr(late_copies, "PAUSE_SECONDS", 0.0)
    pushed = [await producer.push(shared) for shared in ("p-moved", "p-moved", "other")]
    copied = [pushed[1], pushed[2]]
    for payload in pushed:
        await tasks.insert(payload["task_id"], group_id=payload["group_id"])
    plain, adopted_before = ingress.collect, []

    async def collect(sighting):
        while copied:
            payload = copied.pop()
            group = payload["group_id"]
            adopted_before.append(payload["task_id"] in await tasks.adopted())
            await producer.push(group, tenant_id="staying", project_id="p-staying")
            await producer.push_raw(group, json.dumps({**payload, "timestamp": time.time()}).encode())
            await producer.push(group, tenant_id="staying", project_id="p-staying")
        return await plain(sighting)

    monkeypatch.setattr(ingress, "collect", collect)
    await bridge.tick()
    assert not any(adopted_before)
    assert sorted(await tasks.adopted()) == sorted(payload["task_id"] for payload in pushed)
    left = [*await producer.waiting("p-moved"), *await producer.waiting("other")]
    assert not set(left) & {payload["task_id"] for payload in pushed}
    assert len(left) == 4, "what others pushed stays"
    assert len(await producer.dead()) == 2


async def test_what_redis_cannot_read_has_waited_since_it_was_seen_first(producer, bridge, tasks, flags):
    """As long as everything, it is taken by looks at everything only."""
    await bridge.tick()
    payload = await producer.push("p-staying", tenant_id="staying", content="\ud800")
    look = bridge._ingress.look

    async def look_later(**more):
        """It is read when it has waited for 40 s."""
        sightings = [bridge._remembered.recall(sighting, time.monotonic() - 40) for sighting in await look(**more)]
        bridge._ingress.look = look
        return sightings

    bridge._ingress.look = look_later
    await bridge.tick()
    assert await producer.waiting("p-staying") == [payload["task_id"]]
    (known,) = bridge._remembered._known.values()
    assert time.monotonic() - known.since >= 40
    assert known.sighting.task_id == payload["task_id"]
