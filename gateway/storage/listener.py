"""The one connection on which a process receives notifications of PostgreSQL (NOTIFY), for all subscribers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import asyncpg
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from gateway.errors import DatabaseReadOnly
from gateway.storage.database import IS_WRITABLE, Database
from gateway.storage.driver_errors import translated

log = logging.getLogger(__name__)

#: How often the connection is checked, and how long the server may take to answer (seconds). A connection that vanished
#: silently is replaced after the sum of the two at the latest.
PROBE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 3.0
#: Pauses between attempts to reach PostgreSQL (seconds): the first, doubled up to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 2.0

#: Called with the payload of a notification.
Heard = Callable[[str], object]


class Listener:
    """Passes notifications on. Belongs to one event loop; `subscribe` everything before `start`.

    A pooler in between must be a session pooler: a transaction pooler does not support LISTEN.
    """

    def __init__(
        self, database: Database, *, probe_seconds: float = PROBE_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._db = database
        self._probe_seconds = probe_seconds
        self._answer_seconds = answer_seconds
        self._subscribers: dict[str, list[Heard]] = {}
        self._missed: list[Callable[[], None]] = []
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, channel: str, heard: Heard, *, missed: Callable[[], None] | None = None) -> None:
        """Call `heard` with each notification of the channel, in the event loop; it must not wait.

        `missed` is called whenever listening begins, also the first time, because notifications may have been missed.
        """
        if self._task is not None:
            raise RuntimeError("it listens already")
        self._subscribers.setdefault(channel, []).append(heard)
        if missed is not None:
            self._missed.append(missed)

    def start(self) -> None:
        """Begin to listen, unless that was begun before; PostgreSQL may be away."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="listener")

    async def wait_listening(self) -> None:
        """Return when it listens."""
        await self._listening.wait()

    @property
    def is_listening(self) -> bool:
        """Whether it listens, which also shows that PostgreSQL is available."""
        return self._listening.is_set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        connecting = AsyncRetrying(
            # Whatever it is: a task that ends is missed by nobody, and what is told with it.
            retry=retry_if_exception_type(Exception),
            wait=wait_exponential_jitter(initial=_FIRST_PAUSE, max=_LAST_PAUSE, jitter=_FIRST_PAUSE),
            before_sleep=_complain,
        )
        while True:
            connection: asyncpg.Connection = await connecting(self._connect)
            try:
                await self._follow(connection)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("the connection that listens to PostgreSQL was lost: %s", type(error).__name__)
            finally:
                self._listening.clear()
                connection.terminate()
            await asyncio.sleep(_FIRST_PAUSE)

    async def _connect(self) -> asyncpg.Connection:
        connection = await self._db.connect()
        try:
            with translated():
                for channel in self._subscribers:
                    await connection.add_listener(channel, self._announced)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _follow(self, connection: asyncpg.Connection) -> None:
        """Until the connection is lost. Raises `DatabaseUnavailable`."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        self._listening.set()
        for missed in self._missed:
            _call(missed)
        while not connection.is_closed():
            # `wait_for` would lose a cancellation that comes together with the loss (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._probe_seconds):
                    await lost.wait()
            with translated():
                # A server that takes no writes sends no notifications.
                if not await connection.fetchval(IS_WRITABLE, timeout=self._answer_seconds):
                    raise DatabaseReadOnly

    def _announced(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        for heard in self._subscribers[channel]:
            _call(heard, str(payload))


def _complain(state: RetryCallState) -> None:
    """Once, however long PostgreSQL is away."""
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("announcements of PostgreSQL cannot be listened to: %r", state.outcome.exception())


def _call(subscriber: Callable[..., object], *arguments: str) -> None:
    """An error in one subscriber does not affect the others."""
    try:
        subscriber(*arguments)
    except Exception:
        log.exception("an announcement was not taken")
