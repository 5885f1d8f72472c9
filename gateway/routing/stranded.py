"""Tasks that stage `complete` leaves on Redis, which may be taken away then."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.port import Place
from gateway.ingress.foreign import Foreign
from gateway.routing.flag_document import Json
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import SQL, Executor
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage

UNREADABLE = "unreadable"
"""In the place of a task type: what nobody can read as a task."""


@dataclass(frozen=True, slots=True)
class Left:
    """Tasks of one kind and state that Redis holds, or that run from there."""

    query: RouteQuery
    state: str
    tasks: int


async def left_on_redis(db: Executor) -> list[Left]:
    """Every kind of open task there, and what the leader last saw past the gateway. Raises `DatabaseUnavailable`."""
    beside = await db.fetch(SQL.left_past_gateway)
    return await open_on_redis(db) + [_left(row, past(Place(row["place"]))) for row in beside]


async def open_on_redis(db: Executor) -> list[Left]:
    """Every kind of open task there that PostgreSQL knows. Raises `DatabaseUnavailable`."""
    return [_left(row, row["state"]) for row in await db.fetch(SQL.left_on_redis)]


def past(place: Place) -> str:
    """How a task that was pushed past the gateway is said to be."""
    return "set aside" if place is Place.SET_ASIDE else "pushed past the gateway"


def _left(row: Any, state: str) -> Left:
    return Left(
        RouteQuery(row["tenant_id"], row["task_type"] or UNREADABLE, "", row["project_id"], plan=row["plan"]),
        state,
        row["tasks"],
    )


def of_foreign(found: Iterable[Foreign]) -> list[Left]:
    """The same of what was seen past the gateway."""
    return [
        Left(
            RouteQuery(one.tenant_id, one.task_type or UNREADABLE, "", one.project_id, plan=one.plan),
            past(one.place),
            one.tasks,
        )
        for one in found
    ]


def stranded(left: Iterable[Left], stage_of: Callable[[RouteQuery], Stage]) -> list[Left]:
    """The scopes at stage `complete`. For a percentage by task, the task type as a whole is asked about."""
    return [one for one in left if stage_of(one.query) is Stage.COMPLETE]


async def newly_stranded(left: list[Left], before: Json, after: Json, flag_key: str) -> list[Left]:
    """The scopes that a change of the flag's document would bring to stage `complete`."""
    was, becomes = await stages_under(before, flag_key, left), await stages_under(after, flag_key, left)
    return [
        one
        for one, old, new in zip(left, was, becomes, strict=True)
        if new is Stage.COMPLETE and old is not Stage.COMPLETE
    ]


def by_tenant(left: Iterable[Left]) -> dict[str | None, list[Left]]:
    """The same, for each tenant."""
    found: dict[str | None, list[Left]] = {}
    for one in left:
        found.setdefault(one.query.tenant_id, []).append(one)
    return found


def lines(left: Iterable[Left]) -> list[str]:
    """One line per tenant: how many tasks, in which states, of which types."""
    return [
        f"{'tenant ' + tenant if tenant else 'no tenant'}: {_tasks(sum(one.tasks for one in found))} still on redis"
        f" ({_counted((one.state, one.tasks) for one in found)};"
        f" {_counted((one.query.task_type, one.tasks) for one in found)})"
        for tenant, found in by_tenant(left).items()
    ]


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def _counted(pairs: Iterable[tuple[str, int]]) -> str:
    counts: Counter[str] = Counter()
    for name, count in pairs:
        counts[name] += count
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


async def stages_under(document: Json, flag_key: str, left: Iterable[Left]) -> list[Stage]:
    """The stage of each under this document, which need not be in force.

    The SDK evaluates, so that rules and percentages count as they do in a gateway.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "flag.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        source = FlagSource(flag_key=flag_key, file=path)
        await source.start()
        try:
            return [source.evaluate(one.query).stage for one in left]
        finally:
            await source.close()
