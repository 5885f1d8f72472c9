"""Tasks that producers push into Redis past the gateway: how many, whose, and when last."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backends.errors import EngineError
from backends.port import Place, Stock, WorkflowEnginePort
from gateway.access.access import NO_TENANT
from gateway.access.placement import Caller
from gateway.errors import Forbidden
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.task_log import storable

SQL = Queries("gateway.ingress", "foreign.sql")

#: A look at all lists may take one part in so many of the time.
SHARE = 20
#: PostgreSQL does not know them: they wait, are in the gateway's keeping, or a legacy worker runs them.
UNKNOWN = frozenset({Place.WAITING, Place.COLLECTED, Place.HELD_ELSEWHERE, Place.SET_ASIDE})


@dataclass(frozen=True, slots=True)
class Foreign:
    """Foreign tasks of one kind; `tenant_id` None: nobody can say whose they are."""

    tenant_id: str | None
    plan: str | None
    project_id: str | None
    task_type: str
    group_id: str | None
    place: Place
    tasks: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class PastGateway:
    """Tasks of some tenants past the gateway, and payloads that were set aside. `looked_at` None: nobody looked yet."""

    tasks: int = 0
    set_aside: int = 0
    last_at: datetime | None = None
    looked_at: datetime | None = None


async def resolve(database: Database, stocks: Iterable[Stock], places: Collection[Place] = UNKNOWN) -> list[Foreign]:
    """Whose the foreign tasks are that an engine holds in these places. Raises `DatabaseUnavailable`."""
    found = [stock for stock in stocks if stock.is_foreign and stock.place in places]
    if not found:
        return []
    rows = await database.fetch(
        SQL.resolve,
        [_known(stock.tenant_id) for stock in found],
        [_known(stock.project_id) for stock in found],
        [_known(stock.group_id) for stock in found],
    )
    return [
        Foreign(
            row["tenant_id"],
            row["plan"],
            row["project_id"],
            _known(stock.task_type) or "",
            _known(stock.group_id),
            stock.place,
            stock.tasks,
            stock.last_at,
        )
        for stock, row in zip(found, rows, strict=True)
    ]


class ForeignWatch:
    """One `tick` looks, when it is time to, and writes down what is there; exactly one gateway does at a time.

    `seconds`: between two looks; longer when one takes long.
    """

    def __init__(
        self,
        database: Database,
        engine: WorkflowEnginePort | None,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._engine = engine
        self._seconds = seconds
        self._clock = clock
        self._due_at = 0.0

    async def tick(self) -> None:
        """Raises `DatabaseUnavailable`; an engine that is away is left for later."""
        began = self._clock()
        if began < self._due_at:
            return
        self._due_at = began + self._seconds
        if self._engine is not None:
            try:
                stocks = await self._engine.take_stock()
            except EngineError:
                return
            self._due_at = self._clock() + max(self._seconds, SHARE * (self._clock() - began))
            await self._note(await resolve(self._db, stocks))
        await self._db.execute(SQL.note_rows)

    async def _note(self, found: Sequence[Foreign]) -> None:
        await self._db.execute(
            SQL.note_look,
            [one.tenant_id for one in found],
            [one.project_id for one in found],
            [one.task_type for one in found],
            [one.place.value for one in found],
            [one.tasks for one in found],
            [one.last_at for one in found],
        )


async def past_gateway_of(database: Database, caller: Caller, tenant_id: str | None = None) -> PastGateway:
    """Of what the caller sees: of one tenant, of all of the caller's, of everybody's for an administrator.

    Raises `DatabaseUnavailable`, and `Forbidden` for another's tenant.
    """
    if tenant_id is not None:
        if not caller.sees(tenant_id):
            raise Forbidden(NO_TENANT)
        return await past_gateway(database, [tenant_id])
    return await past_gateway(database, None if caller.is_admin else caller.tenant_ids)


async def past_gateway(database: Database, tenants: Collection[str] | None) -> PastGateway:
    """Of these tenants together; None: everybody's, and nobody's. Raises `DatabaseUnavailable`."""
    row = await database.fetchrow(SQL.total, None if tenants is None else sorted(tenants))
    assert row is not None
    return PastGateway(**row)


def _known(text: str | None) -> str | None:
    return text if text and storable(text) else None
