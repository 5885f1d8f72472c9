"""A hot standby of the stack's PostgreSQL, for tests of fail-over: it answers, and refuses every write."""

from __future__ import annotations

import asyncio
import subprocess

from deploy.local.errors import StackError
from deploy.local.postgres import SUPERUSER, PostgresPart
from deploy.local.unprivileged import unprivileged


class StandbyPart(PostgresPart):
    """Streams from `primary`, which must run when the standby is started for the first time."""

    def __init__(self, primary: PostgresPart, port: int) -> None:
        super().__init__(
            primary.directory, port, primary.report, durable=primary.durable, name=f"{primary.name}-standby"
        )
        self._primary = primary

    async def after_start(self) -> None:
        """Its databases are the primary's."""

    async def _make_data(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            await asyncio.to_thread(self._copy, str((await self._programs()).directory / "pg_basebackup"))

    def _copy(self, program: str) -> None:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        unprivileged().own(self.data)
        source = ["-h", "127.0.0.1", "-p", str(self._primary.port), "-U", SUPERUSER]
        argv = [*unprivileged().prefix, program, *source, "-D", str(self.data), "-R", "-c", "fast", "--no-sync"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=self.data)
        if done.returncode != 0:
            raise StackError(f"{self.name}: pg_basebackup failed: {done.stderr.strip()}")
