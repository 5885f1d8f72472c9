"""The flag of a world: a real file, watched by the real flag source."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
        self._file.edit(
            lambda flag: with_stage(flag, scope, stage),
            who="contract tests",
            why="a test",
            what=str(scope),
            describe=lambda _: str(stage),
        )

    async def set(self, stage: Stage, tenant_id: str | None = None) -> None:
        """Write, and return once new tasks follow."""
        assert self._source is not None
        self.write(stage, tenant_id)
        async with asyncio.timeout(10):
            while self.stage(tenant_id) is not stage:
                self._changed.clear()
                if self.stage(tenant_id) is not stage:
                    await self._changed.wait()

    def stage(self, tenant_id: str | None = None) -> Stage:
        """What is in force."""
        assert self._source is not None
        return self._source.evaluate(RouteQuery(tenant_id, "contract_probe", plan=None)).stage
