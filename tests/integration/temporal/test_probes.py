"""Probes on a real server: what a worker answers, whatever a handler's `rehearse` does; and who does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from backends.errors import CapabilityMissing, EngineUnavailable, WorkflowNotFound
from backends.port import WorkflowStart
from backends.rehearsal import ProbeAnswer
from backends.temporal import names
from backends.temporal import probes as sending
from contracts import rehearsing
from deploy.local.ports import free_port
from gateway.storage.database import Database
from workers.outcome import Completed
from workers.rehearsal.rehearsing import Rehearsing
from workers.temporal import probe as probe_module
from workers.temporal.pool import FEWEST_POLLERS, TemporalWorkerPool
from workers.temporal.probe import ProbeActivity
from workers.testing.scripted import ScriptedRunner
from workers.testing.temporal_bench import TemporalBench
from workers.testing.waiting import eventually, until

WAIT = timedelta(seconds=20)
HANDLERS: dict[str, Any] = {handler.task_type: handler for handler in rehearsing.HANDLERS}


class Silent:
    """A handler as they were written before there was `rehearse`."""

    task_type = "old"

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        rehearsing.RUNS.append(payload["task_id"])


HANDLERS |= {"old": Silent()}


def probes(database: Database, *, limit: float = 0.5) -> ProbeActivity:
    return ProbeActivity(database, HANDLERS.get, Rehearsing(limit=limit), "worker-1")


Ask = Callable[..., Awaitable[ProbeAnswer]]


@pytest.fixture(autouse=True)
def nothing_ran() -> Any:
    rehearsing.RUNS.clear()
    rehearsing.SEEN.clear()
    rehearsing.BEGAN.clear()
    rehearsing.RELEASED.clear()
    yield
    rehearsing.RELEASED.set()
    assert rehearsing.RUNS == [], "a probe never runs a task"


@pytest.fixture
def ask(temporal: TemporalBench) -> Ask:
    engine = temporal.engine(inline_payload_bytes=10_000)

    async def ask(start: WorkflowStart, *, wait: timedelta = WAIT, by_reference: bool = False) -> ProbeAnswer:
        await engine.rehearsal.send_probe(start, wait=wait, by_reference=by_reference)
        answer = await eventually(
            lambda: engine.rehearsal.probe_answer(start.ref.task_id), lambda found: found is not None, within=60
        )
        return answer

    return ask


@pytest_asyncio.fixture
async def pool(temporal: TemporalBench, database: Database) -> AsyncIterator[TemporalWorkerPool]:
    yield await temporal.serve(ScriptedRunner(), task_types=[*HANDLERS, "unheard_of"], probes=probes(database))


@pytest.mark.parametrize(
    ("task_type", "outcome", "detail"),
    [
        ("rehearse_good", "rehearsed", ""),
        ("rehearse_plain", "rehearsed", ""),
        ("rehearse_writes", "wrote", "it tried _update_task_log"),
        ("rehearse_hides", "wrote", "it tried _update_memory_status"),
        ("rehearse_graph", "wrote", "it tried _graphiti_client"),
        ("rehearse_raises", "raised", "LookupError: no such model"),
        ("rehearse_mute", "raised", "Mute: Mute"),
        ("rehearse_exits", "raised", "SystemExit: 3"),
        ("rehearse_waits", "blocked", "rehearse() did not return within 0.5 s"),
        ("rehearse_blocks", "blocked", "rehearse() did not return within 0.5 s"),
        ("old", "no_rehearse", ""),
        ("unheard_of", "no_handler", ""),
    ],
)
async def test_what_a_worker_answers(temporal, pool, ask, task_type, outcome, detail):
    answer = await ask(temporal.start(task_type))
    assert (answer.outcome, answer.detail, answer.worker_id) == (outcome, detail, "worker-1")
    assert 0 <= answer.queue_seconds < 20
    assert 0 < answer.decode_seconds < 5


async def test_rehearse_is_given_what_process_would_be(temporal, pool, ask):
    start = temporal.start("rehearse_good", payload={"content": "häs umlauts", "project_id": "p1"})
    await ask(start)
    (seen,) = rehearsing.SEEN
    assert seen.pop("timestamp") > 0
    assert seen == {
        "content": "häs umlauts",
        "project_id": "p1",
        "group_id": start.ref.group_id,
        "task_id": start.ref.task_id,
        "task_type": "rehearse_good",
    }


async def test_a_large_payload_is_read_from_postgresql(temporal, pool, ask, database):
    start = temporal.start("rehearse_good", payload={"content": "x" * 10_000_000})
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload)"
        " VALUES ($1, 'g', 'x', 'PROCESSING', $2::json)",
        start.ref.task_id,
        json.dumps(dict(start.payload)),
    )
    assert (await ask(start)).outcome == "rehearsed"
    assert len(rehearsing.SEEN[0]["content"]) == 10_000_000
    gone = temporal.start("rehearse_good", payload={})
    assert (await ask(gone, by_reference=True)).outcome == "row_gone"


async def test_what_blocks_does_not_keep_tasks_from_running(temporal, pool, database):
    """One thread of a type at most is left behind."""
    engine = temporal.engine()
    first, second, task = (temporal.start(kind) for kind in ("rehearse_blocks", "rehearse_blocks", "old"))
    await engine.rehearsal.send_probe(first, wait=WAIT, by_reference=False)
    await asyncio.to_thread(rehearsing.BEGAN.wait, 20)
    runner = pool._activity._runner
    await engine.start_workflow(task)
    async with asyncio.timeout(20):
        (await runner.next()).finish(Completed())
    answer = await eventually(
        lambda: engine.rehearsal.probe_answer(first.ref.task_id), lambda found: found is not None, within=60
    )
    assert answer.outcome == "blocked"
    await engine.rehearsal.send_probe(second, wait=WAIT, by_reference=False)
    answer = await eventually(
        lambda: engine.rehearsal.probe_answer(second.ref.task_id), lambda found: found is not None, within=60
    )
    assert (answer.outcome, answer.detail) == ("blocked", "an earlier rehearse() of this worker has not returned")


async def test_a_probe_is_no_task(temporal, pool, ask):
    """Other id, other type; neither a start nor an end of the task."""
    start = temporal.start("rehearse_good")
    await ask(start)
    engine = temporal.engine()
    assert await engine.get_workflow_status(start.ref) is None
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert names.probe_id(start.ref.task_id) not in [one.workflow_id for one in await engine.list_ended(since)]
    assert pool.running == 0
    assert pool._activity._runner.seen == []


async def test_sent_again_it_is_the_same_probe(temporal, pool, ask):
    start = temporal.start("rehearse_good")
    first = await ask(start)
    assert await ask(start) == first
    assert len(rehearsing.SEEN) == 1


async def test_a_queue_without_pollers(temporal, ask):
    answer = await ask(temporal.start("rehearse_good"), wait=timedelta(seconds=1))
    assert (answer.outcome, answer.queue_seconds) == ("not_taken", None)


async def test_a_worker_of_an_older_version(temporal, ask):
    await temporal.serve(ScriptedRunner(), task_types=["rehearse_good"])
    assert (await ask(temporal.start("rehearse_good"))).outcome == "worker_too_old"


async def test_a_worker_that_is_stopped_meanwhile(temporal, ask, database):
    pool = await temporal.serve(ScriptedRunner(), task_types=["rehearse_waits"], probes=probes(database, limit=60))
    asking = asyncio.create_task(ask(temporal.start("rehearse_waits")))
    await asyncio.to_thread(rehearsing.BEGAN.wait, 20)
    pool.stop(drain=timedelta())
    assert (await asking).outcome == "worker_stopped"


async def test_a_worker_that_is_lost_meanwhile(temporal, ask, database, monkeypatch):
    monkeypatch.setattr(sending, "RUN", timedelta(seconds=2))
    proxy = await temporal.proxy()
    await temporal.serve(
        ScriptedRunner(),
        task_types=["rehearse_waits"],
        probes=probes(database, limit=1),
        address=f"127.0.0.1:{proxy.port}",
    )
    asking = asyncio.create_task(ask(temporal.start("rehearse_waits")))
    await asyncio.to_thread(rehearsing.BEGAN.wait, 20)
    await proxy.refuse()
    assert (await asking).outcome == "lost"


async def test_all_slots_are_taken(temporal, ask, database, monkeypatch):
    monkeypatch.setattr(probe_module, "SLOT_SECONDS", 0.2)
    runner = ScriptedRunner()
    pool = await temporal.serve(runner, task_types=["old"], slots=1, probes=probes(database))
    # One brings the task, the other one the probe; no poll begins while the task runs.
    await until(lambda: pool._slots._polls >= FEWEST_POLLERS and not pool.usage.fresh)
    await temporal.engine().start_workflow(temporal.start("old"))
    async with asyncio.timeout(20):
        running = await runner.next()
    answer = await ask(temporal.start("old"), wait=timedelta(seconds=15))
    assert answer.outcome == "no_slot"
    running.finish(Completed())


async def test_temporal_away(temporal):
    engine = temporal.engine(f"127.0.0.1:{free_port()}", timeout=0.5)
    with pytest.raises(EngineUnavailable):
        await engine.rehearsal.send_probe(temporal.start(), wait=WAIT, by_reference=False)
    with pytest.raises(EngineUnavailable):
        await engine.rehearsal.probe_answer("t")


async def test_what_was_never_sent(temporal):
    with pytest.raises(WorkflowNotFound):
        await temporal.engine().rehearsal.probe_answer("never")


async def test_where_activities_do_not_stand_alone(temporal):
    engine = temporal.engine(standalone=False)
    with pytest.raises(CapabilityMissing):
        await engine.rehearsal.send_probe(temporal.start(), wait=WAIT, by_reference=False)
    assert "no_pollers" in {one.code for one in await engine.rehearsal.check(temporal.start())}
