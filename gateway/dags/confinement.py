"""Opens nodes in the sandbox: expressions of tenants cost a worker a bounded amount of time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dags.batch import Batch
from gateway.dags.errors import ExpressionFault
from gateway.dags.opening import Opener, Request, open_nodes, undo_node
from gateway.dags.run_reader import Outputs
from gateway.sandbox.pool import Sandbox, SandboxExceeded

#: Of the expressions of one step.
SECONDS = 2.0
MEGABYTES = 512


class Confinement:
    """Belongs to a worker process; its children begin with the first step that has expressions."""

    def __init__(self) -> None:
        self._sandbox = Sandbox(megabytes=MEGABYTES, preload=(__name__,))

    async def open(
        self, opener: Opener, requests: list[Request], items: Mapping[str, list[Any]]
    ) -> tuple[list[Any], Batch]:
        """As `open_nodes`. If all together exceed a limit, each is tried by itself; those that exceed it fail."""
        try:
            return await self._sandbox.run(SECONDS, open_nodes, opener, requests, items)
        except SandboxExceeded as error:
            if len(requests) == 1:
                return [opener.refuse(requests[0], f"its expressions: {error}")], opener.batch
        answers: list[Any] = []
        batch = Batch()
        for request in requests:
            answered, more = await self.open(opener.anew(), [request], items)
            answers += answered
            batch.extend(more)
        return answers, batch

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
