"""Keys that only one active task of a tenant may have; an index of `taskgate.dispatch` enforces it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import asyncpg

from gateway.access.placement import Placement
from gateway.errors import UniqueKeyTaken
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.tasks.lifecycle", "transitions.sql")

#: Name of the index in PostgreSQL's error.
INDEX = "dispatch_unique_key"

#: How often to try an acceptance that fails although its key is free at each look.
TRIES = 5

T = TypeVar("T")


class Keyed(Protocol):
    """The part of a task that concerns its key."""

    @property
    def task_id(self) -> str: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def unique_key(self) -> str | None: ...


class UniqueKeys:
    """Says which active task has a key. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def find(self, tasks: Sequence[Keyed]) -> dict[int, str]:
        """The ids of active tasks that have the key of one of these tasks, by the index of the latter."""
        keyed = [(index, task) for index, task in enumerate(tasks) if task.unique_key is not None]
        if not keyed:
            return {}
        tenants = [task.placement.tenant_id for _, task in keyed]
        rows = await self._db.fetch(SQL.active_with_keys, tenants, [task.unique_key for _, task in keyed])
        return {keyed[row["n"] - 1][0]: row["task_id"] for row in rows}

    async def guard(self, tasks: Sequence[Keyed], accept: Callable[[], Awaitable[T]], *, refuse: bool = True) -> T:
        """Accept these tasks. Raises `UniqueKeyTaken`; without `refuse`, `accept` leaves out tasks with a taken key."""
        for tried in range(1, TRIES + 1):
            try:
                return await accept()
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != INDEX or tried == TRIES:
                    raise
                # The task that had the key may have ended since: then the key is free.
                if refuse and (taken := await self.find(tasks)):
                    index, task_id = min(taken.items())
                    raise UniqueKeyTaken(task_id, index=index) from error
        raise AssertionError("unreachable")


def repeated_keys(tasks: Sequence[Keyed]) -> dict[int, str]:
    """The ids of earlier tasks of the list that have the same key, by the index of the later ones."""
    first: dict[tuple[str | None, str], str] = {}
    repeated = {}
    for index, task in enumerate(tasks):
        if task.unique_key is not None:
            holder = first.setdefault((task.placement.tenant_id, task.unique_key), task.task_id)
            if holder != task.task_id:
                repeated[index] = holder
    return repeated
