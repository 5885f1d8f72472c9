"""The flag of a world: a real file, watched by the real flag source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.routing.flag_document import Json
from gateway.routing.flag_edit import with_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage

KEY = "task-backend"


class Flag:
    """Edits the flag, and knows when an edit is in force."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = FlagFile(path, KEY)
        self._source: FlagSource | None = None
        self._changed = asyncio.Event()

    def watch(self, source: FlagSource) -> None:
        """Listen to the source that reads the file."""
        self._source = source
        loop = asyncio.get_running_loop()
        source.add_listener(lambda: loop.call_soon_threadsafe(self._changed.set))

    def write(self, stage: Stage, tenant_id: str | None = None) -> None:
        scope = Scope(tenant_id=tenant_id)
        self._edit(lambda flag: with_stage(flag, scope, stage), stage, str(scope))

    def _edit(self, change: Callable[[Json], Json], stage: Stage, what: str) -> None:
        self._file.edit(change, who="contract tests", why="a test", what=what, describe=lambda _: str(stage))

    async def set(self, stage: Stage, tenant_id: str | None = None) -> None:
        """Write, and return once new tasks follow."""
        assert self._source is not None
        self.write(stage, tenant_id)
        await self._until(stage, tenant_id, None)

    async def set_rule(self, stage: Stage, tenant_id: str, *, plan: str | None = None) -> None:
        """Put a rule by another hand before all others: for this tenant, with `plan` only while it has that."""
        wanted = {"key": tenant_id, "plan": plan}
        clauses = [
            {"contextKind": "tenant", "attribute": name, "op": "in", "values": [value], "negate": False}
            for name, value in wanted.items()
            if value is not None
        ]

        def edited(flag: Json) -> Json:
            rule = {"variation": flag["variations"].index(stage.value), "clauses": clauses}
            return {**flag, "rules": [rule, *flag["rules"]]}

        self._edit(edited, stage, str(clauses))
        await self._until(stage, tenant_id, plan)

    async def _until(self, stage: Stage, tenant_id: str | None, plan: str | None) -> None:
        async with asyncio.timeout(10):
            while self.stage(tenant_id, plan=plan) is not stage:
                self._changed.clear()
                if self.stage(tenant_id, plan=plan) is not stage:
                    await self._changed.wait()

    def stage(self, tenant_id: str | None = None, *, plan: str | None = None) -> Stage:
        """What is in force."""
        assert self._source is not None
        return self._source.evaluate(RouteQuery(tenant_id, "contract_probe", plan=plan)).stage
