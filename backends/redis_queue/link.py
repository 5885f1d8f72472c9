"""The connection to Redis, with the driver's errors translated in one place."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, TypeAlias

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool
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


def refused(error: exceptions.RedisError) -> EngineError:
    """What an error that Redis answered with means. Its text names commands and keys, never values."""
    text = str(error)
    if isinstance(error, _NOT_NOW) or any(word in text for word in _NOT_NOW_WORDS):
        return EngineUnavailable(f"Redis does not accept commands: {text}")
    return EngineError(f"Redis refused a command: {text}")


class _Closed(AnswerLost):
    """The connection to Redis was closed before the answer came."""


class Link:
    """A small pool of connections; none is opened before the first command.

    `timeout` limits, in seconds, the wait for a connection and the wait for an answer, each on its own. The driver's
    pool only makes connections: to lend one takes it half as long as an exchange with a Redis on the same host.
    """

    def __init__(self, url: str, *, timeout: float, connections: int = 16) -> None:
        self._timeout = timeout
        self._maker = ConnectionPool.from_url(
            url,
            # The limits are set around whole exchanges: the driver's own for sending loses cancellations (bpo-37658).
            socket_timeout=None,
            socket_connect_timeout=min(timeout, 2.0),
            socket_keepalive=True,
            # Whether to repeat is the caller's decision: a repeated command may be a second one.
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )
        self._room = asyncio.Semaphore(connections)
        self._idle: list[AbstractConnection] = []
        self._is_closed = False

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
        """The answer of a script; its source is sent only when Redis does not know it. As `call` otherwise."""
        try:
            return await self.call("EVALSHA", script.digest, 0, *arguments, repeat=repeat)
        except exceptions.NoScriptError:
            return await self.call("EVAL", script.source, 0, *arguments, repeat=repeat)

    async def _exchange(self, command: tuple[Argument, ...]) -> Any:
        connection = await self._take()
        try:
            async with asyncio.timeout(self._timeout):
                await connection.send_command(*command)
                return await connection.read_response()
        except (exceptions.AuthenticationError, exceptions.BusyLoadingError, exceptions.ResponseError) as error:
            raise error if isinstance(error, exceptions.NoScriptError) else refused(error) from error
        except (TimeoutError, exceptions.TimeoutError) as error:
            raise AnswerLost("Redis did not answer in time") from error
        except (exceptions.ConnectionError, OSError) as error:
            raise _Closed("Redis closed the connection without an answer") from error
        finally:
            await self._give_back(connection)

    async def _take(self) -> AbstractConnection:
        """A connection, the one used last if one is idle; it is to be given back. Raises `EngineUnavailable`."""
        try:
            if self._room.locked():
                async with asyncio.timeout(self._timeout):
                    await self._room.acquire()
            else:
                await self._room.acquire()
        except TimeoutError as error:
            raise EngineUnavailable("Redis cannot be reached: all connections are in use") from error
        try:
            return await self._idle_one() or await self._new_one()
        except BaseException:
            self._room.release()
            raise

    async def _idle_one(self) -> AbstractConnection | None:
        while self._idle:
            connection = self._idle.pop()
            with suppress(exceptions.RedisError, OSError):
                if not await connection.can_read():  # neither an end nor an answer that nobody waited for
                    return connection
            await connection.disconnect(nowait=True)
        return None

    async def _new_one(self) -> AbstractConnection:
        connection: AbstractConnection = self._maker.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, exceptions.ResponseError):
                raise EngineUnavailable(f"Redis does not accept connections: {error}") from error
            if isinstance(error, (exceptions.RedisError, *_NO_CONTACT)):
                raise EngineUnavailable(f"Redis cannot be reached: {type(error).__name__}") from error
            raise
        return connection

    async def _give_back(self, connection: AbstractConnection) -> None:
        """The driver has ended a connection whose exchange was not carried through."""
        self._room.release()
        if self._is_closed:
            await connection.disconnect(nowait=True)
        elif connection.is_connected:
            self._idle.append(connection)

    async def close(self) -> None:
        """End what is idle; what is in use ends when it is given back."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().disconnect()
