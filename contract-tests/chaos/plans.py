"""An operator of the fault suite who moves everybody by plans, again and again, and back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from checker import Request
from world import TENANTS

if TYPE_CHECKING:
    import httpx

    from moves import Moves

_PLANS: Final = "/gateway/v1/migration/plans"
#: Longest wait for a gateway to end a plan, and pause between two looks (seconds).
OVER_SECONDS, PAUSE_SECONDS = 20.0, 0.2


class Planner:
    """Plans beside the flips: tenants are moved by both. `ended` counts them by the state in which they were left."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._number = 0
        self.turn = asyncio.Lock()
        """Whoever has it keeps plans away."""
        self.ended: Counter[str] = Counter()

    async def plan_forever(self) -> None:
        while True:
            await self.carry_out()

    async def carry_out(self) -> None:
        """Move all in two waves, until that is over or takes too long; then back. One plan at a time."""
        async with self.turn:
            await self._carry_out()

    async def _carry_out(self) -> None:
        self._number += 1
        name = f"chaos-{self._number}"
        change = Request(time.monotonic())
        self._moves.changes.append(change)
        waves = [{"tenants": TENANTS[:2]}, {"tenants": TENANTS[2:]}]
        plan = {"name": name, "why": "fault suite", "stage": "live", "bake": "0", "waves": waves}
        await self._until_answered("PUT", f"{_PLANS}/{name}", plan)
        await self._act(name, "start")
        self.ended[await self._over(name)] += 1
        await self._act(name, "rollback")
        self.ended[await self._over(name)] += 1
        await self._act(name, "abort")  # a rollback that is held; most are over, which is answered with 409
        change.answered = time.monotonic()

    async def _act(self, name: str, act: str) -> None:
        await self._until_answered("POST", f"{_PLANS}/{name}/acts", {"act": act, "why": "fault suite"})

    async def _over(self, name: str) -> str:
        """The state at the end, or after `OVER_SECONDS` with a gateway: a dead leader, too, is waited for."""
        left, looked, state = OVER_SECONDS, time.monotonic(), ""
        while state not in ("done", "aborted") and left > 0:
            answer = await self._moves.ask("GET", f"{_PLANS}/{name}")
            now = time.monotonic()
            if answer is not None and answer.is_success:
                state = answer.json()["state"]
                left -= now - looked
            looked = now
            await asyncio.sleep(PAUSE_SECONDS)
        return state

    async def _until_answered(self, method: str, path: str, body: dict[str, Any]) -> None:
        """A conflict is an answer: it was done before, and the answer was lost, or it is not possible now.

        Tenants that overrides of the last plan still keep are waited for.
        """
        while True:
            answer = await self._moves.ask(method, path, body)
            if answer is not None and not answer.is_server_error and not _is_taken(answer):
                if answer.is_error and answer.status_code != 409:
                    raise RuntimeError(f"a plan was answered {answer.status_code}: {answer.text}")
                return
            await asyncio.sleep(PAUSE_SECONDS)


def _is_taken(answer: httpx.Response) -> bool:
    if answer.status_code != 422:
        return False
    faults = answer.json().get("faults") or [{}]
    return all(fault.get("code") == "taken" for fault in faults)
