"""Looks names up for callbacks, in threads of which each tenant can only occupy a share."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

#: A name's addresses, asked of a resolver; runs in a thread. Raises `OSError`.
Resolver: TypeAlias = Callable[[str, int], list[str]]

#: Names looked up at once, and of those one tenant's. A look-up that hangs keeps its thread, and its tenant's share.
THREADS = 32
OF_TENANT = 2


class Lookups:
    """`seconds`: how long an answer is waited for, the wait for the tenant's turn included."""

    def __init__(self, resolver: Resolver, *, seconds: float) -> None:
        self._resolver = resolver
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="callback-dns")
        self._shares: dict[str, asyncio.Semaphore] = {}
        self._asking: Counter[str] = Counter()

    async def addresses(self, tenant: str, host: str, port: int) -> list[str]:
        """The name's addresses, each once. Raises `OSError`, also when there was no answer in time."""
        try:
            async with asyncio.timeout(self._seconds):
                return list(dict.fromkeys(await self._ask(tenant, host, port)))
        except TimeoutError:
            raise OSError(f"the name was not looked up within {self._seconds:g} s") from None

    def close(self) -> None:
        """Stop; look-ups that hang are abandoned."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, tenant: str, host: str, port: int) -> list[str]:
        share = self._shares.setdefault(tenant, asyncio.Semaphore(OF_TENANT))
        self._asking[tenant] += 1
        try:
            await share.acquire()
        except BaseException:
            self._forget(tenant)
            raise
        loop = asyncio.get_running_loop()

        def end() -> None:
            share.release()
            self._forget(tenant)

        def ended(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(end)

        work = self._threads.submit(self._resolver, host, port)
        # At the end of the look-up itself, because its thread is occupied until then.
        work.add_done_callback(ended)
        return await asyncio.wrap_future(work)

    def _forget(self, tenant: str) -> None:
        self._asking[tenant] -= 1
        if not self._asking[tenant]:
            del self._asking[tenant], self._shares[tenant]
