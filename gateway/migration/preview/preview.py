"""`Previews`: what a change of stages would have done to the tasks of the last hours (docs/preview.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.errors import TenantNotFound
from gateway.migration.plans.plans import Plans
from gateway.migration.preview.child import Found, Question, look
from gateway.migration.preview.compiled import Compiled
from gateway.migration.preview.errors import PreviewBusy, PreviewTooLarge
from gateway.migration.preview.proposals import Step, steps_of, steps_of_plan
from gateway.migration.preview.requests import ProposedChange
from gateway.migration.stages.checks import unknown
from gateway.migration.stages.service import StageService
from gateway.routing.flag_document import Json
from gateway.routing.overrides import load_overrides
from gateway.routing.query import Scope
from gateway.sandbox.pool import Sandbox, SandboxExceeded, SandboxLost
from gateway.secret_files import Secret, text_of
from gateway.storage.database import Database

#: A preview may take so long by the clock, and use so much of a processor (seconds).
LONGEST_SECONDS: Final = 150.0
PROCESSOR_SECONDS: Final = 100.0
MEGABYTES: Final = 1024


class Previews:
    """For administrators, which the faces see to. One at a time; nothing is changed.

    Every method raises `NothingRecorded`, `PreviewBusy`, `PreviewTooLarge`, `PreviewRefused`, `PlanInvalid`,
    `PlanNotFound`, `TenantNotFound`, `DatabaseUnavailable`, `FlagStoreUnavailable`, `FlagUnsound`.
    """

    def __init__(
        self,
        database: Database,
        stages: StageService,
        plans: Plans,
        compiled: Compiled,
        *,
        database_url: Secret,
        inline_bytes: int,
    ) -> None:
        self._db = database
        self._stages = stages
        self._plans = plans
        self._compiled = compiled
        self._url = database_url
        self._inline_bytes = inline_bytes
        self._sandbox = Sandbox(processes=1, megabytes=MEGABYTES, preload=("gateway.migration.preview.child",))
        self._is_busy = False

    async def close(self) -> None:
        """End the child."""
        await self._sandbox.close()

    async def of(self, asked: ProposedChange) -> Json:
        """Of a plan, step by step: what each wave would do after those before it."""
        if asked.stage is None:
            text = asked.document or (await self._plans.get(asked.plan or ""))["document"]
            return await self._of(steps_of_plan(await self._plans.check(text, asked.plan)), asked.hours)
        if found := await unknown(self._db, Scope(asked.tenant_id, asked.project_id)):
            raise TenantNotFound("; ".join(found))
        return await self._of(steps_of(asked), asked.hours)

    async def _of(self, steps: Sequence[Step], hours: int) -> Json:
        if self._is_busy:
            raise PreviewBusy(retry_after=10)
        self._is_busy = True
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                version, document = await self._stages.document()
                overrides = {row.scope: row for row in await load_overrides(self._db)}
                key, url = self._stages.flag_key, text_of(self._url)
                question = Question(url, key, document, overrides, steps, hours, self._inline_bytes)
                found: Found = await self._sandbox.run(PROCESSOR_SECONDS, look, question)
                return {"flag_version": version, **found.view, "starts": await self._compiled.look(found.compile)}
        except SandboxLost:
            raise PreviewBusy("The child that worked at it was ended; ask again", retry_after=10) from None
        except SandboxExceeded as error:
            raise PreviewTooLarge(f"The preview cannot be made: {error}; ask for fewer hours") from None
        except TimeoutError:
            raise PreviewTooLarge(f"It takes longer than {LONGEST_SECONDS:g} s: ask for fewer hours") from None
        finally:
            self._is_busy = False
