"""Why a task waits, as `task show` says it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from gateway.access.placement import Caller
from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.routing.flags import FlagSource
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database
from gateway.tasks.queries.dispatch_view import DispatchView

NewRow = Callable[..., Awaitable[str]]
ADMIN = Caller("ada", "k", is_admin=True, belongs_to=frozenset())


class Engine(MemoryEngine):
    """Can be away."""

    away = False

    async def check_health(self) -> None:
        if self.away:
            raise EngineUnavailable


@pytest.fixture
def engines() -> dict[str, Engine]:
    return {name: Engine(name=name) for name in ("redis", "temporal")}


@pytest.fixture
def why(database: Database, engines: dict[str, Engine]) -> Callable[[str], Awaitable[str | None]]:
    router = Router(StaticFlags(Stage.OFF), None, configured=frozenset(engines))
    reasons = WaitingReasons(database, router, engines)

    async def ask(task_id: str) -> str | None:
        task, _ = await DispatchView(database).get(task_id, ADMIN)
        return await reasons.of(task)

    return ask


async def test_what_runs_or_is_over_waits_for_nothing(new_task: NewRow, why: Any) -> None:
    assert await why(await new_task(state="running")) is None
    assert await why(await new_task(state="completed")) is None


async def test_a_backend_that_is_away(new_task: NewRow, why: Any, engines: dict[str, Engine]) -> None:
    engines["redis"].away = True
    assert await why(await new_task()) == "its backend redis is away"
    # Its next start is put off meanwhile.
    later = datetime.now(UTC) + timedelta(seconds=5)
    assert await why(await new_task(state="waiting", due_at=later)) == "its backend redis is away"
    # Where the flag sends it now.
    assert await why(await new_task(state="waiting", backend=None)) == "its backend redis is away"


async def test_where_a_rule_by_plan_sends_it(
    database: Database, new_task: NewRow, engines: dict[str, Engine], enterprise_is_live: FlagSource
) -> None:
    await database.execute("INSERT INTO users (id, email, name) VALUES ('ann', 'ann', 'ann')")
    for plan in ("enterprise", "free"):
        query = "INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, 'ann', $1)"
        await database.execute(query, plan)
    router = Router(enterprise_is_live, None, configured=frozenset(engines))
    reasons = WaitingReasons(database, router, engines)
    for engine in engines.values():
        engine.away = True
    for tenant, backend in (("enterprise", "temporal"), ("free", "redis")):
        task_id = await new_task(state="waiting", backend=None, tenant_id=tenant)
        task, _ = await DispatchView(database).get(task_id, ADMIN)
        assert await reasons.of(task) == f"its backend {backend} is away"


async def test_no_live_worker_has_the_type(new_task: NewRow, new_worker: NewRow, why: Any) -> None:
    await new_worker("w1", backend="temporal", task_types=["other"])
    await new_worker("w2", backend="temporal", task_types=["probe"], lost_at=datetime.now(UTC))
    await new_worker("w3", backend="temporal", task_types=["probe"], pool="A")
    task_id = await new_task(backend="temporal")
    assert await why(task_id) == "no live worker serves `probe` on temporal"
    await new_worker("w4", backend="temporal", task_types=["probe"], pool="C")
    assert await why(task_id) == "it is queued on temporal until a slot is free"


async def test_a_group_that_is_locked(database: Database, new_task: NewRow, new_worker: NewRow, why: Any) -> None:
    await new_worker("w1", backend="redis", task_types=["probe"])
    running = await new_task(state="running", attempt=1)
    await database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id) VALUES ($1, 1, 1, 'redis', 'w1')",
        running,
    )
    assert await why(await new_task()) == f"its group g is locked: task {running} runs"


@pytest.mark.parametrize(
    ("waits", "runs", "backend", "is_locked"),
    [
        ("add_episode", "rebuild_communities", "temporal", True),
        ("add_episode", "add_episode", "redis", True),
        ("add_episode", "probe", "temporal", False),
        ("probe", "add_episode", "temporal", False),
    ],
)
async def test_on_temporal_a_group_is_locked_by_what_changes_its_graph(
    database: Database,
    new_task: NewRow,
    new_worker: NewRow,
    why: Any,
    waits: str,
    runs: str,
    backend: str,
    is_locked: bool,
) -> None:
    await new_worker("w1", backend="temporal", task_types=["probe", "add_episode"])
    await new_task(task_id="runs", state="running", attempt=1, backend=backend)
    await database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id) VALUES ('runs', 1, 1, $1, 'w1')",
        backend,
    )
    await database.execute("UPDATE taskgate.dispatch SET task_type = $1", runs)
    task_id = await new_task(backend="temporal")
    await database.execute("UPDATE taskgate.dispatch SET task_type = $1 WHERE task_id = $2", waits, task_id)
    locked, free = "its group g is locked: task runs runs", "it is queued on temporal until a slot is free"
    assert await why(task_id) == (locked if is_locked else free)


async def test_what_is_held_back(database: Database, new_task: NewRow, why: Any) -> None:
    await database.execute(
        "INSERT INTO taskgate.pause (pause_id, task_type, why, set_by) VALUES ('p1', 'probe', 'repairs', 'ada')"
    )
    assert await why(await new_task(state="waiting", held="paused:p1")) == "it is paused by ada: repairs"
    for held, expected in (
        ("quota:running", "its tenant runs as many tasks as its quota allows"),
        ("quota:running:project", "its project runs as many tasks as its quota allows"),
        ("waits for approval", "it is held back: waits for approval"),
    ):
        assert await why(await new_task(state="waiting", held=held)) == expected


async def test_a_pause_before_a_repetition_wherever_it_is_kept(
    database: Database, new_task: NewRow, new_worker: NewRow, why: Any, transitions: Any
) -> None:
    await new_worker("w1", backend="temporal", task_types=["probe"])
    for engine_retries, state in ((True, "queued"), (False, "waiting")):
        task_id = await new_task(backend="temporal", tenant_id=None)
        claim = await transitions.claim(task_id, "temporal", 1, "w1", with_payload=False)
        pause = timedelta(minutes=10)
        await transitions.fail(task_id, claim.attempt, "boom", final=False, engine_retries=engine_retries, delay=pause)
        row = await database.fetchrow("SELECT state, due_at FROM taskgate.dispatch WHERE task_id = $1", task_id)
        assert row["state"] == state
        assert await why(task_id) == f"its last run failed; it runs again at {row['due_at'].isoformat()}"
    # One that was handed to its engine again waits there: `due_at` is when others would take over its start.
    soon = datetime.now(UTC) + timedelta(seconds=30)
    again = await new_task(
        backend="temporal", failures=1, due_at=soon, queued_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    assert await why(again) == "it is queued on temporal until a slot is free"


async def test_what_only_has_to_be_started(new_task: NewRow, new_worker: NewRow, why: Any) -> None:
    await new_worker("w1", backend="temporal", task_types=["probe"])
    assert await why(await new_task(state="starting", backend="temporal")) == "it is about to start"


async def test_what_is_not_due(new_task: NewRow, why: Any) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    task_id = await new_task(state="waiting", backend=None, not_before=at, due_at=at)
    assert await why(task_id) == f"it is not due before {at.isoformat()}"
    task_id = await new_task(state="waiting", failures=1, due_at=at)
    assert await why(task_id) == f"its last run failed; it runs again at {at.isoformat()}"
