"""Every start names an entry of the ledger that explains it, while the routing changes from everywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backends.memory.engine import MemoryEngine
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.overrides import clear_override, set_override
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from workers.testing.waiting import eventually, until

KEY = "task-backend"
TENANTS = ("acme", "globex", None)
#: Starts, with what their entry says of the scope that their rule names.
STARTS = """
SELECT d.task_id, d.tenant_id, d.stage, d.backend, d.rule, d.entry_id, l.id, l.source, l.scope, l.before, l.after
FROM taskgate.dispatch d
LEFT JOIN taskgate.ledger l ON l.id = COALESCE(d.entry_id, (SELECT min(id) FROM taskgate.ledger))
"""


class Load:
    """Submits tasks of each tenant, one by one and many together, due now and soon, until it is told to end."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.ended = False

    async def run(self) -> None:
        while not self.ended:
            for tenant in TENANTS:
                place = Placement(tenant, None, None)
                soon = datetime.now(UTC) + timedelta(milliseconds=50)
                await self._gateway.intake.submit([NewTask("probe", "g", {}, place, None)])
                await self._gateway.intake.submit([NewTask("probe", "g", {}, place, None, not_before=soon)])
            await self._gateway.intake.submit(
                [NewTask("probe", "g", {}, Placement("acme", None, None), None) for _ in range(40)]
            )
            await asyncio.sleep(0.02)

    async def until(self, tenant: str | None, stage: Stage) -> None:
        """Wait until the gateway routes so, and a few tasks have gone that way."""
        query = RouteQuery(tenant, "probe", plan=None)
        await until(lambda: self._gateway.router.route(query).stage is stage)
        count = "SELECT count(*) FROM taskgate.dispatch WHERE entry_id = $1 AND tenant_id IS NOT DISTINCT FROM $2"

        async def gone() -> int:
            # An override that expires is out of force a moment before its entry is there.
            entry = self._gateway.router.route(query).entry_id
            return int(await self._gateway.database.fetchval(count, entry, tenant))

        await eventually(gone, lambda tasks: tasks >= 3)


@asynccontextmanager
async def loaded(
    database: Database, engines: dict[str, MemoryEngine], **settings: Any
) -> AsyncIterator[tuple[Gateway, Load]]:
    gateway = build_gateway(Settings(database_url=database.url, **settings), engines=engines)
    await gateway.start()
    load = Load(gateway)
    running = asyncio.create_task(load.run())
    try:
        yield gateway, load
        load.ended = True
        await running
        await eventually(
            lambda: database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state IN ('waiting', 'starting')"),
            lambda found: not found,
        )
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await gateway.close()


async def flip_overrides(database: Database, load: Load) -> None:
    await set_override(database, Scope("globex"), Stage.COMPLETE, by="ada", why="try")
    await load.until("globex", Stage.COMPLETE)
    await clear_override(database, Scope("globex"), by="ada", why="tried")
    await load.until("globex", Stage.OFF)
    await set_override(database, Scope("globex"), Stage.LIVE, by="bob", why="again", lasts=timedelta(seconds=0.5))
    await load.until("globex", Stage.LIVE)
    await load.until("globex", Stage.OFF)


async def flip_flag(put: Callable[[dict[str, Any]], Awaitable[None]], load: Load) -> None:
    """A tenant there and back, the default, a percentage, and the switch."""
    flag = new_flag(KEY)
    for version, (changed, tenant, stage) in enumerate(
        (
            (with_stage(flag, Scope("acme"), Stage.LIVE), "acme", Stage.LIVE),
            (flag, "acme", Stage.OFF),
            (with_stage(flag, Scope(), Stage.RAMPDOWN), None, Stage.RAMPDOWN),
            (with_rollout(flag, Stage.COMPLETE, 99.999, by="tenant", seed=3), "acme", Stage.COMPLETE),
            (with_stage(flag, Scope(None, None, "probe"), Stage.LIVE), "globex", Stage.LIVE),
            (with_stage(flag, Scope(), Stage.LIVE) | {"on": False}, None, Stage.OFF),
            (flag, None, Stage.OFF),
        ),
        start=2,
    ):
        await put(changed | {"version": version})
        await load.until(tenant, stage)


async def test_every_start_is_joined(database: Database, launchdarkly: Any, tmp_path: Path) -> None:
    # Started by a gateway that had no ledger.
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, stage, epoch)"
        " VALUES ('old', 'g', 'probe', 'queued', 'redis', 'off', 1)"
    )
    path = tmp_path / "flags.json"
    engines = {name: MemoryEngine(name=name) for name in ("redis", "temporal")}

    async def put_file(flag: dict[str, Any]) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"flags": {KEY: flag}}))
        fresh.replace(path)

    await put_file(new_flag(KEY))
    async with loaded(database, engines, flags_file=path) as (_, load):
        await flip_flag(put_file, load)
        await flip_overrides(database, load)

    async def put_row(flag: dict[str, Any]) -> None:
        await database.execute(
            "INSERT INTO taskgate.flag_version (version, based_on, document, what, before, after, who, why)"
            " VALUES ($1, 1, $2::jsonb, '', '', '', 'ada', 'move')",
            flag["version"],
            json.dumps({"flags": {KEY: flag}}),
        )

    await put_row(new_flag(KEY) | {"version": 1})
    async with loaded(database, engines) as (_, load):
        await flip_flag(put_row, load)

    launchdarkly.put(new_flag(KEY) | {"version": 1})
    async with loaded(
        database, engines, launchdarkly_sdk_key=launchdarkly.sdk_key, launchdarkly_base_url=launchdarkly.url
    ) as (
        _,
        load,
    ):
        await flip_flag(launchdarkly.patch, load)

    rows = await database.fetch(STARTS)
    assert len(rows) > 300
    assert [row["task_id"] for row in rows if row["id"] is None] == []
    assert [row["task_id"] for row in rows if row["entry_id"] is None] == ["old"]
    assert {row["source"] for row in rows} >= {"genesis", "file", "database", "launchdarkly", "override"}
    # What set the stage of a scope is what its tasks started at.
    wrong = [
        dict(row)
        for row in rows
        if row["rule"] in ("target", f"override tenant:{row['tenant_id']}") and row["after"] != row["stage"]
    ]
    assert wrong == []
    taken_away = [row for row in rows if row["rule"] == "fallthrough" and row["source"] == "override"]
    assert taken_away
    assert {(row["scope"], row["after"], row["stage"]) for row in taken_away} == {("tenant:globex", None, "off")}
