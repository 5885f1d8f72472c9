"""A dead letter is written with the transition that makes one, whichever that is, and closed when the task goes on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backends.redis_queue.engine import RedisQueueEngine
from deploy.local.ports import free_port
from gateway.dead_letters.archive import DeadLetters
from gateway.dead_letters.collector import DeadLetterCollector
from gateway.dispatch.open_starts import SQL as STARTER
from gateway.recovery.engine_check import SQL as ENGINE_CHECK
from gateway.recovery.reconciler import SQL as RECONCILE
from gateway.sandbox.pool import Sandbox
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions
from gateway.tasks.redaction import Redaction
from workers.testing.waiting import eventually


async def letter(database: Database, task_id: str) -> dict[str, Any]:
    row = await database.fetchrow("SELECT * FROM taskgate.dead_letter WHERE id = $1", task_id)
    return {} if row is None else dict(row)


async def run(transitions: Transitions, task_id: str, *, final: bool = False, **more: Any) -> Any:
    claim = await transitions.claim(task_id, "redis", 1, "w1", with_payload=False)
    assert claim is not None
    return await transitions.fail(task_id, claim.attempt, "boom", final=final, engine_retries=True, **more)


async def test_every_attempt_keeps_error_type_and_stack(database, transitions, new_task) -> None:
    task = await new_task(tenant_id="acme", project_id="p", labels='{"run": "7"}')
    for number in range(3):
        assert await letter(database, task) == {}
        await run(transitions, task, error_type=f"E{number}", stack=f"at {number}\x00\ud800")
    attempts = await database.fetch("SELECT error, error_type, stack FROM taskgate.attempt ORDER BY attempt")
    assert [tuple(a) for a in attempts] == [("boom", f"E{n}", f"at {n}\\0\\ud800") for n in range(3)]
    kept = await letter(database, task)
    assert kept["died_at"] is not None
    wanted = {
        "kind": "task",
        "tenant_id": "acme",
        "project_id": "p",
        "task_type": "probe",
        "backend": "redis",
        "reason": "attempts_exhausted",
        "error": "boom",
        "error_type": "E2",
        "attempts": 3,
        "labels": '{"run": "7"}',
        "state": "open",
    }
    assert {name: kept[name] for name in wanted} == wanted


async def test_an_error_that_is_not_worth_repeating(database, transitions, new_task) -> None:
    task = await new_task()
    await run(transitions, task, final=True)
    assert (await letter(database, task))["reason"] == "not_retryable"


async def test_a_start_that_its_engine_refuses(database, new_task) -> None:
    task = await new_task(state="starting")
    await database.execute("UPDATE taskgate.dispatch SET owner_id = 'gateway' WHERE task_id = $1", task)
    await database.execute(STARTER.refuse, task, 1, "gateway", "too large")
    kept = await letter(database, task)
    assert (kept["reason"], kept["error"], kept["attempts"]) == ("refused", "too large", 0)


async def test_what_an_engine_or_a_legacy_worker_ends(database, new_task) -> None:
    terminated = await new_task()
    await database.execute(ENGINE_CHECK.end_by_engine, terminated, 1, "failed", "terminated by hand")
    foreign = await new_task()
    await database.execute(
        "UPDATE task_logs SET status = 'FAILED', error_message = 'legacy', completed_at = now() WHERE id = $1", foreign
    )
    await database.fetch(RECONCILE.merge_ended, ["redis"], None)
    kept = [await letter(database, task) for task in (terminated, foreign)]
    assert [(k["reason"], k["error"]) for k in kept] == [
        ("ended_elsewhere", "terminated by hand"),
        ("ended_elsewhere", "legacy"),
    ]


async def test_a_task_that_expires(database, transitions, new_task) -> None:
    task = await new_task(state="waiting")
    await database.execute("UPDATE taskgate.dispatch SET expires_at = now() - interval '1 second'")
    assert await transitions.expire() == 1
    assert (await letter(database, task))["reason"] == "expired"


async def test_a_stopped_or_completed_task_is_none(database, transitions, new_task) -> None:
    stopped, completed = await new_task(), await new_task()
    await transitions.stop(stopped)
    claim = await transitions.claim(completed, "redis", 1, "w1", with_payload=False)
    await transitions.complete(completed, claim.attempt)
    assert await database.fetch("SELECT id FROM taskgate.dead_letter") == []


async def test_a_retry_closes_it_and_the_next_failure_opens_it_again(
    database, transitions, fail_task, new_task
) -> None:
    task = await fail_task("first", labels='{"a": "b"}')
    await transitions.retry(task)
    closed = await letter(database, task)
    assert (closed["state"], closed["redrives"]) == ("redriven", 1)
    assert closed["closed_at"] is not None
    await database.execute("UPDATE taskgate.dispatch SET state = 'queued', backend = 'redis', epoch = 1")
    await run(transitions, task, final=True)
    again = await letter(database, task)
    assert (again["state"], again["error"], again["attempts"], again["redrives"]) == ("open", "boom", 2, 1)
    assert again["closed_at"] is None


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 0.001), (5.0, 5.0), (900.0, 900.0)])
async def test_an_error_sets_its_own_pause(transitions, new_task, seconds: float, expected: float) -> None:
    task = await new_task()
    verdict = await run(transitions, task, delay=timedelta(seconds=seconds))
    assert verdict.retry_in.total_seconds() == pytest.approx(expected)


async def test_old_letters_are_deleted_while_redis_is_away(database, transitions, new_task) -> None:
    task = await new_task()
    await run(transitions, task, final=True)
    await database.execute("UPDATE taskgate.dead_letter SET died_at = now() - interval '2 days'")
    redis = RedisQueueEngine(f"redis://127.0.0.1:{free_port()}", timeout=5)
    letters = DeadLetters(database, Redaction.of([]), Sandbox(megabytes=100))
    collecting = asyncio.create_task(DeadLetterCollector(database, redis.dead, letters, seconds=0.1, days=1).run())
    await eventually(lambda: letter(database, task), lambda found: not found)
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    await redis.close()
