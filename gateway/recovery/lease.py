"""The liveness lease of a process: a session lock in PostgreSQL, and a renewal that a separate thread writes.

The lock is gone milliseconds after the process dies (measured: 4 ms after SIGKILL). The renewal
finds what the lock cannot: a process that hangs, or a pooler that does not keep session locks. The thread has its own
event loop and connection, so that a handler that blocks the worker's loop does not lose the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

import asyncpg
import uvloop

from gateway.errors import DatabaseUnavailable
from gateway.recovery.guard import GuardLine, clock
from gateway.secret_files import Secret
from gateway.storage.database import Database
from gateway.storage.driver_errors import DRIVER_ERRORS
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "lease.sql")

#: First half of the advisory lock's key ("tg" in ASCII); the second half is different for each process.
LOCK_CLASS = 0x7467
#: Longest pause between two renewals (seconds): one pause and a handler that holds the interpreter for ten seconds fit
#: before the fence of the usual limit.
RENEW_SECONDS = 3.0
#: Without a renewal, a process cancels its runs after the first part of the limit, and its supervisor kills it after
#: the second part. Other workers take its tasks over at the limit.
FENCE_AT, KILL_AT = 0.9, 0.95
#: How long a process that was declared lost may take to cancel its runs (seconds).
CLEAR_SECONDS = 1.0
#: Pauses between attempts to reach PostgreSQL (seconds): the first, doubled up to the last, times a random factor, so
#: that a fleet spreads out. They grow only after some attempts: a reaper waits `lease_grace_seconds` for a process
#: whose connection was cut, and longer only if it was away, too (`gateway.recovery.reaper.RETURN_SECONDS`).
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
QUICK_ATTEMPTS = 10
_SPREAD = (0.75, 1.25)


def renewal_seconds(limit: float) -> float:
    """The pause between two renewals of a lease that is lost after `limit` seconds."""
    return min(RENEW_SECONDS, limit / 5)


def host_identity() -> str:
    """Identifies a set of processes whose pids can be compared: host, boot, pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
        return f"{socket.gethostname()}/{boot.read_text().strip()[:8]}/{str(namespace)[5:-1]}"
    except OSError:
        return socket.gethostname()


def _new_id() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def _new_key() -> int:
    return secrets.randbelow(2**31)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """The data of a process in `taskgate.process`. `process_id` is `<hostname>-<8 hex>` (contract §5)."""

    kind: str
    version: str
    pool: str | None = None
    backend: str | None = None
    slots: int = 0
    task_types: tuple[str, ...] = ()
    flag_owner: str | None = None
    process_id: str = field(default_factory=_new_id)
    lock_key: int = field(default_factory=_new_key)

    def anew(self) -> ProcessIdentity:
        """The same process under a new name."""
        return replace(self, process_id=_new_id(), lock_key=_new_key())


