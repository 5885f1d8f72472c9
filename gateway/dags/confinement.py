"""Opens nodes in the sandbox: expressions of tenants cost a worker a bounded amount of time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.dags.batch import Batch
from gateway.dags.errors import ExpressionFault
from gateway.dags.node_start import Opener, Request, open_nodes, undo_node
from gateway.dags.run_reader import Outputs
from gateway.sandbox.pool import Sandbox, SandboxExceeded

#: Of processor time for the expressions of one step; if that is not enough, for those of each node.
SECONDS = 2.0
MEGABYTES = 512
#: Of one step, by the clock (seconds): none is begun later. A step that takes a minute is broken off, and begun anew.
BUDGET = 30


class Confinement:
    """Belongs to a worker process; its children begin with the first step that has expressions."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sandbox = Sandbox(megabytes=MEGABYTES, preload=(__name__,))
        self._clock = clock

    async def open(
        self, opener: Opener, requests: list[Request], items: Mapping[str, list[Any]]
    ) -> tuple[list[Any], Batch]:
        """As `open_nodes`. If all together exceed a limit, each is tried by itself.

        Those that exceed it fail, and those for which no time is left.
        """
        last = self._clock() + BUDGET
        try:
            return await self._sandbox.run(SECONDS, open_nodes, opener, requests, items)
        except SandboxExceeded as error:
            if len(requests) == 1:
                return [opener.refuse(requests[0], f"its expressions: {error}")], opener.batch
        answers: list[Any] = []
        batch = Batch()
        for request in requests:
            answered, more = await self._open_one(opener.anew(), request, items, last)
            answers += answered
            batch.extend(more)
        return answers, batch

    async def _open_one(
        self, opener: Opener, request: Request, items: Mapping[str, list[Any]], last: float
    ) -> tuple[list[Any], Batch]:
        if not opener.evaluates(request):
            return open_nodes(opener, [request], items)
        if self._clock() >= last:
            return [opener.refuse(request, "its expressions: no time was left for them in this step")], opener.batch
        try:
            return await self._sandbox.run(SECONDS, open_nodes, opener, [request], items)
        except SandboxExceeded as error:
            return [opener.refuse(request, f"its expressions: {error}")], opener.batch

    async def undo(
        self, opener: Opener, name: str, positions: list[int | None], items: list[Any]
    ) -> tuple[list[int | None], Batch]:
        """As `undo_node`; nothing is begun when it exceeds a limit."""
        try:
            return await self._sandbox.run(SECONDS, undo_node, opener, name, positions, items)
        except SandboxExceeded as error:
            opener.refuse_undoing(name, positions, f"its expressions: {error}")
            return [], opener.batch

    async def outputs(self, outputs: Outputs) -> str:
        """The result of a run, as JSON. Raises `ExpressionFault`."""
        try:
            return await self._sandbox.run(SECONDS, outputs.text)
        except SandboxExceeded as error:
            raise ExpressionFault(str(error)) from None

    async def close(self) -> None:
        await self._sandbox.close()
