"""One worker's side of the legacy wire: receives payloads, gives them back, and keeps its locks."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backends.port import WorkflowState
from backends.redis_queue import dead, scripts, wire
from backends.redis_queue.holdings import give_back, sign_off
from backends.redis_queue.inventory import KEEP_ENDED
from backends.redis_queue.link import Argument, Link
from backends.redis_queue.pages import walk
from backends.redis_queue.scripts import Script

_EMPTIED_PATIENCE = 5
"""Seconds for which a group that was found empty is still looked at (see `receive.lua`)."""
_LONGEST_ERROR = 10_000
_SWEEP_SECONDS = 60
_KEEP = int(KEEP_ENDED.total_seconds())
_FROM_THE_START = (3, 100, 0, "")
"""Where `receive.lua` begins: with ordinary priority, having passed over nothing, at the first tenant."""
_AT_ONCE = 200


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A payload that now lies in this worker's own list. Every offer is itself alone, whatever its bytes.

    `payload` is cut when `size` is over the limit; `digest` is the SHA-1 of all of it.
    """

    group: bytes
    payload: bytes
    size: int
    digest: str


class Inbox:
    """What a worker says to Redis. All methods raise `EngineUnavailable`, `AnswerLost` or `EngineError`.

    Everything but `receive` may be repeated without harm.
    """

    def __init__(self, link: Link, worker_id: str, *, lock_seconds: int, max_payload_bytes: int) -> None:
        self._link = link
        self._worker_id = worker_id
        self._lock_seconds = lock_seconds
        self.max_payload_bytes = max_payload_bytes

    async def receive(self, avoided: Sequence[bytes] = ()) -> Offer | None:
        """Receive the payload whose turn it is among groups with a free lock, and lock its group (`receive.lua`).

        Groups in `avoided` are left to other workers.
        """
        cursor: Sequence[Argument] = _FROM_THE_START
        while True:
            answer = await self._link.run(
                scripts.RECEIVE,
                self._worker_id,
                self._lock_seconds,
                random.getrandbits(31),
                self.max_payload_bytes,
                dead.SHOWN_BYTES,
                _EMPTIED_PATIENCE,
                *cursor,
                *avoided,
                repeat=False,
            )
            if answer is None:
                return None
            if len(answer) > 1:
                group, payload, size, digest = answer
                return Offer(group, payload, size, digest.decode() or _digest(payload))
            (cursor,) = answer

    async def end(
        self, offer: Offer, workflow_id: str, state: WorkflowState, error: str, result: object, *, release: bool
    ) -> None:
        """The task has ended; `release` gives back the group's lock. `workflow_id` is empty for foreign tasks."""
        error = error[:_LONGEST_ERROR].encode("utf-8", "replace").decode()
        body = json.dumps(result, default=str)
        await self._finish(offer, release, "end", workflow_id, state.value, error, body)

    async def put_back(self, offer: Offer, *, release: bool) -> None:
        """Make the payload the next of its group again."""
        await self._finish(offer, release, "back")

    async def drop(self, offer: Offer, *, release: bool) -> None:
        """Forget the payload: of a task that runs or ended elsewhere, or that the gateway is going to start again."""
        await self._finish(offer, release, "drop")

    async def set_aside(self, offer: Offer, reason: str, *, release: bool) -> None:
        """Move what is no task to the dead list; one too large stays whole in the hash `taskgate:dead:large`."""
        is_cut = offer.size > len(offer.payload)
        if is_cut:
            reason = dead.with_place(reason, offer.digest)
        entry = dead.entry(reason, offer.group, offer.payload, offer.size)
        await self._walk(scripts.SET_ASIDE, offer, release, entry, int(is_cut))

    async def give_back_others(self, mine: Iterable[Offer]) -> int:
        """Put back payloads that Redis believes this worker holds and it does not; returns how many.

        To be called with no `receive` under way.
        """
        return await give_back(self._link, self._worker_id, keep=_KEEP, running=[offer.digest for offer in mine])

    async def leave(self) -> None:
        """Put back everything and be no worker any more."""
        await sign_off(self._link, self._worker_id, keep=_KEEP)

    async def renew(self, groups: Iterable[bytes]) -> list[bytes]:
        """Prolong the locks of these groups; returns those that somebody else holds."""
        lost: list[bytes] = []
        for some in _parts(list(groups)):
            lost += await self._link.run(scripts.RENEW, self._worker_id, self._lock_seconds, *some)
        return lost

    async def sweep(self) -> None:
        """Once a minute in the whole fleet: put lists into the active set that fell out of it.

        A legacy worker removes an empty group in two steps, and a producer may push in between.
        """
        if await self._link.call("SET", wire.SWEPT, self._worker_id, "NX", "EX", _SWEEP_SECONDS) is None:
            return
        cursor = b"0"
        while True:
            cursor, keys = await self._link.call("SCAN", cursor, "MATCH", f"{wire.GROUP}*", "COUNT", 1000)
            for some in _parts(keys):
                await self._link.run(scripts.ACTIVATE, *(key[len(wire.GROUP) :] for key in some))
            if cursor in (b"0", 0):
                return

    async def _finish(
        self,
        offer: Offer,
        release: bool,
        what: str,
        workflow_id: str = "",
        state: str = "",
        error: str = "",
        result: str = "",
    ) -> None:
        await self._walk(scripts.FINISH, offer, release, what, _KEEP, workflow_id, state, error, result)

    async def _walk(self, script: Script, offer: Offer, release: bool, *rest: Argument) -> None:
        """Until the script found the offer in this worker's list, or saw all of that."""
        async for _ in walk(self._link, script, (self._worker_id, offer.digest, int(release), *rest), [offer.group]):
            pass


def _digest(payload: bytes) -> str:
    return hashlib.sha1(payload, usedforsecurity=False).hexdigest()


def _parts(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE))
