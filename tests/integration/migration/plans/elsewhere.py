"""A flag that others hold, as LaunchDarkly does, and what stands in for it while it cannot be reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import ApiError
from gateway.migration.flags.errors import FlagStoreUnavailable
from gateway.migration.flags.recording import Also, nothing_else, recorded_first
from gateway.migration.flags.store import Held, TableStore
from gateway.migration.ledger.writer import Flip
from gateway.routing.errors import FlagVersionStale
from gateway.routing.flag_document import Json
from gateway.routing.flag_file import FlagChange

World = Any


class Elsewhere(TableStore):
    """A flag that others hold, and that cannot be reached now and then; flips and steps are two transactions."""

    source = "launchdarkly"
    is_away = False
    breaks_off = False
    """It can be read, but not changed: the step is written to the ledger, and taken back there."""
    refuses: ApiError | type[FlagVersionStale] | None = None
    """The answer to each change, instead of making it."""
    tries = 0
    """Changes that were asked for."""

    async def held(self) -> Held:
        self._check()
        return await super().held()

    async def write(
        self, held: Held, document: Json, change: FlagChange, flips: Sequence[Flip], also: Also = nothing_else
    ) -> FlagChange:
        self._check()
        Elsewhere.tries += 1
        answer = FlagStoreUnavailable("LaunchDarkly asks to wait") if Elsewhere.breaks_off else Elsewhere.refuses
        if answer is not None:
            async with recorded_first(self._db, flips, also):
                raise answer
        return await super().write(held, document, change, flips, also)

    def _check(self) -> None:
        if Elsewhere.is_away:
            raise FlagStoreUnavailable("LaunchDarkly does not answer")


async def overrides(world: World) -> list[tuple[str, str, str]]:
    """Tenant, stage and author of each override."""
    rows = await world.database.fetch("SELECT tenant_id, stage, set_by FROM taskgate.route_override ORDER BY 1")
    return [(row["tenant_id"], row["stage"], row["set_by"]) for row in rows]


def targets(world: World) -> list[str]:
    """Tenants with a stage in the flag, as it is in force here."""
    flag = world.routing.flags.document() or {}
    return [one for target in flag.get("contextTargets") or [] for one in target["values"]]
