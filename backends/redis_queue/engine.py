"""`RedisQueueEngine`: the legacy Redis queue behind `WorkflowEnginePort`."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from backends.errors import (
    AnswerLost,
    CapabilityMissing,
    EngineError,
    EngineUnavailable,
    StartUncertain,
    WorkflowNotFound,
)
from backends.port import Capability, EndedWorkflow, Stock, WorkflowRef, WorkflowStart, WorkflowState, WorkflowStatus
from backends.redis_queue import scripts, wire
from backends.redis_queue.dead import DeadList
from backends.redis_queue.freshness import Freshness
from backends.redis_queue.holdings import sign_off
from backends.redis_queue.ingress import Ingress
from backends.redis_queue.inventory import KEEP_ENDED, Inventory
from backends.redis_queue.link import Link
from backends.redis_queue.lists import TaskLists
from backends.redis_queue.server import RedisServer
from backends.redis_queue.stock import Stocktaking

KEEP_WAITING = timedelta(days=30)
"""How long the marker of an open start is kept."""
_KEEP = int(KEEP_ENDED.total_seconds())
_FINAL = frozenset(state for state in WorkflowState if state.is_terminal)

_MOST_ENDED = 10_000
_STARTS = 200
"""Starts in one call of a script."""
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.5


class RedisQueueEngine:
    """Pushes tasks for the workers on the legacy wire (contract §5): the gateway's own, or legacy ones.

    Results and final states are known of tasks that the gateway's own worker ran; a task that a legacy worker ran
    leaves no trace here, and its status is None afterwards. Priority and fairness are kept by the gateway's own worker;
    legacy workers know neither. No connection is opened before the first call. `timeout` is in seconds.
    """

    name = "redis"
    capabilities = frozenset(
        {Capability.REQUEUE, Capability.RESULT, Capability.PRIORITY, Capability.FAIRNESS, Capability.WITHDRAW}
    )

    def __init__(self, url: str | Callable[[], str], *, timeout: float) -> None:
        self._link = Link(url, timeout=timeout)
        self._lists = TaskLists(self._link)
        self._freshness = Freshness(self._link)
        self._stocktaking = Stocktaking(self._link)
        self.ingress = Ingress(self._link)
        """The payloads that legacy producers push."""
        self.dead = DeadList(self._link)
        self.inventory = Inventory(self._link)
        """All that is there, for the recovery after a restore."""

    async def start_workflow(self, start: WorkflowStart) -> None:
        """Push the payload: once for each `ref`, and never if this start was cancelled before it arrived."""
        payload = wire.encode(start.ref, start.payload, trace=start.trace)
        keep = int(KEEP_WAITING.total_seconds())
        try:
            await self._link.run(
                scripts.START,
                start.ref.workflow_id,
                start.ref.group_id,
                payload,
                keep,
                min(max(start.priority, 1), 5),
                start.tenant_id or "",
                f"{start.fairness_weight:.6f}",
            )
        except AnswerLost as error:
            raise StartUncertain(error.message) from error

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        """Final states come from the marker; a task that has not ended is looked for in the lists."""
        state, error, _ = await self._locate(ref)
        return WorkflowStatus(WorkflowState(state), error or None) if state else None

    async def get_workflow_result(self, ref: WorkflowRef) -> Any:
        """Wait for the end by polling, at most half a second apart."""
        pause = _FIRST_LOOK
        while True:
            state, error, result = await self._locate(ref)
            if not state:
                raise WorkflowNotFound(f"Redis knows nothing of {ref.workflow_id}")
            if state == WorkflowState.COMPLETED:
                return json.loads(result)
            if WorkflowState(state).is_terminal:
                raise EngineError(error or f"{ref.workflow_id} ended as {state}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_LOOK)

    async def cancel_workflow(self, ref: WorkflowRef, reason: str) -> bool:
        """Remove a waiting task; a running one goes on, but is not put back if its worker is lost.

        Raises `AnswerLost` when it may have happened; to cancel again is harmless.
        """
        if not await self._link.run(scripts.CANCEL, ref.workflow_id, _storable(reason), _KEEP):
            return False
        removed = await self._lists.remove(ref)
        if not await self._lists.is_held(ref):
            await self._end(ref, WorkflowStatus(WorkflowState.CANCELLED, reason))
        return removed > 0

    async def signal_workflow(self, ref: WorkflowRef, signal: str, payload: Any) -> None:
        raise CapabilityMissing("The Redis queue cannot deliver signals.")

    async def requeue_workflow(self, ref: WorkflowRef, reason: str, *, held_by: str | None = None) -> bool:
        """Put a task back that a lost worker, the gateway's or a legacy one, holds; the group's lock goes with it.

        Raises `AnswerLost` when it may have happened; to ask again is harmless.
        """
        return await self._lists.requeue(ref, held_by, keep=_KEEP)

    async def list_held(self, worker_id: str) -> Sequence[str]:
        """A payload without an epoch, which others pushed, stands for the first start: so it was adopted, if it was."""
        with _reading():
            return sorted({name.removesuffix("*") for name in await self._lists.held_by(worker_id)})

    async def release_worker(self, worker_id: str, ended: Mapping[WorkflowRef, WorkflowStatus] | None = None) -> int:
        """Put back all payloads of a dead worker, as the next of their groups, and free its locks. Returns how many.

        A payload without an epoch is not put back if the first start of its task is in `ended`. The results of `ended`
        are not known. Raises `AnswerLost` when it may have happened; to ask again is harmless.
        """
        for ref, end in (ended or {}).items():
            await self._end(ref, end)
            await self._lists.remove(ref)
        over = [ref.task_id for ref in ended or {} if ref.epoch == 1]
        return await sign_off(self._link, worker_id, keep=_KEEP, over=over)

    async def withdraw_not_begun(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        """A worker's payloads are in its own list, or in the list of legacy workers; neither is looked at.

        Copies without an epoch, which the legacy recovery makes, stay where they are.
        """
        withdrawn: list[WorkflowRef] = []
        for first in range(0, len(refs), _STARTS):
            some = refs[first : first + _STARTS]
            groups: dict[str, list[str]] = {}
            for ref in some:
                groups.setdefault(ref.group_id, []).append(ref.workflow_id)
            found = await self._lists.withdraw(groups, keep=_KEEP)
            withdrawn += [ref for ref in some if ref.workflow_id in found]
        return withdrawn

    async def find_lost(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        """One pass over the lists of all groups, however many starts are asked for."""
        lost = list(refs)
        with _reading():
            # Twice: during the first pass a payload may have been put back, or received and ended.
            for _ in range(2):
                if lost:
                    held = await self._lists.contents({ref.group_id for ref in lost})
                    absent = [r for r in lost if r.workflow_id not in held and f"task-{r.task_id}*" not in held]
                    lost = await self._not_ended(absent)
        return lost

    async def keep_fresh(self) -> int:
        """Renew the time of the gateway's payloads that have waited for long (contract R4). Returns how many.

        A call checks a share of the waiting payloads, and the next call continues from there.
        """
        with _reading():
            return await self._freshness.renew()

    async def list_ended(self, since: datetime, *, completed: bool = True) -> Sequence[EndedWorkflow]:
        """The starts that the gateway's own workers ended, or that were cancelled; at most 10,000, oldest first."""
        ended: list[EndedWorkflow] = []
        looked_at, more = 0, 1
        while more and looked_at < _MOST_ENDED:
            with _reading():
                more, *rows = await self._link.run(
                    scripts.ENDED, since.astimezone(UTC).timestamp(), looked_at, int(completed)
                )
            looked_at += more
            for index in range(0, len(rows), 3):
                workflow_id, state, error = (value.decode() for value in rows[index : index + 3])
                ended.append(EndedWorkflow(workflow_id, WorkflowStatus(WorkflowState(state), error or None)))
        return ended

    async def count_open(self) -> int | None:
        return None

    async def take_stock(self) -> Sequence[Stock]:
        """All lists, read page by page: it takes some 10 ms for each 1,000 payloads."""
        with _reading():
            return await self._stocktaking.count()

    async def get_incarnation(self) -> str:
        """Changes when Redis was emptied, and when it was restarted: a restart may lose the latest writes."""
        with _reading():
            return str((await self._link.run(scripts.INCARNATION, uuid.uuid4().hex)).decode())

    async def check_health(self) -> None:
        with _reading():
            await self._link.call("PING")

    async def close(self) -> None:
        await self._link.close()

    # Beside the port ----------------------------------------------------------------------------------------

    async def describe(self) -> RedisServer:
        """Which server it is, and whether it keeps what it is given."""
        with _reading():
            return RedisServer.of(bytes(await self._link.call("INFO", "all")).decode())

    async def remember_mark(self, database_id: str, number: int) -> int:
        """Keep the highest number of this database; returns the one that was kept before (0: none)."""
        with _reading():
            return int(await self._link.run(scripts.MARK, database_id, number))

    async def list_workers(self) -> frozenset[str]:
        """The gateway's own workers that may hold payloads, dead ones included."""
        with _reading():
            return await self._lists.workers()

    # Private ------------------------------------------------------------------------------------------------

    async def _locate(self, ref: WorkflowRef) -> tuple[str, str, str]:
        """State, error and result. The state is empty for a start that has not ended and is in no list."""
        with _reading():
            if (marker := await self._marker(ref))[0] in _FINAL:
                return marker
            if await self._lists.is_held(ref):
                return WorkflowState.RUNNING, "", ""
            if await self._lists.is_waiting(ref, known=bool(marker[0])):
                return WorkflowState.QUEUED, "", ""
            # A worker received it, or it ended, between the two passes.
            if (marker := await self._marker(ref))[0] in _FINAL:
                return marker
            return (WorkflowState.RUNNING if await self._lists.is_held(ref) else ""), "", ""

    async def _end(self, ref: WorkflowRef, end: WorkflowStatus) -> None:
        """From now on the start is not pushed, nor put back."""
        await self._link.run(scripts.END, ref.workflow_id, end.state.value, _storable(end.error or ""), _KEEP)

    async def _not_ended(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        found: list[WorkflowRef] = []
        for first in range(0, len(refs), _STARTS):
            some = refs[first : first + _STARTS]
            places = await self._link.run(scripts.NOT_ENDED, *(ref.workflow_id for ref in some))
            found += [some[place] for place in places]
        return found

    async def _marker(self, ref: WorkflowRef) -> tuple[str, str, str]:
        fields = await self._link.call("HMGET", f"{wire.START}{ref.workflow_id}", "state", "error", "result")
        state, error, result = ((field or b"").decode() for field in fields)
        return state, error, result


@contextmanager
def _reading() -> Iterator[None]:
    """For calls that may be repeated: a lost answer means no more than that Redis is unavailable."""
    try:
        yield
    except AnswerLost as error:
        raise EngineUnavailable(error.message) from error


def _storable(text: str) -> str:
    """Text without lone surrogates, which Redis could take but nobody could read back."""
    return text.encode("utf-8", "replace").decode()
