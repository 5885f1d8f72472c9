"""Runs a handler in a process of its own, so that one that leaks, blocks, crashes or exits does not harm others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from gateway.recovery.host_process import resident_bytes
from gateway.settings import PREFIX, SECRETS, Settings
from gateway.tasks.lifecycle.claim import Claim
from workers.execution.messages import (
    CANCEL,
    CANCELLED,
    DONE,
    FAILED,
    REHEARSE,
    RUN,
    claim_as_json,
    failure_from_json,
    pack,
    receive,
)
from workers.execution.trace_context import present_trace
from workers.failure import Failure
from workers.handlers.base import TaskHandler, TaskRegistry
from workers.progress import ProgressReporter

log = logging.getLogger(__name__)

#: How long a cancelled handler has to end; then its process is killed.
CANCEL_SECONDS = 0.5
MEMORY_LOOK_SECONDS = 0.1
#: A process runs so many tasks and is then replaced, which frees what a handler leaks.
TASKS_PER_PROCESS = 100
#: A process that holds more than this part of the memory limit after a task is not used again.
WORN = 0.5


class HandlerFailed(Exception):
    """An isolated handler raised; `failure` describes it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class HandlerProcessDied(Exception):
    """The process of the handler ended before the handler did."""


class HandlerNotStarted(HandlerProcessDied):
    """A process for the handler could not be started."""


class HandlerMemoryExceeded(Exception):
    """The process of the handler used more memory than TASKGATE_ISOLATED_MEMORY_MB."""


class _Process:
    """One handler process; runs one task at a time."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
        self.process = process
        self.reader = reader
        self.tasks = 0
        self.answer: asyncio.Task[dict[str, Any] | None]
        """To what it was told last; None: it died."""

    def ask(self, message: bytes) -> None:
        self.answer = asyncio.create_task(receive(self.reader))
        self.say(message)

    def say(self, message: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self.process.stdin.write(message)

    async def end(self) -> int:
        """Kill it, and what it started; its exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return await self.process.wait()

    def memory(self) -> int:
        """Resident bytes."""
        return resident_bytes(self.process.pid)


