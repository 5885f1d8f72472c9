"""Sends the callbacks of the outbox, from any gateway; each has at most one attempt under way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.callbacks.sending import Answer, Sender
from gateway.callbacks.signing import headers_for
from gateway.errors import DatabaseUnavailable
from gateway.secret_files import Secret, text_of
from gateway.storage.database import Database
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.callbacks", "callbacks.sql")

#: What surrounds an attempt: of the task with this id, whose trace has this context.
Traced = Callable[[str, Mapping[str, str]], AbstractContextManager[object]]


def untraced(task_id: str, trace: Mapping[str, str]) -> AbstractContextManager[object]:
    """Nothing is traced."""
    return nullcontext()


NO_SECRET = "the tenant has no webhook secret yet"
#: Most attempts under way to one tenant's receivers, and to one receiver.
OF_TENANT = 12
OF_RECEIVER = 4
#: Longest pause that a receiver may ask for (seconds).
LONGEST_PAUSE = 24 * 3600.0
CLEAN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long receivers are waited for: attempts, the first pause and the longest (seconds), doubled in between."""

    attempts: int = 12
    first: float = 5.0
    longest: float = 3600.0

    def pause_after(self, attempts: int, asked: float | None, jitter: float) -> float:
        """The pause after failed attempts. `jitter` (0 to 1) shortens it by up to half, never what is asked."""
        pause = min(self.first * 2.0 ** min(attempts - 1, 60), self.longest) * (1 - jitter / 2)
        return max(pause, min(asked or 0.0, LONGEST_PAUSE))


class Deliverer:
    """`seconds` is the longest pause between two looks; `concurrency` how many attempts are under way at once."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        *,
        patience: Patience,
        timeout: float,
        seconds: float,
        concurrency: int,
        keep_days: int,
        keep_dead_days: int,
        operators_secret: Secret | None = None,
        jitter: Callable[[], float] = random.random,
        traced: Traced = untraced,
        told: Callable[[str | None], None] = lambda tenant_id: None,
    ) -> None:
        """`operators_secret` signs what is told to operators, and so has no tenant. `told` hears whose changed."""
        self._db = database
        self._sender = sender
        self._patience = patience
        # If a gateway dies during an attempt, others wait a little longer than the attempt may take.
        self._lease = timeout + 30.0
        self._seconds = seconds
        self._concurrency = concurrency
        self._keep = {"delivered": keep_days, "dead": keep_dead_days}
        self._operators_secret = operators_secret
        self._jitter = jitter
        self._traced = traced
        self._told = told
        self._under_way: set[asyncio.Task[None]] = set()
        self._tenants: Counter[str] = Counter()
        self._receivers: Counter[str] = Counter()
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Look soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        cleaned: float | None = None
        while True:
            pause = self._seconds
            try:
                pause = await self._step()
                if cleaned is None or time.monotonic() - cleaned > CLEAN_SECONDS:
                    cleaned = time.monotonic()
                    await self._forget()
            except DatabaseUnavailable:
                pause = max(pause, 0.5)
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()

    async def close(self) -> None:
        """Cancel the attempts under way; they are repeated when their time is over."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._sender.close()

    async def _step(self) -> float:
        """Begin the attempts that are due. Returns the seconds until the next look."""
        free = self._concurrency - len(self._under_way)
        if free <= 0:
            return self._seconds  # the end of any of them wakes
        seconds = await self._db.fetchval(SQL.next_due)
        if seconds is None:
            return self._seconds
        if seconds <= 0:
            await self._begin(free)
            return self._seconds if self._under_way else 0.02
        return min(float(seconds), self._seconds)

    async def _begin(self, most: int) -> None:
        tenants, receivers = ((list(busy), list(busy.values())) for busy in (self._tenants, self._receivers))
        rows = await self._db.fetch(SQL.take_due, most, *tenants, *receivers, OF_TENANT, OF_RECEIVER, self._lease)
        if not rows:
            return
        secrets = dict[str, list[str]]()
        operators = [] if self._operators_secret is None else [text_of(self._operators_secret)]
        owners = list({row["tenant_id"] for row in rows if row["tenant_id"] is not None})
        for row in await self._db.fetch(SQL.valid_secrets, owners):
            secrets.setdefault(row["tenant_id"], []).append(row["secret"])
        for row in rows:
            self._told(row["tenant_id"])
            valid = operators if row["event"] == "guardrail" else secrets.get(row["tenant_id"] or "", [])
            task = asyncio.create_task(self._attempt(row, valid), name="callback")
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.wake()

    async def _attempt(self, row: Any, secrets: list[str]) -> None:
        tenant, receiver = row["tenant_id"] or "", row["receiver"]
        self._tenants[tenant] += 1
        self._receivers[receiver] += 1
        try:
            if secrets:
                headers = headers_for(row["id"], int(time.time()), row["body"], secrets)
                headers |= {"Content-Type": "application/json", "User-Agent": "taskgate"}
                with self._traced(row["task_id"], orjson.loads(row["trace"]) if row["trace"] else {}):
                    answer = await self._sender.send(row["url"], headers, row["body"].encode(), tenant=tenant)
            else:
                answer = Answer(error=NO_SECRET)
            await self._record(row["id"], row["attempts"], answer)
            self._told(row["tenant_id"])
        except DatabaseUnavailable:
            log.warning("the end of callback %s was not recorded; it is sent again", row["id"])
        finally:
            for counter, name in ((self._tenants, tenant), (self._receivers, receiver)):
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]

    async def _record(self, delivery_id: str, attempts: int, answer: Answer) -> None:
        if answer.delivered:
            await self._db.execute(SQL.delivered, delivery_id, attempts, answer.status)
        elif answer.final or attempts >= self._patience.attempts:
            log.warning("callback %s is given up after %d attempts: %s", delivery_id, attempts, answer.error)
            await self._db.execute(SQL.give_up, delivery_id, attempts, answer.status, answer.error)
        else:
            pause = self._patience.pause_after(attempts, answer.retry_after, self._jitter())
            await self._db.execute(SQL.try_later, delivery_id, attempts, answer.status, answer.error, pause)

    async def _forget(self) -> None:
        for state, days in self._keep.items():
            while await self._db.execute(SQL.forget, state, days) != "DELETE 0":
                pass
        await self._db.execute(SQL.forget_secrets)
