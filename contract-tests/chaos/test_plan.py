"""A plan moves the four tenants in three waves under traffic; a guardrail takes one of them back."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checker import check
from clients import Clients
from evidence import history_of, settle
from moves import BASELINE, BRITTLE, WORSE, Moves
from workers.testing.waiting import eventually
from world import TENANTS, World

pytestmark = pytest.mark.system

PATH = "/gateway/v1/migration/plans/spring"
STAGES = "/gateway/v1/migration/stages"
PLAN = {
    "name": "spring",
    "why": "the move",
    "bake": "3s",
    "waves": [
        {"name": "pilot", "tenants": ["acme"]},
        {"name": "brittle", "tenants": ["globex"], "bake": "15s"},
        {"name": "rest", "percent": 100},
    ],
}
#: Pause between two tasks of the traffic (seconds).
BETWEEN = 0.2


class Scene:
    """The fault suite's world without its faults, and an operator."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients = Clients(world, random.Random(5))
        self.moves = Moves(world, self.clients)
        self.is_over = asyncio.Event()

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """Asked again while no gateway answers: the first plan waits for a sandbox, on a busy machine for long."""
        answer = await eventually(lambda: self.moves.ask(method, path, body, query), within=60)
        assert answer is not None
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        await eventually(holds, within=seconds, pause=0.2)

    async def until_state(self, *states: str, seconds: float = 60) -> dict[str, Any]:
        plan: dict[str, Any] = {}

        async def is_there() -> bool:
            nonlocal plan
            plan = await self.ask("GET", PATH)
            return plan["state"] in states

        await self.until(is_there, seconds)
        return plan

    async def send(self) -> None:
        """Traffic of all four, until it is over; who has asked gets an answer."""
        number = 0
        async with asyncio.TaskGroup() as group:
            while not self.is_over.is_set():
                group.create_task(self.clients.submit_and_meddle(number))
                number += 1
                await asyncio.sleep(BETWEEN)

    async def crowd(self, tenant: str, tasks: int) -> None:
        """Tasks that fail on Temporal."""
        projects = self.world.projects[tenant]
        for project in projects:
            await self.clients.crowd(tenant, project, tasks // len(projects), 10, BRITTLE)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    world = World(tmp_path, fenced=True)
    try:
        await world.start()
        scene = Scene(world)
        yield scene
        await asyncio.gather(scene.clients.close(), scene.moves.close())
    finally:
        await world.stop()


@pytest.mark.timeout(600)
async def test_a_guardrail_takes_back_exactly_the_tenant_whose_tasks_fail_and_the_plan_goes_on_after_the_mend(
    scene: Scene,
) -> None:
    rows = scene.world.rows
    began = time.monotonic()
    traffic = asyncio.create_task(scene.send())
    await scene.crowd("globex", BASELINE)

    async def has_baseline() -> bool:
        return await rows.first_runs("globex", BRITTLE) >= BASELINE

    await scene.until(has_baseline)
    await scene.ask("PUT", PATH, PLAN)
    await scene.ask("POST", f"{PATH}/acts", {"act": "start", "why": "go"})

    async def is_watched() -> bool:
        return await rows.guardrail_phase("globex") == "armed"

    await scene.until(is_watched)
    await scene.crowd("globex", 2 * WORSE)
    held = await scene.until_state("held")
    assert held["wave"] == 2
    assert held["says"].startswith(
        "the guardrail took tenant globex back to off (rolled back from temporal: chaos_brittle: "
    )
    assert "taskgate route override clear --tenant globex" in held["says"]
    overrides = (await scene.ask("GET", STAGES))["overrides"]
    assert [(one["tenant_id"], one["stage"]) for one in overrides] == [("globex", "off")]

    (scene.world.directory / "mended").touch()
    version = overrides[0]["version"]
    cleared = {"tenant_id": "globex", "why": "the handler is mended", "based_on": version}
    await scene.ask("DELETE", f"{STAGES}/overrides", **cleared)
    await scene.until_state("baking")
    await scene.crowd("globex", WORSE)
    done = await scene.until_state("done", seconds=120)
    assert [wave["moved"] for wave in done["waves"]] == [1, 1, 2]
    stages = await scene.ask("GET", STAGES)
    assert {one["tenant_id"]: one["stage"] for one in stages["settings"]} == dict.fromkeys(TENANTS, "live")
    assert stages["overrides"] == []
    assert await rows.rolled_back() == 1

    scene.is_over.set()
    await traffic
    stuck = await settle(scene.world, len(scene.clients.tasks) / (time.monotonic() - began))
    history = await history_of(scene.world, scene.clients)
    history.stuck, history.changes, history.safe = stuck, scene.moves.changes, scene.moves.safe
    assert check(history) == []
