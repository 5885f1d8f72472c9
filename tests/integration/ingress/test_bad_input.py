"""What is no task goes to the dead list with its reason, and blocks nobody."""

from __future__ import annotations

import base64
import json
import re

import pytest

from backends.redis_queue.ingress import Collected
from gateway.ingress.bridge import Bridge

TASK = {"task_id": "t1", "task_type": "add_episode", "tenant_id": "moved"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"no json", "not JSON"),
        (b'{"task_id": ', "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"task_id": "t1", "task_type": "\xff"}', "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "task_id is missing"),
        (json.dumps({**TASK, "task_id": 7}).encode(), "task_id is not a string"),
        (json.dumps({**TASK, "task_id": ""}).encode(), "task_id is empty, too long or contains NUL"),
        (json.dumps({**TASK, "task_id": "a\0b"}).encode(), "task_id is empty, too long or contains NUL"),
        (json.dumps({**TASK, "task_id": "x" * 2000}).encode(), "task_id is empty, too long or contains NUL"),
        (json.dumps({**TASK, "task_id": "\ud800"}).encode(), "task_id contains a lone surrogate"),
        (json.dumps({**TASK, "task_type": None}).encode(), "task_type is missing"),
        (json.dumps({**TASK, "task_type": {}}).encode(), "task_type is not a string"),
        (json.dumps({**TASK, "dispatch_epoch": "x"}).encode(), "dispatch_epoch is not a positive number"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else value,
)
async def test_what_is_no_task(producer, bridge, tasks, raw, reason):
    before, after = await producer.push(), None
    await producer.push_raw("p-moved", raw)
    after = await producer.push()
    for _ in range(2):
        await bridge.tick()
    assert sorted(await tasks.adopted()) == sorted([before["task_id"], after["task_id"]])
    if "dispatch_epoch" in reason:
        # It says that it is the gateway's own; the worker that meets it sets it aside.
        assert await producer.queue.lrange("queue:group:p-moved", 0, -1) == [raw]
        return
    assert await producer.dead() == [reason]
    assert await producer.queue.llen("queue:group:p-moved") == 0
    assert await producer.kept() == 0
    entry = json.loads((await producer.queue.lrange("taskgate:dead", 0, -1))[0])
    assert entry["group"] == "p-moved"
    assert entry["bytes"] == len(raw)
    assert base64.b64decode(entry["payload"]) == raw


async def test_what_the_interpreter_can_just_read(producer, bridge, tasks):
    """To write it takes more of the stack than to read it, or less, wherever it is done."""
    for levels in (300, *range(700, 1000, 5)):
        names = f'"task_id": "deep-{levels}", "task_type": "t", "tenant_id": "moved"'
        await producer.push_raw(f"g-{levels}", f'{{{names}, "x": {"[" * levels}{"]" * levels}}}'.encode())
    behind = await producer.push()
    for _ in range(2):
        await bridge.tick()
    adopted, dead = await tasks.adopted(), await producer.dead()
    assert {"deep-300", behind["task_id"]} <= set(adopted)
    assert set(dead) == {"nested too deeply"}
    assert len(adopted) + len(dead) == 62
    assert await producer.kept() == 0


async def test_fifty_megabytes(producer, bridge, tasks):
    raw = json.dumps({**TASK, "content": "x" * 50_000_000}).encode()
    await producer.push_raw("p-moved", raw)
    behind = await producer.push()
    await bridge.tick()
    assert await tasks.adopted() == [behind["task_id"]]
    [reason] = await producer.dead()
    assert await producer.queue.memory_usage("taskgate:dead") < 1_000_000
    size, place = re.fullmatch(r"too large: (\d+) bytes; whole: HGET taskgate:dead:large (\w+)", reason).groups()
    assert await producer.queue.hget("taskgate:dead:large", place) == raw
    assert int(size) == len(raw)


async def test_five_megabytes_are_none_too_many(producer, bridge, tasks):
    payload = await producer.push(content="x" * 5_000_000)
    await bridge.tick()
    assert (await tasks.row(payload["task_id"]))["payload"] == payload


async def test_a_group_that_is_no_text(producer, bridge, tasks):
    await producer.push_raw(b"\xff", json.dumps(TASK).encode())
    behind = await producer.push()
    for _ in range(2):
        await bridge.tick()
    assert behind["task_id"] in await tasks.adopted()
    assert await producer.dead() == ["the name of the group is not UTF-8"]


async def test_a_key_that_is_no_list(producer, bridge, tasks):
    await producer.queue.set("queue:group:odd", "x")
    await producer.queue.sadd("queue:active_groups", "odd")
    payload = await producer.push()
    await bridge.tick()
    assert await tasks.adopted() == [payload["task_id"]]


