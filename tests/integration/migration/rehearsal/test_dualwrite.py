"""A tenant at `dualwrite`, on real servers: its tasks run on Redis, and each is checked for Temporal."""

from __future__ import annotations

import pytest

from deploy.local.ports import free_port
from gateway.routing.stages import Stage


async def test_what_could_start_on_temporal_is_ready(new_world):
    world = await new_world("dualwrite")
    home = await world.people.household()
    tasks = [await world.submit(home) for _ in range(3)]
    one = await world.looked_at(home, 3)
    assert (one["stage"], one["verdict"], one["ready"]) == ("dualwrite", "ready", 3), one
    assert {task["task_id"] for task in await world.tasks(home)} == set(tasks)
    for task in tasks:
        assert (await world.ended(task))["status"] == "COMPLETED"
    backends = await world.database.fetch("SELECT DISTINCT backend FROM taskgate.attempt")
    assert [row["backend"] for row in backends] == ["redis"]


async def test_nothing_reaches_temporal(new_world):
    world = await new_world("dualwrite", without=("temporal",))
    home = await world.people.household()
    task = await world.submit(home)
    await world.looked_at(home, 1)
    await world.ended(task)
    session = await world.gateway.engines["temporal"]._connection.session()
    found = [one async for one in session.client.list_activities(f"TaskgateTenant = '{home.tenant_id}'")]
    assert found == []


async def test_without_a_worker_of_temporal(new_world):
    world = await new_world("dualwrite", without=("temporal",))
    home = await world.people.household(plan="enterprise")
    task = await world.submit(home)
    one = await world.looked_at(home, 1)
    assert (one["verdict"], [why["code"] for why in one["reasons"]]) == ("not_ready", ["no_worker", "no_pollers"])
    assert one["note"] == (
        "1 of 1 tasks could not have run on Temporal; first: start one: taskgate worker --backend temporal"
    )
    assert (await world.tasks(home))[0]["reasons"][1]["detail"] == f"tenant-{home.tenant_id}-contract_probe"
    assert (await world.ended(task))["status"] == "COMPLETED"


async def test_a_type_that_no_worker_of_temporal_knows(new_world):
    world = await new_world("dualwrite")
    home = await world.people.household()
    await world.submit(home, type="unheard_of")
    one = await world.looked_at(home, 1)
    assert [why["code"] for why in one["reasons"] if why["weight"] == "problem"] == ["no_handler"]
    assert one["reasons"][0]["task_types"] == ["unheard_of"]


async def test_a_payload_of_ten_megabytes_goes_by_reference(new_world):
    world = await new_world("dualwrite", max_body_bytes=12_000_000)
    home = await world.people.household()
    task = await world.submit(home, payload={"do": "", "text": "x" * 10_000_000})
    one = await world.looked_at(home, 1)
    assert (one["verdict"], one["ready"]) == ("ready", 1), one
    assert (await world.ended(task))["status"] == "COMPLETED"


async def test_temporal_away_does_not_disturb(new_world):
    world = await new_world("dualwrite", temporal_address=f"127.0.0.1:{free_port()}", without=("temporal",))
    home = await world.people.household()
    task = await world.submit(home)
    assert (await world.ended(task))["status"] == "COMPLETED"
    one = await world.looked_at(home, 1)
    assert (one["verdict"], one["unknown"]) == ("unknown", 1)
    assert [why["code"] for why in one["reasons"]] == ["temporal_away"]


async def test_a_stage_that_flips_meanwhile(new_world):
    """What was started before is still looked at; what comes later is not."""
    world = await new_world("dualwrite")
    home = await world.people.household()
    await world.submit(home)
    await world.flag.set(Stage.LIVE)
    later = await world.submit(home)
    assert (await world.ended(later))["status"] == "COMPLETED"
    one = await world.looked_at(home, 1)
    assert (one["stage"], one["ready"], one["waiting"]) == ("live", 1, 0)
    assert [task["stage"] for task in await world.tasks(home)] == ["dualwrite"]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("", {"tenant_id": "nobody"}, 404),
        ("/tasks", {"tenant_id": "nobody"}, 404),
        ("/tasks", {}, 422),
        ("/tasks", {"tenant_id": "t", "reason": "tired"}, 422),
        ("/tasks", {"tenant_id": "t", "verdict": "good"}, 422),
        ("/tasks", {"tenant_id": "t", "limit": "1000"}, 422),
        ("", {"hours": "0"}, 422),
    ],
)
async def test_bad_requests(new_world, path, params, status):
    world = await new_world("dualwrite", without=("redis", "temporal"))
    answer = await world.client(world.admin).get(f"/gateway/v1/migration/rehearsal{path}", params=params)
    assert answer.status_code == status, answer.text
