"""Plain limits: how old the oldest waiting task is, dead letters and lost workers a minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.migration.guardrails.store import SQL
from gateway.storage.database import Database

QUEUE_AGE: Final = "queue_age_seconds"
_TEXTS: Final = {
    QUEUE_AGE: "the oldest task that nobody has begun waits {value:.0f} s (limit {limit:g} s)",
    "dead_letters_per_minute": "{value:.0f} dead letters in the last minute (limit {limit:g})",
    "worker_losses_per_minute": "{value:.0f} runs lost their worker in the last minute (limit {limit:g})",
}


async def crossed(
    db: Database, limits: Mapping[str, Mapping[str, float]], in_a_minute: Mapping[str, tuple[int, int]]
) -> dict[str, dict[str, str]]:
    """The limits that are passed, in words, by tenant. `in_a_minute`: dead letters and lost workers.

    Raises `DatabaseUnavailable`.
    """
    aged = [tenant_id for tenant_id, its in limits.items() if QUEUE_AGE in its]
    ages = {row["tenant_id"]: row["seconds"] for row in await db.fetch(SQL.queue_ages, aged)} if aged else {}
    found: dict[str, dict[str, str]] = {}
    for tenant_id, its in limits.items():
        dead, lost = in_a_minute.get(tenant_id, (0, 0))
        values = {
            QUEUE_AGE: ages.get(tenant_id) or 0.0,
            "dead_letters_per_minute": dead,
            "worker_losses_per_minute": lost,
        }
        over = {name: values[name] for name, limit in its.items() if values[name] > limit}
        if over:
            found[tenant_id] = {name: _TEXTS[name].format(value=value, limit=its[name]) for name, value in over.items()}
    return found