async def test_an_unknown_type_is_a_task(producer, bridge, tasks):
    """It fails when it runs, with a message that names the type (R7)."""
    payload = await producer.push(task_type="no_such_type")
    await bridge.tick()
    assert (await tasks.dispatch(payload["task_id"]))["task_type"] == "no_such_type"


# Ids that are taken -----------------------------------------------------------------------------------------


async def test_the_same_payload_twice(producer, bridge, tasks):
    payload = await producer.push()
    await producer.push_raw("p-moved", (await producer.queue.lindex("queue:group:p-moved", 0)))
    for _ in range(2):
        await bridge.tick()
    assert await tasks.adopted() == [payload["task_id"]]
    [reason] = await producer.dead()
    assert reason.startswith("duplicate task_id")


async def test_another_payload_with_the_same_id(producer, bridge, tasks):
    first = await producer.push()
    await producer.push(task_id=first["task_id"], content="other")
    await bridge.tick()
    assert await tasks.adopted() == [first["task_id"]]
    assert (await tasks.row(first["task_id"]))["payload"]["content"] == first["content"]
    [reason] = await producer.dead()
    assert reason.startswith("duplicate task_id")


async def test_no_legacy_worker_gets_a_copy_of_what_is_becoming_a_task(producer, bridge, tasks, monkeypatch):
    """Legacy recovery (contract §5, rule 2) pushed it to the end that workers take from."""
    first = await producer.push()
    for _ in range(5):
        await producer.push()
    await producer.push(task_id=first["task_id"])
    settle, left = Bridge._settle, []

    async def watched(self: Bridge, collected: Collected) -> bool:
        left.append(await producer.waiting())
        return await settle(self, collected)

    monkeypatch.setattr(Bridge, "_settle", watched)
    await bridge.tick()
    assert first["task_id"] not in left[0]
    assert len(await tasks.adopted()) == 6
    [reason] = await producer.dead()
    assert reason.startswith("duplicate task_id")


@pytest.mark.parametrize("owned_by", ["dispatch", "row"])
async def test_an_id_that_another_tenant_owns(producer, bridge, tasks, owned_by):
    payload = json.dumps({"tenant_id": "staying"})
    await tasks.insert("taken", group_id="p-staying", payload=payload, status="PENDING")
    if owned_by == "dispatch":
        await tasks.database.execute(
            "INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state)"
            " VALUES ('taken', 'staying', 'p-staying', 'add_episode', 'waiting')"
        )
    before = await tasks.row("taken")
    await producer.push(task_id="taken")
    await bridge.tick()
    assert await producer.dead() == ["its task_id belongs to another tenant"]
    assert await tasks.row("taken") == before


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "STOPPED"])
async def test_a_task_that_is_over_does_not_run_again(producer, bridge, tasks, status):
    """R9: legacy runs a stopped task that is still in its list."""
    payload = await producer.push()
    await tasks.insert(payload["task_id"], status=status)
    await bridge.tick()
    assert await tasks.adopted() == []
    assert await producer.dead() == [f"duplicate task_id: the task is over ({status})"]
    assert (await tasks.row(payload["task_id"]))["status"] == status


async def test_a_copy_of_what_runs_on_a_legacy_worker_stays(producer, bridge, tasks):
    """R2: its recovery loop copies; the one that runs decides."""
    payload = await producer.push()
    await tasks.insert(payload["task_id"], status="PROCESSING", worker_id="legacy-0a1b2c3d")
    await bridge.tick()
    assert await producer.waiting() == [payload["task_id"]]
    assert await tasks.adopted() == []


@pytest.mark.parametrize(
    ("state", "backend", "stays"),
    [
        ("queued", "redis", True),
        ("running", "redis", True),
        ("completed", "redis", False),
        ("queued", "temporal", False),
        ("running", "temporal", False),
        ("waiting", None, False),
    ],
)
async def test_a_copy_of_a_task_of_the_gateway(producer, bridge, tasks, state, backend, stays):
    """In Redis the claim decides; elsewhere a legacy worker would run the copy a second time (R2)."""
    payload = await producer.push()
    await tasks.insert(payload["task_id"], status="PROCESSING", payload=json.dumps(payload))
    await tasks.database.execute(
        "INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend)"
        " VALUES ($1, 'moved', 'p-moved', 'add_episode', $2, $3)",
        payload["task_id"],
        state,
        backend,
    )
    before = await tasks.dispatch(payload["task_id"])
    await bridge.tick()
    assert await tasks.dispatch(payload["task_id"]) == before
    assert (await producer.waiting() == [payload["task_id"]]) is stays
    assert len(await producer.dead()) == (0 if stays else 1)
