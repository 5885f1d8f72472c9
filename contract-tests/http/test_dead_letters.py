"""Failed runs, dead letters, redrive and callbacks: the same on both backends."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from standardwebhooks.webhooks import Webhook

from contracts.people import Household, Person
from contracts.probes import BOARD
from contracts.receiver import receiving
from contracts.world import World

API = "/gateway/v1/dead-letters"
QUICK = {"attempts": 3, "initial_seconds": 0.2, "coefficient": 2}


async def letter(world: World, home: Household, task_id: str, person: Person | None = None) -> dict[str, Any]:
    answer = await world.client(person or home.owner).get(f"{API}/{task_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def pauses(history: list[dict[str, Any]]) -> list[timedelta]:
    """Between the end of each attempt and the begin of the next."""
    times = [(datetime.fromisoformat(a["started_at"]), datetime.fromisoformat(a["ended_at"])) for a in history]
    return [start - end for (_, end), (start, _) in zip(times, times[1:], strict=False)]  # noqa: RUF007


async def test_pauses_grow_and_every_attempt_is_kept(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fail boom", retry=QUICK)
    await world.flip()
    row = await world.ended(task_id)
    assert (row["status"], row["error_message"], row["retry_count"]) == ("FAILED", "boom", 2)
    dead = await letter(world, home, task_id)
    assert (dead["reason"], dead["attempts"], dead["error"]) == ("attempts_exhausted", 3, "boom")
    for attempt in dead["history"]:
        assert (attempt["outcome"], attempt["error"], attempt["error_type"]) == ("failed", "boom", "RuntimeError")
        assert attempt["stack"] is None  # paths of the server: administrators only
    for attempt in (await letter(world, home, task_id, world.admin))["history"]:
        assert "probes.py" in attempt["stack"]
    waited = pauses(dead["history"])
    assert [pause >= timedelta(seconds=least) for pause, least in zip(waited, (0.2, 0.4), strict=True)] == [True, True]


async def test_an_error_that_is_not_worth_repeating(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fatal no use", retry=QUICK)
    await world.ended(task_id)
    dead = await letter(world, home, task_id)
    assert (dead["reason"], dead["error_type"], len(dead["history"])) == ("not_retryable", "Fatal", 1)


async def test_an_error_may_set_the_pause(world: World, home: Household) -> None:
    task_id = await world.submit(home, "later 0.5", retry={**QUICK, "initial_seconds": 0.001})
    assert (await world.ended(task_id))["status"] == "COMPLETED"
    history = (await world.client(home.owner).get(f"/gateway/v1/tasks/{task_id}")).json()["attempts"]
    assert pauses(history)[0] >= timedelta(seconds=0.5)


async def test_redriven_with_a_corrected_payload_it_runs_once(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fail boom", retry={"attempts": 1})
    await world.ended(task_id)
    client = world.client(home.owner)
    edit = {"edit": {"patch": {"do": "report"}}}
    answers = await asyncio.gather(*(client.post(f"{API}/{task_id}/redrive", json=edit) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    await world.flip()
    assert (await world.ended(task_id))["status"] == "COMPLETED"
    assert BOARD.runs[task_id] == 2
    redriven = await letter(world, home, task_id)
    assert (redriven["state"], redriven["redrives"], redriven["edits"][0]["payload"]["do"]) == (
        "redriven",
        1,
        "fail boom",
    )


async def test_a_backend_can_be_asked_for_where_the_stage_allows_it(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fail boom", retry={"attempts": 1})
    await world.ended(task_id)
    client = world.client(home.owner)
    allowed = {"off": {"redis"}, "live": {"redis", "temporal"}, "complete": {"temporal"}}
    for backend in ("redis", "temporal"):
        if backend in allowed.get(world.stage, ()):
            continue
        if world.stage == "flipped":
            return
        answer = await client.post(f"{API}/{task_id}/redrive", json={"backend": backend})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:backend_not_allowed")
    for backend in sorted(allowed[world.stage]):
        assert (await client.post(f"{API}/{task_id}/redrive", json={"backend": backend})).status_code == 202
        await world.ended(task_id)
        assert (await world.dispatch(task_id))["backend"] == backend


async def test_the_end_is_told_by_a_signed_callback(world: World, home: Household) -> None:
    client = world.client(home.owner)
    made = (await client.post(f"/gateway/v1/tenants/{home.tenant_id}/webhook-secret")).json()
    async with receiving() as receiver:
        callback = {"url": receiver.url()}
        done = await world.submit(home, "report", callback=callback)
        failed = await world.submit(home, "fail boom", callback=callback, retry={**QUICK, "initial_seconds": 0.01})
        await world.flip()
        hits = [await receiver.hit(number) for number in (1, 2)]
        await world.ended(failed)
        events = [Webhook(made["secret"]).verify(hit.body, hit.headers) for hit in hits]
    found = {event["data"]["task_id"]: (event["type"], event["data"]["attempts"]) for event in events}
    assert found == {done: ("task.completed", 1), failed: ("task.failed", 3)}
