"""The flag as it would be after a proposed change. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.migration.plans.shares import left_alone, standing
from gateway.migration.plans.validation import Checked
from gateway.migration.preview.errors import PreviewRefused
from gateway.migration.preview.requests import ProposedChange
from gateway.routing.errors import FlagChangeRefused
from gateway.routing.flag_document import Json
from gateway.routing.flag_edit import with_rollout, with_stage, with_stages
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

#: Who is first in a percentage is drawn by chance when it is set; here by this number.
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One change: of the stages of tenants, of a percentage of the default, or of a scope.

    `is_named`: the tenants were named, and are also moved backwards.
    """

    title: str
    stage: Stage
    tenants: Sequence[str] | None = None
    is_named: bool = False
    percent: float | None = None
    unit: str = "task"
    scope: Scope = field(default_factory=Scope)


def steps_of(asked: ProposedChange) -> list[Step]:
    """The one step of a change that is no plan."""
    assert asked.stage is not None
    stage, scope = Stage(asked.stage), Scope(asked.tenant_id, asked.project_id, asked.task_type)
    if asked.percent is not None:
        title = f"{asked.percent:g} % of {'tenants' if asked.unit == 'tenant' else 'tasks'}"
        return [Step(title, stage, percent=asked.percent, unit=asked.unit)]
    return [Step(str(scope), stage, scope=scope)]


def steps_of_plan(checked: Checked) -> list[Step]:
    """One step for each wave."""
    plan = checked.plan
    return [
        Step(plan.title_of(number), Stage(plan.stage_of(number)), percent=wave.tasks_percent)
        if wave.tasks_percent is not None
        else Step(plan.title_of(number), Stage(plan.stage_of(number)), tenants, is_named=wave.tenants is not None)
        for number, (wave, tenants) in enumerate(zip(plan.waves, checked.waves, strict=True))
    ]


def is_drawn(flag: Json, steps: Collection[Step]) -> bool:
    """Whether chance will decide, when a percentage is set, who is first in it."""
    has_seed = (flag.get("fallthrough") or {}).get("rollout") is not None
    return not has_seed and any(step.percent not in (None, 0, 100) for step in steps)


def apply(flag: Json, step: Step) -> tuple[Json, frozenset[str] | None]:
    """The flag after it, and the tenants whose stage it sets; None: it may concern anybody. Raises `PreviewRefused`."""
    if step.tenants is not None:
        settings = standing(flag)
        names = [one for one in step.tenants if not left_alone(settings, one, step.stage, is_named=step.is_named)]
        return with_stages(flag, {Scope(one): step.stage for one in names}), frozenset(names)
    try:
        if step.percent == 100:
            return with_stage(flag, Scope(), step.stage), None
        if step.percent is not None:
            return with_rollout(flag, step.stage, step.percent, by=step.unit, seed=_SEED), None
    except FlagChangeRefused as error:
        raise PreviewRefused(f"{step.title}: {error.message}") from None
    return with_stage(flag, step.scope, step.stage), None
