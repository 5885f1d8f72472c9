"""What Redis's own words mean for the gateway."""

from __future__ import annotations

import pytest
from redis import exceptions

from backends.errors import EngineError, EngineUnavailable
from backends.redis_queue import link, scripts
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link


@pytest.mark.parametrize(
    "error",
    [
        exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        exceptions.OutOfMemoryError(
            "command not allowed when used memory > 'maxmemory'. script: 0f, on @user_script:1."
        ),
        exceptions.ResponseError("ERR Error running script: @user_script:7: -OOM command not allowed when used memory"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.ResponseError("Error running script: @user_script:9: -READONLY You can't write against a read only"),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots, but"),
        exceptions.ResponseError("BUSY Redis is busy running a script."),
        exceptions.AuthenticationError("invalid username-password pair"),
        exceptions.NoPermissionError("this user has no permissions"),
        exceptions.MasterDownError("Link with MASTER is down"),
    ],
    ids=lambda error: str(error).split()[0],
)
def test_a_redis_that_does_not_want_now_is_unavailable(error: exceptions.RedisError) -> None:
    assert type(link.refused(error)) is EngineUnavailable


def test_any_other_refusal_is_an_error_of_its_own() -> None:
    wrong_type = exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
    assert type(link.refused(wrong_type)) is EngineError


async def test_making_an_engine_touches_nothing() -> None:
    engine = RedisQueueEngine("redis://127.0.0.1:1/0", timeout=0.5)
    assert engine.name == "redis"
    await engine.close()


async def test_nobody_listening_is_unavailable() -> None:
    connection = Link("redis://127.0.0.1:1/0", timeout=0.5)
    with pytest.raises(EngineUnavailable):
        await connection.call("PING")
    await connection.close()


def test_every_script_has_its_keys_and_its_own_digest() -> None:
    loaded = [value for value in vars(scripts).values() if isinstance(value, scripts.Script)]
    assert len({script.digest for script in loaded}) == len(loaded) > 0
    assert all(b"active_groups = 'queue:active_groups'" in script.source for script in loaded)
