"""Starts that a dead gateway left are repeated as quickly as the engine takes new ones, beside what others want."""

from __future__ import annotations

import asyncio
import secrets
import time

import pytest

from contracts.least import least
from contracts.slow_engines import SerialEngine
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway
from gateway.pacing.throttle import Throttle
from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from workers.testing.waiting import until

pytestmark = pytest.mark.system

LEFT, NEW, CROWD = 300, 200, 400
#: Of those that were left, beside a crowd.
FEW = 100
RATE = 100.0
#: Of the rate at which the engine takes new starts in the same run.
LEAST_RATE = 0.8
#: For each of those that were left, no more of a crowd go meanwhile.
FAIR = 1.5
#: Seconds until the first of them; where a new one takes long, so many times as long.
FIRST_SECONDS, FIRST_TIMES = 1.0, 20
#: Between two new tasks (seconds), and as a multiple of what one takes: a busy machine gets no more of them at once.
BETWEEN_SECONDS, BETWEEN_TIMES = 0.1, 5

LEAVE = """
WITH logs AS (
    INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)
    SELECT 'left-' || $2::text || '-' || n, 'g', 'probe', 'PROCESSING',
        '{"task_id": "x", "task_type": "probe", "timestamp": 1}', 0, 0
    FROM generate_series(1, $1::int) n
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend, stage, epoch, queue, due_at)
SELECT 'left-' || $2 || '-' || n, 'g', 'probe', 'initech', 'starting', 'redis', 'off', 1, 'shared-probe', now()
FROM generate_series(1, $1::int) n
"""


@pytest.fixture
def rate() -> float:
    return RATE


@pytest.fixture(autouse=True)
def unthrottled(gateway: Gateway) -> None:
    """No look takes long by its clock: on a busy machine each would, and repeats would rest after it."""
    gateway.dispatcher._due._repeats = Throttle(longest=0.0, clock=lambda: 0.0)


def tasks(count: int, tenant: str) -> list[NewTask]:
    return [NewTask("probe", "g", {}, Placement(tenant, None, None), None) for _ in range(count)]


async def leave(gateway: Gateway, database: Database, count: int = LEFT) -> float:
    """What `declare_lost` leaves of a gateway's starts; when."""
    await database.execute(LEAVE, count, secrets.token_hex(4))
    gateway.dispatcher.wake()
    return time.monotonic()


async def test_alone_they_go_as_quickly_as_new_ones(gateway: Gateway, engine: SerialEngine, database: Database) -> None:
    async def compare() -> float:
        """Seconds for one of those that were left, as a part of the seconds for a new one."""
        before = len(engine.taken)
        began = time.monotonic()
        for task in tasks(NEW, "umbrella"):
            await gateway.intake.submit([task])
        await engine.until_taken(before + NEW)
        new = (time.monotonic() - began) / NEW
        left_at = await leave(gateway, database)
        await engine.until_taken(before + NEW + LEFT)
        return (engine.taken_at[-1] - left_at) / LEFT / new

    assert 1 / await least(compare, 1 / LEAST_RATE) > LEAST_RATE
    assert max(engine.taken.values()) == 1


async def test_the_first_goes_within_a_second(gateway: Gateway, engine: SerialEngine, database: Database) -> None:
    async def wait() -> float:
        """As a part of the time that it may take."""
        before = len(engine.taken)
        began = time.monotonic()
        await gateway.intake.submit(tasks(1, "umbrella"))
        await engine.until_taken(before + 1)
        new = engine.taken_at[before] - began
        left_at = await leave(gateway, database)
        await engine.until_taken(before + 2)
        first = engine.taken_at[before + 1] - left_at
        await engine.until_taken(before + 1 + LEFT)
        return first / max(FIRST_SECONDS, FIRST_TIMES * new)

    assert await least(wait, 1) < 1


async def test_beside_a_crowd_they_have_their_share(gateway: Gateway, engine: SerialEngine, database: Database) -> None:
    await gateway.intake.submit(tasks(CROWD, "umbrella"))
    await engine.until_taken(20)
    before = len(engine.taken)
    await leave(gateway, database, FEW)
    await engine.until_taken(CROWD + FEW, seconds=120)
    last = max(place for place, task_id in enumerate(engine.taken) if task_id.startswith("left-"))
    beside = last + 1 - before - FEW
    assert beside < FAIR * FEW
    assert max(engine.taken.values()) == 1


async def test_beside_new_tasks_neither_waits_for_the_other(
    gateway: Gateway, engine: SerialEngine, database: Database
) -> None:
    await leave(gateway, database)
    overtaken: list[int] = []
    """How many of those that were left went before each new task, once it was accepted."""
    while sum(task_id.startswith("left-") for task_id in engine.taken) < LEFT and len(overtaken) < LEFT:
        (new,) = tasks(1, "umbrella")
        before = len(engine.taken)
        began = time.monotonic()
        await gateway.intake.submit([new])
        await until(lambda task_id=new.task_id: task_id in engine.taken, pause=0.005)
        overtaken.append(list(engine.taken).index(new.task_id) - before)
        await asyncio.sleep(max(BETWEEN_SECONDS, BETWEEN_TIMES * (time.monotonic() - began)))
    # A few may be under way already.
    assert sorted(overtaken)[len(overtaken) // 2] < 50
    # Of what went meanwhile, at least half.
    assert len(overtaken) < LEFT
    assert max(engine.taken.values()) == 1
