"""The meaning of a plan: who is in which wave, and what can never come true. Pure functions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.access.placement import Tier
from gateway.dags.document import Document
from gateway.dags.errors import Fault
from gateway.migration.command import command
from gateway.migration.plans.calendar import clock_changes, is_ever_open
from gateway.migration.plans.document import Plan, Wave
from gateway.migration.plans.errors import PlanInvalid
from gateway.routing.stages import REDIS, Stage, backend_of


@dataclass(frozen=True, slots=True)
class World:
    """What a plan is checked against. `taken`: tenants of other plans that are under way, and the plan of each;
    `sharing`: a plan under way that moves a percentage of everybody's tasks; `over`: plans among those of `taken` that
    are over, and whose overrides still stand in for the flag."""

    now: datetime
    tiers: Mapping[str, Tier]
    taken: Mapping[str, str]
    sharing: str | None = None
    over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Checked:
    """The tenants of each wave, in the order in which they move; none for a percentage of tasks."""

    plan: Plan
    waves: list[list[str]]
    notes: list[str]


def check_plan(document: Document, plan: Plan, world: World) -> Checked:
    """Raises `PlanInvalid` with every fault and its place."""
    faults = [*_calendar_faults(document, plan, world), *_gate_faults(document, plan)]
    waves = _resolve(document, plan, world, faults)
    for number, tenants in enumerate(waves):
        for other, whom in _rivals(plan.waves[number], tenants, world).items():
            abort = command("migration plan abort", other)
            message = f"plan {other} is under way and {whom}: end it first ({abort})"
            if other in world.over:
                message = f"plan {other} is over, but by overrides it still {whom}: wait until the flag can be changed"
            faults.append(document.fault("taken", f"/waves/{number}", message))
    if faults:
        raise PlanInvalid(faults)
    return Checked(plan, waves, clock_changes(plan, world.now))


def _rivals(wave: Wave, tenants: list[str], world: World) -> dict[str, str]:
    """Plans under way that move the same, and whom."""
    rivals: dict[str, list[str]] = {}
    for tenant in tenants:
        if tenant in world.taken:
            rivals.setdefault(world.taken[tenant], []).append(tenant)
    found = {plan: f"moves {', '.join(names[:5])}, too" for plan, names in rivals.items()}
    if wave.tasks_percent is not None and world.sharing is not None:
        found[world.sharing] = "moves a percentage of everybody's tasks, too"
    return found


def _resolve(document: Document, plan: Plan, world: World, faults: list[Fault]) -> list[list[str]]:
    named = _named(document, plan, world, faults)
    rest = sorted((one for one in world.tiers if one not in named), key=lambda one: _turn(plan, one))
    claimed: set[str] = set()
    shares, shared = 0.0, ""
    waves: list[list[str]] = []
    for number, wave in enumerate(plan.waves):
        place = f"/waves/{number}"
        if wave.tenants is not None:
            waves.append([one for one in dict.fromkeys(wave.tenants) if one in world.tiers])
            continue
        if wave.tasks_percent is not None:
            if wave.tasks_percent <= shares:
                message = f"an earlier wave moves {shares:g} % of the tasks already"
                faults.append(document.fault("overlap", f"{place}/tasks_percent", message))
            elif wave.tasks_percent < 100 and shared not in ("", plan.stage_of(number)):
                message = (
                    f"earlier waves move a percentage of the tasks to {shared}, and there can be only one such stage:"
                    f" move this one to {shared}, too, or all (100) to {plan.stage_of(number)}"
                )
                faults.append(document.fault("overlap", f"{place}/tasks_percent", message))
            shares, shared = wave.tasks_percent, plan.stage_of(number)
            waves.append([])
            continue
        tenants = _share(wave, [one for one in rest if wave.tier in (None, world.tiers[one])], claimed)
        if not tenants:
            message = "nobody is left for this wave: earlier waves take all of these tenants, or there are none"
            faults.append(document.fault("overlap" if claimed or named else "nobody", place, message))
        claimed.update(tenants)
        waves.append(tenants)
    return waves


def _named(document: Document, plan: Plan, world: World, faults: list[Fault]) -> set[str]:
    first: dict[str, int] = {}
    for number, wave in enumerate(plan.waves):
        for index, tenant in enumerate(wave.tenants or ()):
            place = f"/waves/{number}/tenants/{index}"
            if tenant not in world.tiers:
                faults.append(document.fault("unknown_tenant", place, f"there is no tenant {tenant!r}"))
            elif tenant in first:
                message = f"{tenant} is in {plan.title_of(first[tenant])} already: a tenant moves once in a plan"
                faults.append(document.fault("overlap", place, message))
            first.setdefault(tenant, number)
    return set(first)


def _share(wave: Wave, pool: list[str], claimed: set[str]) -> list[str]:
    """A percentage counts those of the pool that earlier waves took."""
    wanted = math.ceil(len(pool) * (wave.percent or 100.0) / 100) - sum(one in claimed for one in pool)
    return [one for one in pool if one not in claimed][: max(wanted, 0)]


def _turn(plan: Plan, tenant: str) -> bytes:
    """An order that is the same on every gateway and favours nobody."""
    return hashlib.sha256(f"{plan.name}/{tenant}".encode()).digest()


def _gate_faults(document: Document, plan: Plan) -> list[Fault]:
    """Gates that can never pass."""
    faults = []
    for number, wave in enumerate(plan.waves):
        gates, stage = plan.gates_of(number), Stage(plan.stage_of(number))
        whose = f"/waves/{number}/gates" if wave.gates is not None else "/gates"
        for name in ("parity", "drain"):
            if not getattr(gates, name):
                continue
            message = None
            if backend_of(stage) == REDIS:
                message = f"at stage {stage} tasks run on Redis, so {name} can never pass ({plan.title_of(number)})"
            elif name == "parity" and stage is Stage.COMPLETE:
                message = (
                    "parity compares a move from Redis to Temporal, which is over at complete, so it can never pass"
                    f" ({plan.title_of(number)}): ask for drain"
                )
            elif wave.tasks_percent is not None:
                message = f"a percentage of tasks names no tenants to ask for {name}; its guardrails watch it"
            if message is not None:
                faults.append(document.fault("impossible_gate", f"{whose}/{name}", message))
    return faults


def _calendar_faults(document: Document, plan: Plan, world: World) -> list[Fault]:
    faults = []
    for number, window in enumerate(plan.windows):
        if window.begins == window.ends:
            message = "a window that ends when it begins is never open; leave it out, or end it a minute before"
            faults.append(document.fault("impossible_gate", f"/windows/{number}", message))
    for number, freeze in enumerate(plan.freeze):
        if freeze.to < freeze.from_:
            message = f"it ends on {freeze.to}, before it begins"
            faults.append(document.fault("impossible_gate", f"/freeze/{number}/to", message))
    if not faults and not is_ever_open(plan, world.now):
        message = "within a year there is no time that is inside of a window and not frozen"
        faults.append(document.fault("impossible_gate", "/windows" if plan.windows else "/freeze", message))
    return faults
