"""The part of a preview that takes long: in a process of its own, with its own connection (`gateway.sandbox`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.fleet.signals import SQL as FLEET_SQL
from gateway.migration.preview.errors import NothingRecorded, PreviewTooLarge
from gateway.migration.preview.flag_view import flag_view
from gateway.migration.preview.moved import Key, Moves, Recorded, query_of
from gateway.migration.preview.pools import PoolLoad, slots_to_simulate
from gateway.migration.preview.proposals import Step, apply, is_drawn
from gateway.routing.flag_document import Json
from gateway.routing.overrides import Override
from gateway.routing.query import Scope
from gateway.routing.stages import TEMPORAL
from gateway.storage.database import connect
from gateway.storage.driver_errors import translated, was_cut_short
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.preview", "preview.sql")

#: Tasks that are asked about where their own key decides, and that are compiled.
SAMPLED: Final = 20_000
COMPILED: Final = 500
MOST_CONTEXTS: Final = 200_000
#: Exceeded quotas that are named.
QUOTAS: Final = 100
_ROWS: Final = 5000


@dataclass(frozen=True, slots=True)
class Question:
    """All that the child has to know. `inline_bytes`: larger payloads go to Temporal by reference."""

    database_url: str
    flag_key: str
    document: Json
    overrides: Mapping[Scope, Override]
    steps: Sequence[Step]
    hours: int
    inline_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """`compile`: ids of tasks that would have moved to Temporal, by chance."""

    view: Json
    compile: list[str]


def look(question: Question) -> Found:
    """Raises `NothingRecorded`, `PreviewTooLarge`, `PreviewRefused`, `DatabaseUnavailable`."""
    return asyncio.run(_look(question))


async def _look(question: Question) -> Found:
    connection = await connect(question.database_url, name="taskgate-preview")
    try:
        with translated():
            return await _Look(question, connection).whole()
    except DatabaseUnavailable as error:
        if was_cut_short(error):
            raise PreviewTooLarge from None
        raise
    finally:
        connection.terminate()


class _Look:
    def __init__(self, question: Question, connection: asyncpg.Connection) -> None:
        self._asked = question
        self._db = connection

    async def whole(self) -> Found:
        asked = self._asked
        await self._db.execute(SQL.session)
        self._window = tuple((await self._db.fetch(SQL.window, asked.hours))[0])
        rows = await self._db.fetch(SQL.contexts, *self._window, MOST_CONTEXTS + 1)
        if not rows:
            raise NothingRecorded
        if len(rows) > MOST_CONTEXTS:
            raise PreviewTooLarge(f"There are more than {MOST_CONTEXTS} combinations of tenant, project and type")
        async with flag_view(asked.document, asked.flag_key, asked.overrides) as view:
            recorded = Recorded(view, rows)
            moves = [await self._step(recorded, change) for change in self._changes()]
            compiled = await self._to_compile(recorded)
        load = await self._load(recorded)
        present = {
            row["pool"]: row["slots"] for row in await self._db.fetch(FLEET_SQL.slots) if row["backend"] == TEMPORAL
        }
        needs = load.needs(len(moves))
        view_of_steps = [
            {"title": step.title, "stage": str(step.stage), **found.view(), "pools": _pools(needs[number], present)}
            for number, (step, found) in enumerate(zip(asked.steps, moves, strict=True), 1)
        ]
        flag = asked.document["flags"][asked.flag_key]
        return Found(
            {
                "since": self._window[0].isoformat(),
                "until": self._window[1].isoformat(),
                "hours": asked.hours,
                "tasks": recorded.tasks,
                "contexts": len(recorded.contexts),
                "sampled": sum(map(len, recorded.samples.values())),
                "steps": view_of_steps,
                "pools_before": _pools(needs[0], present),
                "simulation": load.simulate(slots_to_simulate(present, needs[-1])),
                "by_reference": await self._oversize(recorded),
                "quotas": await self._quotas(recorded),
                "notes": ["who is first in the percentage is drawn when it is set: these are as many, not the same"]
                if is_drawn(flag, asked.steps)
                else [],
            },
            compiled,
        )

    def _changes(self) -> Iterator[tuple[Json, Json, frozenset[str] | None]]:
        """The flag before and after each step, and the tenants whose stage the step sets."""
        before = {"segments": {}, **self._asked.document}
        for step in self._asked.steps:
            flag, tenants = apply(before["flags"][self._asked.flag_key], step)
            after = {**before, "flags": {**before["flags"], self._asked.flag_key: flag}}
            yield before, after, tenants
            before = after

    async def _step(self, recorded: Recorded, change: tuple[Json, Json, frozenset[str] | None]) -> Moves:
        before, after, tenants = change
        if wanted := recorded.consider(after, tenants):
            whose = sorted({recorded.contexts[number].query.tenant_id or "" for number in wanted})
            rows = await self._db.fetch(SQL.sample, *self._window, SAMPLED, whose)
            recorded.add_samples(rows, wanted, before)
        return recorded.step(after)

    async def _to_compile(self, recorded: Recorded) -> list[str]:
        """Tasks by chance, of contexts that come to Temporal; where a task's key decides, those that do."""
        coming = {n for n, one in enumerate(recorded.contexts) if one.on_temporal[-1] > one.on_temporal[0]}
        if not (whose := _who_comes(recorded)):
            return []
        found = []
        for row in await self._db.fetch(SQL.sample, *self._window, SAMPLED, whose):
            number = recorded.number_of(Key(row["tenant_id"], row["project_id"], row["task_type"]))
            if number in coming and (number not in recorded.samples or recorded.is_on_temporal(query_of(row))):
                found.append(row["task_id"])
        return found[:COMPILED]

    async def _load(self, recorded: Recorded) -> PoolLoad:
        load = PoolLoad(recorded.contexts, self._asked.hours)
        if not any(any(one.on_temporal) for one in recorded.contexts):
            return load
        async with self._db.transaction():
            async for row in self._db.cursor(SQL.arrivals, *self._window, prefetch=_ROWS):
                at, tenant, project, task_type, priority, seconds = row
                number = recorded.number_of(Key(tenant, project, task_type))
                if number is not None:
                    load.add(number, at, seconds, priority)
        return load

    async def _oversize(self, recorded: Recorded) -> int:
        """Tasks among those that come to Temporal whose payload goes there by reference."""
        growth = [max(one.on_temporal[-1] - one.on_temporal[0], 0.0) for one in recorded.contexts]
        if not (whose := _who_comes(recorded)):
            return 0
        rows = await self._db.fetch(SQL.oversize, *self._window, whose, self._asked.inline_bytes)
        numbers = [recorded.number_of(Key(row["tenant_id"], row["project_id"], row["task_type"])) for row in rows]
        by_reference = sum(growth[n] * int(row["tasks"]) for row, n in zip(rows, numbers, strict=True) if n is not None)
        return round(by_reference)

    async def _quotas(self, recorded: Recorded) -> list[Json]:
        """What their quotas would have refused or held of the tenants that come to Temporal."""
        rows = await self._db.fetch(SQL.quotas, *self._window, _who_comes(recorded), QUOTAS)
        return [{**row, "effect": "held" if row["quota"] == "running" else "refused"} for row in rows]


def _who_comes(recorded: Recorded) -> list[str]:
    """Tenants of whom tasks come to Temporal."""
    return sorted({one.query.tenant_id or "" for one in recorded.contexts if one.on_temporal[-1] > one.on_temporal[0]})


def _pools(needs: Mapping[str, Mapping[str, Any]], present: Mapping[str | None, int]) -> list[Json]:
    return [
        {"pool": pool, "slots_now": present.get(pool, 0) + present.get(None, 0), **one} for pool, one in needs.items()
    ]
