"""Whether the backend to which a task would go now can do what is asked for; checked before it is accepted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from backends.port import Capability, WorkflowEnginePort
from gateway.access.placement import Placement
from gateway.dispatch.open_starts import SQL
from gateway.errors import PriorityNotServed
from gateway.routing.router import RouteQuery, Router
from gateway.storage.database import Database

#: The default priority of a task.
ORDINARY: Final = 3
#: How long to remember that a backend has workers that know priorities (seconds).
REMEMBERED_SECONDS: Final = 60.0


async def serves_priority(database: Database, engine: WorkflowEnginePort) -> bool:
    """Whether workers that know priorities serve the engine. Legacy workers do not know them, and are not registered.

    A worker of ours that ended within the last day counts, because it may be back soon. Raises `DatabaseUnavailable`.
    """
    if Capability.PRIORITY not in engine.capabilities:
        return False
    return Capability.FENCED in engine.capabilities or bool(await database.fetchval(SQL.has_own_workers, engine.name))


class Capabilities:
    """Belongs to a gateway."""

    def __init__(self, database: Database, engines: Mapping[str, WorkflowEnginePort], router: Router) -> None:
        self._db = database
        self._engines = engines
        self._router = router
        self._served_until: dict[str, float] = {}

    async def check_priority(self, priority: int, task_type: str, place: Placement) -> None:
        """Raises `PriorityNotServed`, `DatabaseUnavailable`. For a task that is due now: others may go anywhere."""
        if priority == ORDINARY:
            return
        query = RouteQuery(place.tenant_id, task_type, "", place.project_id, plan=place.plan)
        engine = self._engines.get(self._router.route(query).backend)
        if engine is None or self._served_until.get(engine.name, 0.0) > time.monotonic():
            return
        if not await serves_priority(self._db, engine):
            raise PriorityNotServed(
                f"Only legacy workers serve the {engine.name} queue, and they know no priority: this task would wait"
                f" like any other. Leave priority out, start `taskgate worker --backend {engine.name}`, or move the"
                " tenant to Temporal."
            )
        self._served_until[engine.name] = time.monotonic() + REMEMBERED_SECONDS
