"""The task systems that are compared: how a worker is started, and what each of them keeps its tasks in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).with_name("peers")
LEGACY_WORKER = CHECKOUT / "contract-tests" / "legacy" / "worker.py"
PEERS = "requirements"


@dataclass(frozen=True)
class System:
    """One task system. `worker` is its command line, `{bin}` the environment's programs; `module` sends its tasks.

    `recovery` says what its documentation says of a killed worker's tasks.
    """

    name: str
    module: str
    worker: tuple[str, ...]
    store: str
    recovery: str = ""
    lock: str = ""
    """The peer's environment; empty for what runs in ours."""
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


_LEGACY = ("{python}", str(LEGACY_WORKER), "--redis", "{redis}", "--database", "{database}", "--handlers", "legacy_app")

SYSTEMS = {
    system.name: system
    for system in (
        System("temporal", "gateway_app", ("{bin}/taskgate", "worker", "--backend", "temporal"), "PostgreSQL"),
        System("redis", "gateway_app", ("{bin}/taskgate", "worker", "--backend", "redis"), "PostgreSQL, Redis"),
        System("sdk", "sdk_app", ("{python}", "sdk_app.py"), "PostgreSQL", "heartbeat timeout, here 10 s"),
        System("legacy", "legacy_app", _LEGACY, "Redis", "a loop every 60 s looks for tasks older than their timeout"),
        System("arq", "arq_app", ("{bin}/arq", "arq_app.WorkerSettings"), "Redis", "job timeout + 10 s: 310 s", PEERS),
        System(
            "taskiq",
            "taskiq_app",
            ("{bin}/taskiq", "worker", "taskiq_app:broker", "--workers", "1", "--max-async-tasks", "20"),
            "Redis",
            "idle timeout: 600 s",
            "requirements-taskiq",
        ),
        System(
            "celery",
            "celery_app",
            ("{bin}/celery", "-A", "celery_app", "worker", "--concurrency", "20", "--loglevel", "warning"),
            "Redis",
            "visibility timeout: 3600 s",
            PEERS,
        ),
        System(
            "dramatiq",
            "dramatiq_app",
            ("{bin}/dramatiq", "dramatiq_app", "--processes", "1", "--threads", "20"),
            "Redis",
            "heartbeat timeout 60 s, then maintenance by chance (1 in 1000 commands)",
            PEERS,
        ),
        System(
            "procrastinate",
            "procrastinate_app",
            ("{bin}/procrastinate", "--app", "procrastinate_app.app", "worker", "--concurrency", "20"),
            "PostgreSQL",
            "heartbeat 30 s, then a periodic task of the user's (documented: every 10 min; here: every minute)",
            PEERS,
            ("{bin}/procrastinate", "--app", "procrastinate_app.app", "schema", "--apply"),
        ),
        System(
            "dbos",
            "dbos_app",
            ("{python}", "dbos_app.py"),
            "PostgreSQL",
            "only when a worker of the same executor id starts again, or by its Conductor service",
            PEERS,
            ("{bin}/dbos", "migrate", "--sys-db-url", "{database}"),
        ),
    )
}
