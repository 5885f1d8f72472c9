"""What a guardrail does about what it sees. Pure functions: whoever calls them writes down and carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from gateway.migration.command import command
from gateway.migration.guardrails.event import GuardrailEvent, Kind
from gateway.migration.guardrails.guard import COOLDOWNS, Concern, Guard, Phase
from gateway.migration.guardrails.moves import Place
from gateway.migration.guardrails.policy import Policy, Response

#: After so many automatic rollbacks a person has to unlock.
MOST_ROLLBACKS: Final = len(COOLDOWNS)
#: The concern about a regression that is not acted upon.
REGRESSION: Final = "regression"


@dataclass(frozen=True, slots=True)
class Regression:
    """A stream that the test has found to be worse than on Redis: in words, and what proves it. `part`: of yes."""

    why: str
    task_type: str = ""
    part: float = 0.0
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one look at a tenant has found.

    `notes`: what is not compared; `doubts`: why going back would not help; `crossed`: limits that are passed.
    """

    regression: Regression | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    crossed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """What concerns every tenant: the database's time; why nothing may be changed now, and why Redis takes no tasks."""

    now: datetime
    frozen: str | None = None
    redis_away: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The guardrail from now on, and what is told. `rolls_back`: `guard` is so only if the override is set with it."""

    guard: Guard
    events: tuple[GuardrailEvent, ...] = ()
    rolls_back: bool = False


def trips(guard: Guard, policy: Policy, assessment: Assessment, place: Place) -> bool:
    """Whether this tenant would be rolled back, were nothing frozen and Redis there."""
    may = policy.on_regression is Response.ROLL_BACK and not policy.dry_run and place.author is None
    return may and guard.phase is Phase.ARMED and assessment.regression is not None


def decide(guard: Guard, policy: Policy, assessment: Assessment, place: Place, world: World) -> Decision:
    """What becomes of this tenant."""
    if not guard.is_on_temporal:
        return Decision(guard)
    concerns = {name: Concern(Response.NOTIFY, why) for name, why in assessment.notes.items()}
    concerns |= {name: Concern(policy.on_threshold, why) for name, why in assessment.crossed.items()}
    concerns |= {name: Concern(Response.HOLD, why) for name, why in assessment.doubts.items()}
    evidence: Mapping[str, Any] = {}
    if assessment.regression is not None:
        evidence = assessment.regression.evidence
        obstacle = _obstacle(guard, policy, place, world)
        if obstacle is None:
            return _rolled_back(guard, assessment.regression, world.now)
        concerns[REGRESSION] = Concern(
            min(policy.on_regression, Response.HOLD, key=list(Response).index),
            f"{assessment.regression.why}; {obstacle}",
        )
    if policy.dry_run:
        concerns = {name: Concern(Response.NOTIFY, f"dry run: {one.why}") for name, one in concerns.items()}
    return _concerned(guard, concerns, evidence)


def held_back(guard: Guard, regression: Regression, obstacle: str) -> Decision:
    """A rollback that could not be carried out after all."""
    concern = Concern(Response.HOLD, f"{regression.why}; {obstacle}")
    return _concerned(guard, {**guard.concerns, REGRESSION: concern}, regression.evidence)


def overruled(author: str) -> str:
    """Why nothing is rolled back where a person's override stands."""
    return f"not rolled back, because a person has decided: {author}; clear that to let the guardrail act"


def freezes(moved: int, tripped: int) -> str | None:
    """Why everything freezes: of the tenants that moved in the last hour too many trip. One alone is no reason."""
    if tripped < 2 or tripped * 5 <= moved:
        return None
    return (
        f"{tripped} of the {moved} tenants that moved in the last hour are worse on Temporal: that is no matter of one"
        f" tenant; look, then {command('migration guardrails unfreeze')}"
    )


def _obstacle(guard: Guard, policy: Policy, place: Place, world: World) -> str | None:
    """Why a regression is not answered by a rollback."""
    if policy.on_regression is not Response.ROLL_BACK:
        return f"this guardrail is set to {policy.on_regression}"
    if policy.dry_run:
        return f"it would be rolled back to {guard.redis_stage}"
    if place.author is not None:
        return overruled(place.author)
    if guard.phase is Phase.COOLING:
        return f"not rolled back within the cooldown, which ends at {guard.cooldown_ends:%H:%M:%S} UTC"
    if world.frozen is not None:
        return "not rolled back: the guardrails are frozen"
    if world.redis_away is not None:
        return f"not rolled back: redis takes no tasks now ({world.redis_away}); bring it back, or stay on temporal"
    return None


def _rolled_back(guard: Guard, regression: Regression, now: datetime) -> Decision:
    rollbacks = guard.rollbacks + 1
    is_last = rollbacks >= MOST_ROLLBACKS
    ends = now + COOLDOWNS[min(rollbacks, MOST_ROLLBACKS) - 1]
    back = replace(
        guard,
        phase=Phase.LOCKED if is_last else Phase.ROLLED_BACK,
        rollbacks=rollbacks,
        rolled_back_at=now,
        cooldown_ends=ends,
        armed_at=None,
        since={},
        concerns={},
    )
    events = [GuardrailEvent(Kind.ROLLED_BACK, guard.tenant_id, regression.why, evidence=regression.evidence)]
    if is_last:
        until = command("migration guardrails unlock", tenant=guard.tenant_id)
        why = f"rolled back {rollbacks} times: locked until a person has looked ({until})"
        events.append(GuardrailEvent(Kind.LOCKED, guard.tenant_id, why))
    return Decision(back, tuple(events), rolls_back=True)


def _concerned(guard: Guard, concerns: dict[str, Concern], evidence: Mapping[str, Any]) -> Decision:
    """Each concern is told when it comes and when it is over; figures that grow in it are no news."""
    before = guard.concerns
    events = []
    for name, one in concerns.items():
        old = before.get(name)
        if (
            old is not None
            and old.response is one.response
            and (name != REGRESSION or _obstacle_of(old) == _obstacle_of(one))
        ):
            concerns[name] = old
            continue
        kind = Kind.NOTIFIED if one.response is Response.NOTIFY else Kind.HELD
        events.append(GuardrailEvent(kind, guard.tenant_id, one.why, evidence=evidence if name == REGRESSION else {}))
    events += [
        GuardrailEvent(Kind.CLEARED, guard.tenant_id, f"over: {one.why}")
        for name, one in before.items()
        if name not in concerns
    ]
    if concerns == before:
        return Decision(guard)
    return Decision(replace(guard, concerns=concerns), tuple(events))


def _obstacle_of(concern: Concern) -> str:
    return concern.why.partition("; ")[2]