class Lease:
    """Holds the lease of this process; a lease that was lost is replaced by a new one under a new id.

    `on_lost` is called in the caller's event loop. The caller must then cancel everything that runs, and call `cleared`
    last; only then a new lease is taken. Without `on_lost` the process runs no tasks. `on_drain` is called there, once,
    when somebody has marked this process: it is to take no more tasks, and to end. `guard` tells the supervisor until
    when this process may run.
    """

    def __init__(
        self,
        database_url: Secret,
        identity: ProcessIdentity,
        *,
        limit: float,
        on_lost: Callable[[], None] | None = None,
        on_drain: Callable[[], None] | None = None,
        guard: GuardLine | None = None,
    ) -> None:
        self._url = database_url
        self._identity = identity
        self._limit = limit
        self._on_lost = on_lost
        self._on_drain = on_drain
        self._guard = guard
        self._clear = threading.Event()
        self._clear.set()
        self._owner: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._stirred = asyncio.Event()
        """The connection is lost, or the lease is to be given back."""
        self._held: Future[str] = Future()
        """The name under which the lease is held; pending while it is not."""
        self._was_held = False
        self._locked: ProcessIdentity | None = None
        """The identity whose lock was ours at least once."""
        self._renewed = clock()
        self._retry_in = FIRST_PAUSE
        self._attempts = 0

    @property
    def process_id(self) -> str:
        return self._identity.process_id

    @property
    def was_held(self) -> bool:
        """Whether the process was registered once; it may have lost the lease since."""
        return self._was_held

    async def held(self) -> str:
        """Return the name under which the lease is held, once it is; waits for PostgreSQL."""
        return await asyncio.shield(asyncio.wrap_future(self._held))

    def begin(self) -> None:
        """Take the lease, as soon as PostgreSQL gives it."""
        self._owner = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._main, name="lease", daemon=True)
        self._thread.start()

    async def start(self) -> None:
        """Return once the lease is held; waits for PostgreSQL."""
        self.begin()
        await self.held()

    def cleared(self) -> None:
        """Everything that began under the lost lease has ended."""
        if not self._clear.is_set():
            self._excuse()
            self._clear.set()

    async def close(self) -> None:
        """Give the lease back, so that this process is not declared lost."""
        if self._thread is None or self._loop is None or self._ending is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, self._ending)
        await asyncio.to_thread(self._thread.join, 5)

    def _end(self, ending: asyncio.Event) -> None:
        ending.set()
        self._stirred.set()

    # In the thread ------------------------------------------------------------------------------------------

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._keep())

    async def _keep(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        watching = asyncio.create_task(self._watch())
        database = Database(self._url, acquire_timeout=2.0, name="taskgate lease", alert=True)
        while not self._ending.is_set():
            self._lose_if_late()
            pause = FIRST_PAUSE
            if self._clear.is_set():
                await self._connect(database)
                pause = self._retry_in * random.uniform(*_SPREAD)
                self._attempts += 1
                if self._attempts >= QUICK_ATTEMPTS:
                    self._retry_in = min(2 * self._retry_in, LAST_PAUSE, max(self._limit / 15, FIRST_PAUSE))
            if not self._ending.is_set():
                await self._pause(pause)
        watching.cancel()

    async def _connect(self, database: Database) -> None:
        connection: asyncpg.Connection | None = None
        try:
            connection = await database.connect()
            await self._hold(connection)
        except (DatabaseUnavailable, OSError, TimeoutError, *DRIVER_ERRORS) as error:
            log.debug("lease connection: %s", type(error).__name__)
        except Exception:  # the thread must not end: nobody would notice until others take the tasks over
            log.exception("lease connection")
        finally:
            if connection is not None:
                connection.terminate()

    async def _hold(self, connection: asyncpg.Connection) -> None:
        assert self._ending is not None
        stirred = self._stirred = asyncio.Event()
        connection.add_termination_listener(lambda _: stirred.set())
        me, pause = self._identity, renewal_seconds(self._limit)
        is_ours = await connection.fetchval(SQL.lock, LOCK_CLASS, me.lock_key)
        self._is_reached()
        if not is_ours:
            if self._locked is me:
                await connection.execute(SQL.end_previous, LOCK_CLASS, me.lock_key)
            else:
                # Somebody drew the same number, or a session of ours has it whose answer never came: we cannot tell.
                self._identity = me.anew()
            return
        self._locked = me
        asked = clock()
        if (is_marked := await self._register(connection)) is None:
            self._lose("it was taken for dead")
            return
        self._renew(asked)
        self._heed(is_marked=is_marked)
        while self._identity is me and not connection.is_closed():
            if not self._held.done():
                self._was_held = True
                self._held.set_result(me.process_id)
            if not self._ending.is_set():
                again = asyncio.get_running_loop().call_later(pause, stirred.set)
                await stirred.wait()
                again.cancel()
                stirred.clear()
            if self._ending.is_set():
                await connection.execute(SQL.retire, me.process_id, timeout=2)
                self._excuse()
                return
            self._lose_if_late()
            if self._identity is me and not connection.is_closed():
                asked = clock()
                if (is_marked := await connection.fetchval(SQL.renew, me.process_id, timeout=2)) is None:
                    self._lose("it was taken for dead")
                    return
                self._renew(asked)
                self._heed(is_marked=is_marked)

    async def _register(self, connection: asyncpg.Connection) -> bool | None:
        """Whether the process is marked; None: it was taken for dead."""
        me = self._identity
        is_marked: bool | None = await connection.fetchval(
            SQL.register,
            me.process_id,
            me.kind,
            me.pool,
            me.backend,
            host_identity(),
            os.getpid(),
            me.version,
            me.slots,
            list(me.task_types),
            me.lock_key,
            me.flag_owner,
        )
        return is_marked

    def _heed(self, *, is_marked: bool) -> None:
        """Tell, once, that the process is to drain."""
        if not is_marked or self._owner is None or self._on_drain is None:
            return
        told, self._on_drain = self._on_drain, None
        with contextlib.suppress(RuntimeError):
            self._owner.call_soon_threadsafe(told)

    def _renew(self, asked: float) -> None:
        """The lease holds from the moment when it was asked for, because the answer may have been late."""
        self._renewed = asked
        self._is_reached()
        if self._guard is not None:
            self._guard.extend(asked + self._limit * KILL_AT)

    def _is_reached(self) -> None:
        """PostgreSQL answers: the next attempt, if one is needed, comes at once."""
        self._attempts, self._retry_in = 0, FIRST_PAUSE

    def _excuse(self) -> None:
        """No tasks run here: the supervisor need not watch."""
        if self._guard is not None:
            self._guard.extend(inf)

    async def _watch(self) -> None:
        """Checks that renewals come. Each renewal checks it as well, because timers stop while a host is suspended."""
        while True:
            left = self._renewed + self._limit * FENCE_AT - clock()
            await asyncio.sleep(max(left, self._limit / 50))
            self._lose_if_late()

    def _lose_if_late(self) -> None:
        """Without a renewal for almost the limit, other workers are about to take over: stop before they start."""
        if self._held.done() and self._clear.is_set() and clock() - self._renewed > self._limit * FENCE_AT:
            self._lose("it could not be renewed")

    def _lose(self, why: str) -> None:
        log.error("lease of %s is lost: %s; its tasks are cancelled", self._identity.process_id, why)
        self._identity = self._identity.anew()
        if self._held.done():
            self._held = Future()
        kill_at = min(self._renewed + self._limit * KILL_AT, clock() + CLEAR_SECONDS)
        self._renewed = clock()
        if self._owner is None or self._on_lost is None:
            return
        if self._guard is not None:
            self._guard.extend(kill_at)
        self._clear.clear()
        with contextlib.suppress(RuntimeError):
            self._owner.call_soon_threadsafe(self._on_lost)

    async def _pause(self, seconds: float) -> None:
        assert self._ending is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()
