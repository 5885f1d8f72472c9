"""`TaskLists`: finds the payloads of a start in the lists of waiting payloads and in those of workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from backends.port import WorkflowRef
from backends.redis_queue import scripts, wire
from backends.redis_queue.link import Argument, Link
from backends.redis_queue.pages import walk

_LONG = 1000


class TaskLists:
    """Looks page by page, so what moves from list to list meanwhile may be missed; each method says what it misses.

    A payload without epoch counts as one of every start of its task: the legacy recovery made it. Methods raise
    `EngineUnavailable`, `AnswerLost` or `EngineError`, and may be repeated without harm.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def is_waiting(self, ref: WorkflowRef, *, known: bool = False) -> bool:
        """Whether the group's list holds it. Misses what is received meanwhile.

        `known`: it was pushed at some time, and is taken to be in a list of more than 1,000 payloads. Somebody who
        compares many starts would read such a list for each; what is wrong then shows as soon as it is shorter.
        """
        async for page in walk(self._link, scripts.FIND, _needle(ref), [f"{wire.GROUP}{ref.group_id}"]):
            if page.found or (known and page.length > _LONG):
                return True
        return False

    async def is_held(self, ref: WorkflowRef) -> bool:
        """Whether a worker, the gateway's or a legacy one, holds it. Misses what is put back meanwhile."""
        async for page in walk(self._link, scripts.FIND, _needle(ref), await self._workers_lists(ref.group_id)):
            if page.found:
                return True
        return False

    async def contents(self, groups: Collection[str]) -> set[str]:
        """The workflow ids of these groups' starts in any list, `task-<id>*` for a payload without epoch.

        Misses what is put back meanwhile.
        """
        lists = [*(f"{wire.GROUP}{group}" for group in groups), wire.PROCESSING]
        for worker in await self.workers():
            lists += [f"{wire.OWN}{worker}:{group}" for group in await self._groups_of(worker) if group in groups]
        return await self._read(lists)

    async def held_by(self, worker_id: str) -> set[str]:
        """As `contents`, of what this worker holds."""
        return await self._read([f"{wire.OWN}{worker_id}:{group}" for group in await self._groups_of(worker_id)])

    async def remove(self, ref: WorkflowRef) -> int:
        """Remove all copies from the group's list; how many. Misses what is received or put back meanwhile."""
        pages = walk(self._link, scripts.REMOVE, _needle(ref), [ref.group_id])
        return sum([page.found async for page in pages])

    async def withdraw(self, starts: Mapping[str, Collection[str]], *, keep: int) -> set[str]:
        """Take these starts, by group, back as far as they wait; which ones, now or before. Misses what is put back
        meanwhile.

        `keep`: seconds to keep their markers, which let nothing of them come again.
        """
        withdrawn: set[str] = set()
        seen = dict.fromkeys(starts, 0)
        while seen:
            arguments: list[str | int] = []
            for group, place in seen.items():
                left = [workflow_id for workflow_id in starts[group] if workflow_id not in withdrawn]
                arguments += [place, group, len(left), *left]
            answers = await self._link.run(scripts.WITHDRAW, keep, *arguments)
            for group, (done, place, found) in zip(list(seen), answers, strict=True):
                withdrawn.update(workflow_id.decode() for workflow_id in found)
                seen[group] = place
                if done:
                    del seen[group]
        return withdrawn

    async def requeue(self, ref: WorkflowRef, held_by: str | None, *, keep: int) -> bool:
        """Make a payload that a worker holds the next of its group, unless one waits. Returns whether it waits, or has
        been received meanwhile.

        `held_by`: only of this worker; empty: of legacy ones. `keep`: seconds to keep the marker of a start that turns
        out to be cancelled.
        """
        if await self.is_waiting(ref):
            return True
        arguments = (*_needle(ref), ref.group_id, keep)
        lists = await self._workers_lists(ref.group_id)
        if held_by is not None:
            lists = [f"{wire.OWN}{held_by}:{ref.group_id}" if held_by else wire.PROCESSING]
        pages = walk(self._link, scripts.REQUEUE, arguments, lists)
        if any([page.found async for page in pages]):
            return True
        return await self.is_waiting(ref) or await self.is_held(ref)  # moved between the looks

    async def workers(self) -> frozenset[str]:
        """The gateway's own workers that may hold payloads, dead ones included."""
        return frozenset(worker.decode() for worker in await self._link.call("SMEMBERS", wire.WORKERS))

    async def _read(self, lists: Sequence[str]) -> set[str]:
        pages = walk(self._link, scripts.CONTENTS, (), lists)
        return {name.decode() async for page in pages for name in page.found}

    async def _groups_of(self, worker_id: str) -> list[str]:
        return [group.decode() for group in await self._link.call("SMEMBERS", f"{wire.HELD}{worker_id}")]

    async def _workers_lists(self, group: str) -> list[str]:
        return [wire.PROCESSING, *(f"{wire.OWN}{worker}:{group}" for worker in await self.workers())]


def _needle(ref: WorkflowRef) -> tuple[Argument, ...]:
    """By what the scripts find the payloads of a start."""
    return ref.task_id, wire.json_fragment(ref.task_id), ref.epoch
