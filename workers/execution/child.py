"""The process of isolated handlers: takes one task after the other from its worker.

Started as `python -m workers.execution.child <descriptor of the answers> <pid of the worker>`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict
from typing import Any

from gateway.observability.logs import set_up_logs
from gateway.recovery.guard import die_with
from gateway.settings import Settings, read_settings
from gateway.tasks.lifecycle.claim import Claim
from workers.dependencies import Dependencies
from workers.execution.inline import InlineExecution
from workers.execution.messages import CANCEL, CANCELLED, DONE, FAILED, READY, REHEARSE, failure_as_json, pack, receive
from workers.execution.trace_context import within
from workers.failure import failure_of
from workers.handlers.base import TaskRegistry
from workers.handlers.loader import load_registry
from workers.progress import ProgressReporter
from workers.rehearsal.context import RehearsalContext
from workers.rehearsal.rehearsing import Rehearsing


class Child:
    """Runs what it is sent; answers on a pipe of its own, so that a handler may print what it likes."""

    def __init__(self, settings: Settings, answers: int) -> None:
        self._registry: TaskRegistry = load_registry(settings.handler_modules)
        self._non_retryable = settings.non_retryable_errors
        self._dependencies = Dependencies(settings, pool_size=2, name="taskgate handler")
        self._execution = InlineExecution()
        self._answers = answers

    async def serve(self) -> None:
        """Until the worker closes its end."""
        reader = asyncio.StreamReader(limit=2**26)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self._answer(READY)
        running: asyncio.Task[None] | None = None
        while (message := await receive(reader)) is not None:
            if message["kind"] == CANCEL:
                if running is not None:
                    running.cancel()
                continue
            if message["kind"] == REHEARSE:
                run = self._rehearse(message["task_type"], message["payload"], message["limit"])
            else:
                run = self._run(Claim(**message["claim"]), message["payload"])
            with within(message["trace"]):
                running = asyncio.create_task(run)

    async def _run(self, claim: Claim, payload: dict[str, Any]) -> None:
        handler = self._registry.get_handler(claim.task_type)
        reporter = ProgressReporter(self._dependencies.transitions, claim)
        try:
            assert handler is not None, "the worker knows this type, and its processes do too"
            reporter.returned(await self._execution.run(handler, payload, self._dependencies.context(claim, reporter)))
        except asyncio.CancelledError:
            await self._settle()
            self._answer(CANCELLED)
        except BaseException as error:  # noqa: BLE001 - the worker decides what it means
            await self._settle()
            failure = failure_of(error, claim.task_type, self._non_retryable)
            self._answer(FAILED, failure=failure_as_json(failure))
        else:
            await self._settle()
            self._answer(DONE, result=reporter.result, is_stored=reporter.unwritten is None)

    async def _rehearse(self, task_type: str, payload: dict[str, Any], limit: float) -> None:
        handler = self._registry.get_handler(task_type)
        try:
            assert handler is not None, "the worker knows this type, and its processes do too"
            context = RehearsalContext(self._dependencies.database)
            found = await Rehearsing(limit=limit).run(handler, payload, context)
        except asyncio.CancelledError:
            self._answer(CANCELLED)
        except BaseException as error:  # noqa: BLE001 - this process's own; the handler's are among what was found
            self._answer(FAILED, failure=failure_as_json(failure_of(error, task_type, self._non_retryable)))
        else:
            # A thread that blocks is left behind: no task shall run beside it.
            self._answer(DONE, result=asdict(found), is_worn=found.outcome == "blocked")

    async def _settle(self) -> None:
        """What was reported last is on its way before the end of the run is."""
        await self._dependencies.notifier.flush()
        await self._dependencies.arrivals.flush()

    def _answer(self, kind: str, **members: Any) -> None:
        data = memoryview(pack(kind, **members))
        while data:
            data = data[os.write(self._answers, data) :]


def main() -> None:
    answers, worker = int(sys.argv[1]), int(sys.argv[2])
    die_with(worker)
    os.set_inheritable(answers, False)
    settings = read_settings()
    set_up_logs(settings.log_level, settings.log_format)
    asyncio.run(Child(settings, answers).serve())


if __name__ == "__main__":
    main()
