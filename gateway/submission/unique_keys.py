"""Keys that only one active task of a tenant may have, or of a user without one.

An index of `taskgate.dispatch` enforces it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from typing import NamedTuple, Protocol, TypeVar

import asyncpg

from gateway.access.placement import Caller, Placement
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
    def user_id(self) -> str | None: ...
    @property
    def unique_key(self) -> str | None: ...


#: Why a task of a batch that is refused as a whole has no key: the task that has it was not accepted either.
REPEATED = "Two of these tasks have the same unique_key."


class Holder(NamedTuple):
    """The active task that has a key."""

    task_id: str
    tenant_id: str | None
    project_id: str | None

    def taken(self, index: int = 0) -> UniqueKeyTaken:
        """What another task with the key is refused with."""
        return UniqueKeyTaken(self.task_id, index=index, place=(self.tenant_id, self.project_id))


def as_told(taken: UniqueKeyTaken, caller: Caller) -> UniqueKeyTaken:
    """The same, without the id of a task that the caller may not see: whoever has it may follow the task."""
    if taken.task_id is None or caller.sees(*taken.place):
        return taken
    return UniqueKeyTaken(index=taken.index)


class UniqueKeys:
    """Says which active task has a key. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def find(self, tasks: Sequence[Keyed]) -> dict[int, Holder]:
        """The active tasks that have the key of one of these tasks, by the index of the latter."""
        keyed = [(index, task) for index, task in enumerate(tasks) if task.unique_key is not None]
        if not keyed:
            return {}
        tenants = [task.placement.tenant_id for _, task in keyed]
        users, keys = [task.user_id for _, task in keyed], [task.unique_key for _, task in keyed]
        rows = await self._db.fetch(SQL.active_with_keys, tenants, users, keys)
        return {keyed[row["n"] - 1][0]: Holder(row["task_id"], row["tenant_id"], row["project_id"]) for row in rows}

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
                    index = min(taken)
                    raise taken[index].taken(index) from error
        raise AssertionError("unreachable")


def repeated_keys(tasks: Sequence[Keyed], *, without: Container[int] = ()) -> dict[int, Holder]:
    """The earlier tasks of the list that have the same key, by the index of the later ones.

    Those at the indexes `without` are as if they were not there.
    """
    first: dict[tuple[str | None, str | None, str], Holder] = {}
    repeated = {}
    for index, task in enumerate(tasks):
        if task.unique_key is not None and index not in without:
            place = task.placement
            this = Holder(task.task_id, place.tenant_id, place.project_id)
            user_id = task.user_id if place.tenant_id is None else None
            holder = first.setdefault((place.tenant_id, user_id, task.unique_key), this)
            if holder is not this:
                repeated[index] = holder
    return repeated
