"""Handlers that do what handlers must not do, as a plug-in module for tests (`TASKGATE_HANDLERS`).

Each notes its beginning and end in the file that `payload["journal"]` names, one line each.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import time
from pathlib import Path
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler, TaskRegistry


def note(payload: dict[str, Any], event: str) -> None:
    """One line, whole, whatever happens to this process next."""
    if path := payload.get("journal"):
        line = {"task": payload["task_id"], "event": event, "at": time.monotonic(), "pid": os.getpid()}
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")
        finally:
            os.close(file)


class NotAnException(BaseException):
    """What `except Exception` does not catch."""


class Unwritable:
    """An object that no JSON can express, nor a text describe."""

    def __str__(self) -> str:
        raise ValueError("no text either")


async def sleep(payload: dict[str, Any], context: TaskContext) -> None:
    await asyncio.sleep(payload.get("seconds", 0.0))


async def wait_for_word(payload: dict[str, Any], context: TaskContext) -> None:
    """Until a file says so; it reports its `result` before, or a `last_result` after."""
    if "result" in payload:
        await context._update_task_log(payload["task_id"], "PROCESSING", result=payload["result"])
        note(payload, "reported")
    while not Path(payload["word"]).exists():  # noqa: ASYNC240
        await asyncio.sleep(0.02)
    if "last_result" in payload:
        note(payload, "heard")
        await context._update_task_log(payload["task_id"], "PROCESSING", result=payload["last_result"])


async def never_returns(payload: dict[str, Any], context: TaskContext) -> None:
    await asyncio.Event().wait()


async def ignore_cancellation(payload: dict[str, Any], context: TaskContext) -> None:
    end = time.monotonic() + payload["seconds"]
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue


async def block_the_loop(payload: dict[str, Any], context: TaskContext) -> None:
    time.sleep(payload["seconds"])  # noqa: ASYNC251 - that is the point
    await asyncio.sleep(payload.get("more_seconds", 0.0))


async def hold_the_interpreter(payload: dict[str, Any], context: TaskContext) -> None:
    ctypes.PyDLL(None).usleep(int(payload["seconds"] * 1_000_000))  # a PyDLL keeps the lock


def block_a_thread(payload: dict[str, Any], context: Any) -> None:
    time.sleep(payload["seconds"])
    context._update_task_log(payload["task_id"], "PROCESSING", progress=50, result={"from": "a thread"})


async def end_the_process(payload: dict[str, Any], context: TaskContext) -> None:
    os._exit(9)


async def raise_a_base_exception(payload: dict[str, Any], context: TaskContext) -> None:
    raise NotAnException("not caught by most")


async def close_itself(payload: dict[str, Any], context: TaskContext) -> None:
    raise GeneratorExit("closed")


def stop_an_iteration(payload: dict[str, Any], context: Any) -> None:
    next(iter([]))


async def run_into_its_own_limit(payload: dict[str, Any], context: TaskContext) -> None:
    async with asyncio.timeout(0.1):
        await asyncio.sleep(5)


async def report_nonsense(payload: dict[str, Any], context: TaskContext) -> None:
    """Progress and messages that the columns do not take."""
    for progress in (10**12, float("nan"), "50", "half", -5, 10**400, payload["progress"]):
        await context._update_task_log(payload["task_id"], "PROCESSING", progress=progress, message="m\0")  # type: ignore[arg-type]


async def return_a_dict(payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    return {"answer": 42}


async def return_its_payload_keys(payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    return {name: type(payload[name]).__name__ for name in ("task_id", "task_type", "timestamp") if name in payload}


async def return_a_number(payload: dict[str, Any], context: TaskContext) -> int:
    return 42


async def exit_politely(payload: dict[str, Any], context: TaskContext) -> None:
    raise SystemExit(3)


async def fork(payload: dict[str, Any], context: TaskContext) -> None:
    if os.fork():
        await asyncio.sleep(0.2)


async def report_what_is_no_json(payload: dict[str, Any], context: TaskContext) -> None:
    await context._update_task_log(payload["task_id"], "PROCESSING", result={"thing": Unwritable()})


async def write_a_gigabyte(payload: dict[str, Any], context: TaskContext) -> None:
    line = b"x" * (1 << 20) + b"\n"
    for _ in range(payload.get("megabytes", 1024)):
        os.write(2, line)


async def leak(payload: dict[str, Any], context: TaskContext) -> None:
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20) * 8))
        await asyncio.sleep(0.01)


class Misbehaving(TaskHandler):
    """One of the functions above, as a handler; `isolated_<name>` is the same in a process of its own."""

    def __init__(self, function: Any, *, isolated: bool) -> None:
        self._function = function
        self._isolated = isolated
        if not asyncio.iscoroutinefunction(function):
            self.process = self._process_in_thread  # type: ignore[method-assign, assignment]

    @property
    def task_type(self) -> str:
        return ("isolated_" if self._isolated else "") + str(self._function.__name__)

    @property
    def timeout_seconds(self) -> int:
        return 1 if self._function is never_returns else 60

    @property
    def isolated(self) -> bool:
        return self._isolated

    async def process(self, payload: dict[str, Any], context: TaskContext) -> Any:
        note(payload, "start")
        try:
            returned = await self._function(payload, context)
        except asyncio.CancelledError:
            note(payload, "cancelled")
            raise
        note(payload, "end")
        return returned

    def _process_in_thread(self, payload: dict[str, Any], context: TaskContext) -> None:
        note(payload, "start")
        self._function(payload, context)
        note(payload, "end")


FUNCTIONS = (
    *(
        sleep,
        wait_for_word,
        never_returns,
        ignore_cancellation,
        block_the_loop,
        hold_the_interpreter,
        block_a_thread,
        end_the_process,
    ),
    *(raise_a_base_exception, exit_politely, fork, report_what_is_no_json, write_a_gigabyte, leak),
    *(close_itself, stop_an_iteration, run_into_its_own_limit, report_nonsense),
    *(return_a_dict, return_a_number, return_its_payload_keys),
)


def register(registry: TaskRegistry) -> None:
    for function in FUNCTIONS:
        for isolated in (False, True):
            registry.register(Misbehaving(function, isolated=isolated))
