"""What a handler's `process` may be, and how its run ends."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from workers.execution.inline import BodyNeverRan, HandlerExit, InlineExecution


class Context:
    def __init__(self) -> None:
        self.heard: list[int] = []

    async def hear(self, value: int) -> int:
        self.heard.append(value)
        return value


async def body(payload: dict[str, Any], context: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"heard": await context.hear(7)}


def bare(function: Any) -> Any:
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def running_it_itself(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return asyncio.run(function(*args))

    return wrapper


def as_a_future(payload: dict[str, Any], context: Any) -> Any:
    class Awaitable:
        def __await__(self) -> Any:
            return body(payload, context).__await__()

    return Awaitable()


class Callable_:
    async def __call__(self, payload: dict[str, Any], context: Any) -> Any:
        return await body(payload, context)


def plain(payload: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"heard": context.hear(7)}


def handler_of(process: Any) -> Any:
    handler = type("Handler", (), {"task_type": "probe"})()
    handler.process = process
    return handler


@pytest.mark.parametrize(
    "process",
    [
        body,
        bare(body),
        wrapped(body),
        running_it_itself(body),
        functools.partial(body),
        Callable_(),
        as_a_future,
        plain,
    ],
)
async def test_its_body_runs_whatever_calls_it(process: Any) -> None:
    context = Context()
    async with asyncio.timeout(5):
        assert await InlineExecution().run(handler_of(process), {}, context) == {"heard": 7}  # type: ignore[arg-type]
    assert context.heard == [7]


def generator(payload: dict[str, Any], context: Any) -> Any:
    yield 1


async def async_generator(payload: dict[str, Any], context: Any) -> Any:
    yield 1


@pytest.mark.parametrize("process", [generator, async_generator])
async def test_a_generator_never_ran_and_does_not_complete(process: Any) -> None:
    with pytest.raises(BodyNeverRan):
        await InlineExecution().run(handler_of(process), {}, Context())  # type: ignore[arg-type]


class Own(BaseException):
    pass


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("x"), ValueError),
        (Own("x"), Own),
        (GeneratorExit(), GeneratorExit),
        (asyncio.CancelledError(), asyncio.CancelledError),
        (SystemExit(3), HandlerExit),
        (KeyboardInterrupt(), HandlerExit),
        (StopAsyncIteration(), StopAsyncIteration),
        (BaseExceptionGroup("x", [KeyboardInterrupt()]), BaseExceptionGroup),
    ],
)
async def test_every_end_arrives(kind: str, raised: BaseException, seen: type[BaseException]) -> None:
    def in_thread(payload: dict[str, Any], context: Any) -> None:
        raise raised

    async def in_loop(payload: dict[str, Any], context: Any) -> None:
        raise raised

    execution = InlineExecution()
    run = asyncio.create_task(
        execution.run(handler_of(in_loop if kind == "coroutine" else in_thread), {}, Context())  # type: ignore[arg-type]
    )
    await asyncio.wait([run], timeout=5)
    assert run.done()
    with pytest.raises(seen):
        run.result()
    assert not execution.busy


async def test_a_stopped_iteration_arrives_from_a_thread() -> None:
    def process(payload: dict[str, Any], context: Any) -> None:
        next(iter([]))

    async with asyncio.timeout(5):
        with pytest.raises(HandlerExit, match="The handler raised StopIteration"):
            await InlineExecution().run(handler_of(process), {}, Context())  # type: ignore[arg-type]
