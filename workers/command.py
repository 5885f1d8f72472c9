"""`taskgate worker`: worker processes under one supervisor."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.fleet.pools import BACKEND_OF_POOL

if TYPE_CHECKING:
    from gateway.settings import Settings

Backend = Annotated[str | None, typer.Option(help="Backend whose tasks to run: redis or temporal (all of its queues)")]
Pool = Annotated[
    str | None,
    typer.Option(help="A (enterprise tenants), B (VIP tenants), C (the shared queues of standard tenants) or redis"),
]
Slots = Annotated[
    str | None,
    typer.Option(
        help="Tasks at once in a process, or 'auto': as memory and processors allow, at most TASKGATE_WORKER_SLOTS"
    ),
]


def worker(
    backend: Backend = None,
    pool: Pool = None,
    slots: Slots = None,
    processes: Annotated[int, typer.Option(min=1, max=1000, help="Worker processes")] = 1,
) -> None:
    """Run tasks: worker processes under a supervisor.

    SIGTERM drains and ends, SIGHUP replaces the processes one after the other. A process that dies is replaced.
    """
    # Here, because every `taskgate` command imports this module.
    from gateway.settings import read_settings
    from workers.slots import slots_of

    settings = read_settings()
    try:
        slots_of(slots or str(settings.worker_slots), settings.worker_slots)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--slots") from None
    backend = _backend(backend, pool)
    address = settings.redis_url if backend == "redis" else settings.temporal_address
    if not address:
        name = "TASKGATE_REDIS_URL" if backend == "redis" else "TASKGATE_TEMPORAL_ADDRESS"
        raise typer.BadParameter(f"{name} is not set: there is nothing to take tasks from")
    if settings.ready_file is not None:  # as the supervisor does; the check before it takes a while
        settings.ready_file.unlink(missing_ok=True)
    asyncio.run(_check(settings))
    # -P: the current folder must not hide our packages; plug-ins are still found there.
    own = [sys.executable, "-P", "-m", "workers.main", "--backend", backend]
    own += ["--pool", pool] if pool else []
    own += ["--slots", slots] if slots else []
    supervisor = [
        *(sys.executable, "-P", "-m", "workers.supervisor"),
        *("--processes", str(processes)),
        *("--drain", str(settings.worker_drain_seconds)),
        *("--memory", str(settings.worker_memory_mb << 20)),
        *("--log-level", settings.log_level),
        *("--log-format", settings.log_format),
        *(("--ready-file", str(settings.ready_file)) if settings.ready_file else ()),
    ]
    # Replaces this process, which has loaded far more than a supervisor needs.
    os.execv(sys.executable, [*supervisor, "--", *own])


async def _check(settings: Settings) -> None:
    """Raises `DatabaseUnfit`."""
    from gateway.recovery.mark import check_mark
    from gateway.storage.preflight import check_database

    await check_database(settings.database_url)
    await check_mark(settings)


def _backend(backend: str | None, pool: str | None) -> str:
    if pool is not None and pool not in BACKEND_OF_POOL:
        raise typer.BadParameter(
            f"there is no pool {pool!r}; there are {', '.join(BACKEND_OF_POOL)}", param_hint="--pool"
        )
    chosen = backend or BACKEND_OF_POOL.get(pool or "")
    if chosen not in ("redis", "temporal"):
        raise typer.BadParameter("name a backend, 'redis' or 'temporal', or a pool", param_hint="--backend")
    if pool is not None and BACKEND_OF_POOL[pool] != chosen:
        raise typer.BadParameter(f"pool {pool} runs tasks of {BACKEND_OF_POOL[pool]}", param_hint="--pool")
    return chosen
