"""What a change of routing does to a guardrail. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from gateway.migration.guardrails.event import GuardrailEvent, Kind
from gateway.migration.guardrails.guard import COOLDOWNS, Concern, Guard, Phase
from gateway.migration.guardrails.policy import Response
from gateway.routing.stages import REDIS, Stage, backend_of

#: The concern about a tenant that was moved although it is locked.
LOCKED: Final = "locked"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tenant's new tasks go now. `entry_id` and `at`: the ledger's entry that said so; `author` set an override
    ("override for tenant acme by ada: reason"), None: the flag decides; `is_ours`: the override is a guardrail's."""

    stage: Stage
    entry_id: int | None = None
    at: datetime | None = None
    author: str | None = None
    is_ours: bool = False

    @property
    def is_on_redis(self) -> bool:
        return backend_of(self.stage) == REDIS


def moved(guard: Guard, place: Place, now: datetime, since: Mapping[str, Any]) -> tuple[Guard, list[GuardrailEvent]]:
    """The guardrail of a tenant that stands here now. `since`: what was counted on Temporal until now."""
    if place.is_on_redis:
        return _on_redis(guard, place)
    if guard.is_on_temporal:
        return guard, []
    forward = replace(guard, entry_id=place.entry_id, moved_at=place.at or now, concerns={})
    match guard.phase:
        case Phase.ROLLED_BACK if guard.cooldown_ends is not None and now < guard.cooldown_ends:
            why = (
                f"moved forward to {place.stage} within the cooldown: armed again at {guard.cooldown_ends:%H:%M:%S} UTC"
            )
            return replace(forward, phase=Phase.COOLING), [GuardrailEvent(Kind.COOLING, guard.tenant_id, why)]
        case Phase.LOCKED:
            return _moved_while_locked(guard, place)
        case _:
            return arm(forward, now, since, f"moved forward to {place.stage}")


def cooled(guard: Guard, now: datetime, since: Mapping[str, Any]) -> tuple[Guard, list[GuardrailEvent]]:
    """The guardrail once its cooldown is over."""
    if guard.phase is not Phase.COOLING or (guard.cooldown_ends is not None and now < guard.cooldown_ends):
        return guard, []
    return arm(guard, now, since, "the cooldown is over")


def arm(guard: Guard, now: datetime, since: Mapping[str, Any], why: str) -> tuple[Guard, list[GuardrailEvent]]:
    """What is counted from now on decides."""
    armed = replace(guard, phase=Phase.ARMED, armed_at=now, since=since, concerns={})
    return armed, [GuardrailEvent(Kind.ARMED, guard.tenant_id, f"armed: {why}")]


def unlocked(guard: Guard) -> Guard:
    """A person has looked: rollbacks are counted from none, without a cooldown. It is armed if the tenant is moved."""
    return replace(guard, rollbacks=0, cooldown_ends=None, concerns={}, phase=Phase.RESTING)


def _moved_while_locked(guard: Guard, place: Place) -> tuple[Guard, list[GuardrailEvent]]:
    why = f"moved forward to {place.stage} while it is locked: nothing is watched before it is unlocked"
    if LOCKED in guard.concerns:
        return guard, []
    told = replace(guard, concerns={LOCKED: Concern(Response.HOLD, why)})
    return told, [GuardrailEvent(Kind.HELD, guard.tenant_id, why)]


def _on_redis(guard: Guard, place: Place) -> tuple[Guard, list[GuardrailEvent]]:
    if place.is_ours:
        phase = Phase.LOCKED if guard.rollbacks >= len(COOLDOWNS) else Phase.ROLLED_BACK
        return (replace(guard, phase=phase, concerns={}) if guard.is_on_temporal else guard), []
    here = replace(guard, redis_stage=place.stage)
    match guard.phase:
        case Phase.COOLING:
            why = f"moved back to {place.stage} by hand"
            return replace(here, phase=Phase.ROLLED_BACK, concerns={}), [
                GuardrailEvent(Kind.RESTED, guard.tenant_id, why)
            ]
        case Phase.ARMED:
            why = f"moved back to {place.stage} by hand: nothing is watched"
            resting = replace(here, phase=Phase.RESTING, concerns={}, armed_at=None, since={})
            return resting, [GuardrailEvent(Kind.RESTED, guard.tenant_id, why)]
        case _:
            return here, []