class IsolatedExecution:
    """Keeps idle processes for the next tasks. `memory` in bytes, 0: no limit."""

    def __init__(self, settings: Settings) -> None:
        self._environment = environment_for(settings)
        self._memory = settings.isolated_memory_mb << 20
        self._types = frozenset(name.strip() for name in settings.isolated_types.split(",") if name.strip())
        self._idle: list[_Process] = []
        self._ending: set[asyncio.Task[int]] = set()
        self.busy: set[asyncio.Future[None]] = set()
        """Runs whose process has not ended, also if nobody waits for them any more."""

    def wants(self, handler: TaskHandler) -> bool:
        """Whether the handler asks for a process of its own (`isolated = True`), or a setting does."""
        return bool(getattr(handler, "isolated", False)) or not self._types.isdisjoint((handler.task_type, "*"))

    async def run(self, claim: Claim, payload: Mapping[str, Any], reporter: ProgressReporter) -> None:
        """Run the handler; `reporter` then has its result.

        Raises `HandlerFailed`, `HandlerProcessDied`, `HandlerMemoryExceeded`.
        """
        answer = await self._asked(pack(RUN, claim=claim_as_json(claim), payload=payload, trace=present_trace()))
        if answer["kind"] == FAILED:
            raise HandlerFailed(failure_from_json(answer["failure"]))
        if answer["is_stored"]:
            reporter.result = answer["result"]
        else:
            reporter.returned(answer["result"])

    async def rehearse(
        self, task_type: str, payload: Mapping[str, Any], limit: float, *, start_seconds: float
    ) -> dict[str, Any]:
        """What became of the handler's `rehearse`: the members of `Rehearsed`. `limit`: how long it may take (seconds).

        Raises `HandlerNotStarted`, also when a process has not started after `start_seconds`; `HandlerProcessDied`,
        `HandlerMemoryExceeded`, and `HandlerFailed` for an error that is not the handler's.
        """
        answer = await self._asked(
            pack(REHEARSE, task_type=task_type, payload=payload, limit=limit, trace=present_trace()), start_seconds
        )
        if answer["kind"] == FAILED:
            raise HandlerFailed(failure_from_json(answer["failure"]))
        found: dict[str, Any] = answer["result"]
        return found

    async def _asked(self, message: bytes, start_seconds: float | None = None) -> dict[str, Any]:
        """What a process answers that has nothing else to do."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.busy.add(over)
        over.add_done_callback(self.busy.discard)
        child: _Process | None = None
        try:
            child = await self._started(start_seconds)
            child.tasks += 1
            child.ask(message)
            answer = await self._watched(child)
            if answer is None:
                code = await child.end()
                raise HandlerProcessDied(f"The process of the handler ended with code {code}")
            self._give_back(child, is_worn=answer.get("is_worn", False))
            child = None
            return answer
        except asyncio.CancelledError:
            answer = await self._last_answer(child) if child is not None else None
            if child is not None and answer is not None:
                self._give_back(child, is_worn=answer.get("is_worn", False))
                child = None
                if answer["kind"] == DONE:  # if it completes nevertheless, that counts
                    return answer
            raise
        finally:
            if child is not None:
                await asyncio.shield(child.end())
            over.set_result(None)

    async def warm_up(self, registry: TaskRegistry) -> None:
        """Start a process in advance for the first task that needs one."""
        if not self._idle and any(self.wants(handler) for handler in registry.get_all_handlers().values()):
            self._idle.append(await self._spawn())

    async def close(self) -> None:
        for child in self._idle:
            await child.end()
        self._idle.clear()

    async def _started(self, seconds: float | None) -> _Process:
        try:
            async with asyncio.timeout(seconds):
                return await self._take()
        except TimeoutError:
            raise HandlerNotStarted(f"A process for the handler did not start within {seconds:g} s") from None
        except OSError as error:
            raise HandlerNotStarted(f"A process for the handler could not be started: {error.strerror}") from error

    async def _take(self) -> _Process:
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                return child
        return await self._spawn()

    def _give_back(self, child: _Process, *, is_worn: bool = False) -> None:
        is_worn = is_worn or child.tasks >= TASKS_PER_PROCESS
        if not is_worn and not (self._memory and child.memory() > self._memory * WORN):
            self._idle.append(child)
            return
        ending = asyncio.create_task(child.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _spawn(self) -> _Process:
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "workers.execution.child", str(writing), str(os.getpid())),
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=sys.stderr.fileno(),  # output of a handler belongs into the log
                pass_fds=(writing,),
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
        )
        child = _Process(process, reader)
        try:
            ready = await receive(reader)
        except BaseException:
            await asyncio.shield(child.end())
            raise
        if ready is None:
            transport.close()
            raise HandlerNotStarted(f"A process for the handler could not be started: code {await child.end()}")
        return child

    async def _watched(self, child: _Process) -> dict[str, Any] | None:
        """The child's answer; None when it died."""
        while not child.answer.done():
            await asyncio.wait([child.answer], timeout=MEMORY_LOOK_SECONDS if self._memory else None)
            if self._memory and not child.answer.done() and (used := child.memory()) > self._memory:
                raise HandlerMemoryExceeded(f"The handler used {used >> 20} MB of {self._memory >> 20}")
        return child.answer.result()

    async def _last_answer(self, child: _Process) -> dict[str, Any] | None:
        """What a cancelled handler's process says in time; None: it has to be killed."""
        child.say(pack(CANCEL))
        await asyncio.wait([child.answer], timeout=CANCEL_SECONDS)
        answer = child.answer.result() if child.answer.done() else None
        return answer if answer is not None and answer["kind"] in (DONE, FAILED, CANCELLED) else None


def environment_for(settings: Settings) -> dict[str, str]:
    """What a child process reads the same settings from. It reads a secret's file, and follows it, by itself."""
    found = dict(os.environ)
    for name in SECRETS - settings.by_file:  # both would be one too many
        found.pop(f"{PREFIX}{name.upper()}_FILE", None)
    for name in settings.model_fields_set - settings.by_file:
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, dict | list | tuple):
            value = settings.model_dump_json(include={name})[len(name) + 4 : -1]
        found[f"{PREFIX}{name.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return found
