"""What changes of a list of tasks, for one who follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.errors import DatabaseUnavailable
from gateway.storage.gathering import GatheringSubscription
from gateway.tasks.queries.task_selection import Selection, TaskSelector, Wanted

#: Pause between two readings for one who follows (seconds): changes are gathered in it.
GATHER_SECONDS: Final = 0.1
#: Any task.
_ANY = Selection.model_validate({})


@dataclass(frozen=True)
class ListChange:
    """Rows of the dispatch view as they are now, and ids of tasks of the caller's that are not wanted (any more).

    `missed`: more has changed than is told, and the list is to be read anew.
    """

    rows: Sequence[dict[str, Any]] = ()
    others: Sequence[str] = ()
    missed: bool = False


class ListFollowing:
    """Follows the tasks that are wanted, of those with the `wanted.ids` if there are any."""

    def __init__(self, subscription: GatheringSubscription[str], selector: TaskSelector, wanted: Wanted) -> None:
        self._subscription = subscription
        self._selector = selector
        self._only = frozenset(wanted.ids)
        self._wanted = wanted

    async def check(self) -> None:
        """Raises `Forbidden` and `DatabaseUnavailable`, as the first reading would."""
        await self._selector.page(replace(self._wanted, ids=[""]), limit=1)

    async def changes(self, patience: float) -> AsyncIterator[ListChange | None]:
        """Until the subscription is closed; an empty one at once, None after `patience` seconds without any."""
        subscription = self._subscription
        if not subscription.is_closed:
            yield ListChange()
        while not subscription.is_closed:
            changed = await subscription.changes(patience)
            if subscription.is_closed:
                return
            if changed is None:
                yield None
                continue
            try:
                change = await self._read(changed.items, missed=changed.missed)
            except DatabaseUnavailable:
                # The listener is cut off as well, and says so when it is back.
                change = ListChange(missed=True)
            if change.rows or change.others or change.missed:
                yield change
            await asyncio.sleep(GATHER_SECONDS)

    async def _read(self, changed: list[str], *, missed: bool) -> ListChange:
        """Of these tasks those that the caller sees. Raises `DatabaseUnavailable`."""
        ids = [task_id for task_id in changed if not self._only or task_id in self._only]
        if not ids:
            return ListChange(missed=missed)
        rows = await self._selector.page(replace(self._wanted, ids=ids), limit=len(ids))
        found = {row["task_id"] for row in rows}
        rest = [task_id for task_id in ids if task_id not in found]
        seen = Wanted(self._wanted.caller, _ANY, {}, ids=rest)
        others = await self._selector.positions(seen, limit=len(rest)) if rest else []
        return ListChange(rows, [place.task_id for place in others], missed)
