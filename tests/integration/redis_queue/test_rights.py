"""A user of Redis with few rights: those of `docs/install.md` are enough, and of channels a hint may be refused.

Redis 7 gives a new user no channel; `resetchannels` makes Redis 6.2 do the same.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from workers.outcome import Completed
from workers.redis_queue.wake_listener import WakeListener
from workers.testing.redis_worker import StartWorker
from workers.testing.starts import new_start
from workers.testing.waiting import until

PAGE = Path(__file__).parents[3].joinpath("docs", "install.md").read_text(encoding="utf-8")
WITHOUT_CHANNELS = ("taskgate", "on", ">change-me", "~*", "+@all")

SetUser = Callable[..., Awaitable[str]]


@pytest.fixture
async def set_user(queue: Redis, redis_server: str) -> AsyncIterator[SetUser]:
    """Makes the user `taskgate` with these rights and no other channel; returns its address."""

    async def make(*rights: str) -> str:
        await queue.execute_command("ACL", "SETUSER", "taskgate", "resetchannels")
        await queue.execute_command("ACL", "SETUSER", *rights)
        return redis_server.replace("redis://", "redis://taskgate:change-me@")

    yield make
    await queue.execute_command("ACL", "DELUSER", "taskgate")


async def test_the_pages_user_may_wake_and_be_woken(set_user: SetUser) -> None:
    [line] = re.findall(r"redis-cli ACL SETUSER (taskgate .*)", PAGE)
    async with Redis.from_url(await set_user(*shlex.split(line))) as client, client.pubsub() as channel:
        await channel.subscribe(wire.WAKE)
        await client.publish(wire.WAKE, "")
        with pytest.raises(NoPermissionError):
            await client.publish("another", "")


async def test_a_wake_up_that_is_refused_takes_nothing_back(
    set_user: SetUser, queue: Redis, start_worker: StartWorker
) -> None:
    url = await set_user(*WITHOUT_CHANNELS)
    engine = RedisQueueEngine(url, timeout=5)
    starts = [new_start(group_id="g") for _ in range(2)]
    try:
        for start in starts:
            await engine.start_workflow(start)
        worker = await start_worker(url, slots=1)
        for start in starts:
            running = await worker.next()
            assert running.assignment.task_id == start.ref.task_id
            running.finish(Completed())
        await until(lambda: worker.worker.running == 0)
        await worker.stop()
        assert not await queue.exists("lock:queue:group:g", *await queue.keys(wire.OWN + "*"))
    finally:
        await engine.close()


async def test_a_listener_that_is_refused_says_so_once(set_user: SetUser, caplog: pytest.LogCaptureFixture) -> None:
    listener = WakeListener(await set_user(*WITHOUT_CHANNELS), timeout=5)
    tries: list[float] = []

    async def pause(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 3:
            raise EOFError

    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.redis_queue.wake_listener.asyncio.sleep", pause)
        with suppress(EOFError):
            await listener.listen()
    assert [record.getMessage() for record in caplog.records] == [
        "Redis refuses the channel taskgate:wake to this user: tasks start later; grant '&taskgate:*'"
    ]
