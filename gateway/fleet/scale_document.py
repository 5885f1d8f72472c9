"""Signals as JSON, and back: the endpoint, the plan and autoscalers read the same document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.fleet.signals import Load, PoolSignal, Signals

_LOAD = (
    *("backlog", "oldest_seconds", "running", "on_legacy_workers", "arrivals_per_second", "completions_per_second"),
    *("run_seconds", "past_gateway", "past_gateway_at"),
)


def document(signals: Signals) -> dict[str, Any]:
    """What `GET /gateway/v1/scale` answers."""
    return {
        "at": signals.at,
        "window_seconds": signals.window_seconds,
        "signals": [
            {"backend": one.backend, "pool": one.pool, "tier": one.tier.value, **_load(one.load)}
            for one in signals.signals
        ],
        "pools": [
            {"pool": one.pool, "backend": one.backend, "workers": one.workers, "slots": one.slots, **_load(one.load)}
            for one in signals.pools
        ],
    }


def pools_of(answer: dict[str, Any]) -> tuple[PoolSignal, ...]:
    """The pools of such a document."""
    return tuple(
        PoolSignal(
            one["pool"], one["backend"], one["workers"], one["slots"], Load(**{name: one[name] for name in _LOAD})
        )
        for one in answer["pools"]
    )


def _load(load: Load) -> dict[str, Any]:
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(load).items()}
    return {**rounded, "demand": load.demand}
