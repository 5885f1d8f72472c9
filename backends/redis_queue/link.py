"""The connection to Redis, with the driver's errors translated in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backends.errors import AnswerLost, EngineError, EngineUnavailable
from backends.redis_queue.scripts import Script

Argument: TypeAlias = bytes | str | int | float

#: Lost contact. Before a command was sent this is `EngineUnavailable`, after that `AnswerLost`.
_NO_CONTACT = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, asyncio.TimeoutError)

#: Answers by which Redis says that it will not carry out commands now; it checks before the first write of a script.
#: The driver has classes for some, and cuts the word off then; an error out of a script may come with neither.
_NOT_NOW = (
    exceptions.AuthenticationError,
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MaxConnectionsError,
    exceptions.NoPermissionError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
)
_NOT_NOW_WORDS = (
    *("LOADING", "BUSY ", "OOM ", "READONLY", "MISCONF", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "NOAUTH", "NOPERM"),
    "command not allowed when used memory",
)


#: What a replica answers to a write.
_REPLICA = "READONLY"


def _is_replica(error: exceptions.RedisError) -> bool:
    return isinstance(error, exceptions.ReadOnlyError) or _REPLICA in str(error)


async def _open(connection: AbstractConnection) -> None:
    """Begin a session. Raises `ReadOnlyError` if the server is a replica, whose data may be old."""
    await connection.on_connect()
    await connection.send_command("HELLO", check_health=False)
    try:
        said = await connection.read_response()
    except exceptions.ResponseError:
        return  # before Redis 6, or not allowed to ask
    about = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))
    if about.get(b"role", b"master") != b"master":
        raise exceptions.ReadOnlyError("the server is a replica")


def refused(error: exceptions.RedisError) -> EngineError:
    """The exception for an error reply of Redis. Its text names commands and keys, never values."""
    text = str(error)
    if isinstance(error, _NOT_NOW) or any(word in text for word in _NOT_NOW_WORDS):
        return EngineUnavailable(f"Redis does not accept commands: {text}")
    return EngineError(f"Redis refused a command: {text}")


HEALTH_SECONDS = 5
"""A connection that was idle for longer is asked whether it answers before it is used."""


class _Closed(AnswerLost):
    """The connection to Redis was closed before the answer came."""


class _Secured(SSLConnection):
    """Reads its certificates each time that it connects: the driver reads them once, and keeps connections for good."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = None
        return super()._connection_arguments()


class Link:
    """A small pool of connections; none is opened before the first command.

    Where `url` is called and returns another one than before, new connections replace the idle ones.

    `timeout` limits, in seconds, the wait for a connection that answers and the wait for an answer, each on its own.
    """

    def __init__(self, url: str | Callable[[], str], *, timeout: float, connections: int = 16) -> None:
        self._timeout = timeout
        self._source = url
        self._size = connections
        self._url = url() if callable(url) else url
        self._pool = self._open_pool(self._url)
        self._taken: dict[AbstractConnection, BlockingConnectionPool] = {}

    def _open_pool(self, url: str) -> BlockingConnectionPool:
        """Raises `ValueError` for a URL that cannot be taken apart."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=self._size,
            timeout=self._timeout,
            # The limits are set around whole exchanges: the driver's own for sending loses cancellations (bpo-37658).
            socket_timeout=None,
            socket_connect_timeout=min(self._timeout, 2.0),
            socket_keepalive=True,
            health_check_interval=HEALTH_SECONDS,
            redis_connect_func=_open,
            # Whether to repeat is the caller's decision: a repeated command may be a second one.
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )
        if pool.connection_class is SSLConnection:
            pool.connection_class = _Secured
        return pool

    async def connection(self) -> AbstractConnection:
        """A connection that answers, to be given back with `release`. Raises `EngineUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout):
                pool = await self._current_pool()
                connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
                self._taken[connection] = pool
                try:
                    await self._check_health(connection)
                except BaseException:
                    await self.release(connection)
                    raise
        except exceptions.ResponseError as error:
            raise EngineUnavailable(f"Redis does not accept connections: {error}") from error
        except (exceptions.RedisError, *_NO_CONTACT) as error:
            raise EngineUnavailable(f"Redis cannot be reached: {type(error).__name__}") from error
        except (ValueError, TypeError):  # its words may have the password in them
            raise EngineUnavailable("Redis cannot be reached: its address cannot be used") from None
        return connection

    async def _current_pool(self) -> BlockingConnectionPool:
        """The pool for the URL of now; connections of another one are closed, those in use when they are released.

        Raises `ValueError`, also next time, while the URL of now cannot be taken apart.
        """
        if callable(self._source) and (url := self._source()) != self._url:
            pool = self._open_pool(url)
            self._url, left, self._pool = url, self._pool, pool
            await left.disconnect(inuse_connections=False)
        return self._pool

    async def _check_health(self, connection: AbstractConnection) -> None:
        """A connection that was long idle may be dead; then it and the other idle ones are replaced."""
        try:
            async with asyncio.timeout(self._timeout / 2):
                await connection.check_health()  # type: ignore[no-untyped-call]
        except (exceptions.ConnectionError, *_NO_CONTACT):
            await self._drop_idle()
            await connection.disconnect(nowait=True)
            await connection.connect()  # type: ignore[no-untyped-call]

    async def _drop_idle(self) -> None:
        await self._pool.disconnect(inuse_connections=False)

    async def release(self, connection: AbstractConnection) -> None:
        pool = self._taken.pop(connection)
        await pool.release(connection)
        if pool is not self._pool:
            await pool.disconnect(inuse_connections=False)

    async def call(self, *command: Argument, repeat: bool = True) -> Any:
        """The answer to one command. Raises `EngineUnavailable`, `AnswerLost`, or `EngineError`.

        `repeat` says that the command may be carried out twice without harm: when a connection turns out to have been
        closed while it was idle, another one is tried.
        """
        try:
            return await self._exchange(command)
        except _Closed:
            if not repeat:
                raise
        try:
            return await self._exchange(command)
        except EngineUnavailable as error:
            raise AnswerLost(error.message) from error

    async def run(self, script: Script, *arguments: Argument, repeat: bool = True) -> Any:
        """Run a script. Its source is sent only when Redis does not know it. Otherwise as `call`."""
        try:
            return await self.call("EVALSHA", script.digest, 0, *arguments, repeat=repeat)
        except exceptions.NoScriptError:
            return await self.call("EVAL", script.source, 0, *arguments, repeat=repeat)

    async def _exchange(self, command: tuple[Argument, ...]) -> Any:
        connection = await self.connection()
        try:
            async with asyncio.timeout(self._timeout):
                await connection.send_command(*command)
                return await connection.read_response()
        except (exceptions.AuthenticationError, exceptions.BusyLoadingError, exceptions.ResponseError) as error:
            if _is_replica(error):  # it was the primary when the connections were opened
                await self._drop_idle()
                await connection.disconnect(nowait=True)
            raise error if isinstance(error, exceptions.NoScriptError) else refused(error) from error
        except (TimeoutError, exceptions.TimeoutError) as error:
            await self._drop_idle()  # the way to Redis is perhaps gone
            raise AnswerLost("Redis did not answer in time") from error
        except (exceptions.ConnectionError, OSError) as error:
            raise _Closed("Redis closed the connection without an answer") from error
        finally:
            await self.release(connection)

    async def close(self) -> None:
        await self._pool.aclose()
