"""`EngineHarness`: what an adapter brings along to be put through `contract-tests/engine_port`."""

from __future__ import annotations

from typing import Protocol

from backends.port import WorkflowEnginePort
from workers.outcome import Outcome
from workers.testing.scripted import RunningTask


class EngineHarness(Protocol):
    """One engine, a worker for it, and a hand on the wire between them and the server.

    The worker has one slot and is idle until `take` is called, so a test can say what is in the engine before
    anything runs. Each harness has an engine of its own as far as tests can see: ids are random, groups too.
    """

    @property
    def engine(self) -> WorkflowEnginePort: ...

    @property
    def worker_id(self) -> str:
        """The id of the worker that took the latest task, known after the first `take`."""

    async def receive(self) -> RunningTask:
        """Let the worker take the next task and return it, running; at most one runs at a time."""

    async def finish(self, running: RunningTask, outcome: Outcome) -> None:
        """End the run; returns when the worker has told the engine, and is idle again."""

    async def lose_worker(self) -> None:
        """The worker vanishes with what it runs, telling nobody; the next `take` is a new worker's."""

    async def break_connection(self) -> None:
        """From now on the gateway's engine cannot reach its server at all."""

    async def lose_answers(self) -> None:
        """From now on requests of the gateway's engine reach its server, answers do not come back."""

    async def restore_connection(self) -> None:
        """Undo `break_connection` and `lose_answers`."""

    async def lose_memory(self) -> bool:
        """Make the server forget everything; False when this server cannot be made to."""

    async def aclose(self) -> None:
        """Give everything back; called once, also after a failed test."""
