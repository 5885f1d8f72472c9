"""How many tasks a process runs at once: a fixed number, or as many as memory and processors allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil

from gateway.pacing.concurrency_limit import ALONE_TOLERANCE, ConcurrencyLimit
from gateway.pacing.recent_tenants import RecentTenants

#: How much of memory and processors may be in use when another task begins (0 to 1).
MEMORY_TARGET, CPU_TARGET = 0.85, 0.9
#: Pause between two tasks, so that the load of the first is measured before the next begins (seconds).
RAMP_SECONDS = 0.05
#: Least time of a measurement of processors (seconds); shorter ones only see clock ticks.
CPU_SECONDS = 0.2
#: Tolerance of claims (times the baseline) while several tenants have some.
SHARED_TOLERANCE = 1.2
#: A tenant shares a worker for so long after its last claim (seconds).
SHARED_SECONDS = 5.0


class Slots(Protocol):
    """Asked before each task is taken."""

    @property
    def limit(self) -> int:
        """Never more than this."""

    def has_room(self, used: int) -> bool:
        """Whether another task may begin beside so many."""

    def may_begin(self, used: int) -> bool:
        """Whether one may be fetched now, beside so many."""


class FixedSlots:
    """A fixed number of slots. Of tasks outside their handlers, only so many at once as do not slow each other down.

    Otherwise a crowd of short tasks would keep all processors busy with claims and reports, and the next task would
    wait for all of them. The runner reports how long claims take. `on_room` is called when a task is in its handler,
    and another one may begin.
    """

    def __init__(self, number: int) -> None:
        self.limit = number
        self.on_room: Callable[[], None] = lambda: None
        self._claims = ConcurrencyLimit(number)
        self._tenants = RecentTenants(SHARED_SECONDS)
        self._used = 0
        self._inside = 0

    def has_room(self, used: int) -> bool:
        return used < self.limit

    def may_begin(self, used: int) -> bool:
        self._used = used
        return used - self._inside < self._claims.current

    def claimed(self, seconds: float, tenant_id: str | None = None) -> None:
        """A claim took so long. `tenant_id`: whose task it was, if it was granted."""
        if tenant_id is not None and self._tenants.note(tenant_id):
            self._claims.narrow(SHARED_TOLERANCE)
        tolerance = SHARED_TOLERANCE if self._tenants.are_several else ALONE_TOLERANCE
        self._claims.answered(seconds, self._used + 1 - self._inside, tolerance)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """While a handler runs."""
        self._inside += 1
        self.on_room()
        try:
            yield
        finally:
            self._inside -= 1


class Load(Protocol):
    """How much of the machine is in use, 0 to 1."""

    def memory(self) -> float: ...

    def cpu(self) -> float: ...


class ResourceSlots:
    """While memory and processors are below their targets; one task at least, `limit` at most."""

    def __init__(self, limit: int, load: Load | None = None) -> None:
        self.limit = limit
        self._load = load or MachineLoad()
        self._begun_at = 0.0
        self._used = 0

    def has_room(self, used: int) -> bool:
        now = time.monotonic()
        if used > self._used:
            self._begun_at = now
        self._used = used
        if used == 0:
            return True
        if used >= self.limit or now - self._begun_at < RAMP_SECONDS:
            return False
        return self._load.memory() < MEMORY_TARGET and self._load.cpu() < CPU_TARGET

    def may_begin(self, used: int) -> bool:
        return True


class MachineLoad:
    """This machine's; inside a memory cgroup that has a limit, the cgroup's memory."""

    def __init__(self) -> None:
        psutil.cpu_percent()
        self._measured_at = time.monotonic()
        self._cpu = 0.0

    def memory(self) -> float:
        limit, used = _cgroup("memory.max"), _cgroup("memory.current")
        if limit and used is not None:
            return used / limit
        return psutil.virtual_memory().percent / 100

    def cpu(self) -> float:
        """Since the look before this one."""
        now = time.monotonic()
        if now - self._measured_at >= CPU_SECONDS:
            self._cpu, self._measured_at = psutil.cpu_percent() / 100, now
        return self._cpu


def slots_of(text: str, limit: int) -> Slots:
    """`auto`, or a number. Raises `ValueError`."""
    if text == "auto":
        return ResourceSlots(limit)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"slots are a number or 'auto', not {text!r}")
    return FixedSlots(int(text))


def _cgroup(name: str) -> int | None:
    """A value of this process's cgroup (version 2); None: none, or no limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        place = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        return int(Path("/sys/fs/cgroup", place, name).read_text())
    except (OSError, ValueError, StopIteration):
        return None
