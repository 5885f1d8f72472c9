"""Waves that move a percentage of everybody's tasks: the flag's default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.migration.command import command
from gateway.migration.flags.errors import StageChangeRefused
from gateway.migration.flags.recording import Also
from gateway.migration.plans.document import Plan
from gateway.migration.plans.progress import Progress, check_unchanged, put
from gateway.migration.stages.requests import SetRollout, SetStage
from gateway.migration.stages.service import StageService
from gateway.routing.flag_document import FULL_WEIGHT, OFF_VARIATION, Json, default_weights
from gateway.routing.flag_edit import settings_of
from gateway.routing.flag_text import default_unit, describe_default
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database, type_Connection

_ORDER: Final = tuple(Stage)
_END_IT: Final = "end that first (taskgate flags set --default)"


class Shares:
    """As `WaveMover`, also what it raises."""

    def __init__(self, database: Database, stages: StageService) -> None:
        self._db = database
        self._stages = stages

    async def is_moved(self, progress: Progress, plan: Plan) -> bool:
        """Whether the percentage of the wave is moved, or others moved more."""
        _, flag = await self._flag()
        share = {"stage": plan.stage_of(progress.wave), "percent": plan.waves[progress.wave].tasks_percent}
        return _says(flag, share) or _gives(flag, share)

    async def move(self, progress: Progress, plan: Plan) -> bool:
        """Move the percentage of the wave; False: it is moved."""
        percent, stage = plan.waves[progress.wave].tasks_percent, plan.stage_of(progress.wave)
        assert percent is not None
        version, flag = await self._flag()
        if (said := share_taken_back(progress, flag)) is not None:
            raise StageChangeRefused(said)
        share = {"stage": stage, "percent": percent}
        if _says(flag, share):
            if progress.share_after is not None and len(progress.share_after) > 1:
                async with self._db.transaction() as db:
                    await put(db, replace(progress, share_after=[share]))
                return True
            return False
        if _gives(flag, share):
            return False
        if progress.share_before is None:
            async with self._db.transaction() as db:
                await put(db, replace(progress, share_before=_share(flag, stage)))
            return True
        # Where the ledger is written first, the flag may stay as it is now.
        present = [one for one in progress.share_after or [progress.share_before] if _says(flag, one)]
        after = replace(progress, share_after=[share] if self._stages.is_one_transaction else [*present, share])

        async def also(db: type_Connection) -> None:
            await put(db, after)

        why = f"plan {progress.name}, {plan.title_of(progress.wave)}: {plan.why}"
        await self._put(progress, share, why, version, also)
        return True

    async def take_back(self, progress: Progress, why: str) -> bool:
        """Put the default where it was; False: it is there, or others changed it since."""
        if progress.share_before is None or progress.share_after is None:
            return False
        version, flag = await self._flag()
        is_ours = any(_says(flag, one) for one in progress.share_after)
        if not is_ours or _says(flag, progress.share_before):
            return False
        await self._put(
            progress, progress.share_before, why, version, lambda db: check_unchanged(db, progress), is_back=True
        )
        return True

    async def _put(
        self, progress: Progress, share: Any, why: str, version: int, also: Also, *, is_back: bool = False
    ) -> None:
        who = progress.started_by or progress.created_by
        common = {"why": why[:1000], "based_on": version, "stage": share["stage"]}
        if share["percent"] == 100:
            await self._stages.set(who, SetStage.model_validate({**common, "everything": True}), also, is_back=is_back)
        else:
            asked = SetRollout.model_validate({**common, "percent": share["percent"], "unit": "task"})
            others = None if share.get("others") is None else Stage(share["others"])
            await self._stages.roll_out(who, asked, also, is_back=is_back, others=others)

    async def _flag(self) -> tuple[int, Json]:
        version, document = await self._stages.document()
        return version, document["flags"][self._stages.flag_key]


def standing(flag: Json) -> dict[Scope, Stage]:
    """What is set in the flag, and below `Scope()` the default where it is one stage for all."""
    variation = (flag.get("fallthrough") or {}).get("variation")
    default = {} if variation is None else {Scope(): Stage(flag["variations"][variation])}
    return {**default, **settings_of(flag)}


def off_stage(flag: Json) -> Stage:
    """What everybody is at while the flag is switched off."""
    variation = flag.get(OFF_VARIATION)
    return Stage.OFF if variation is None else Stage(flag["variations"][variation])


def share_taken_back(progress: Progress, flag: Json) -> str | None:
    """That somebody else changed the default since the plan set it, and how to set it again."""
    if progress.share_after is None or any(_says(flag, one) for one in progress.share_after):
        return None
    stage, percent = progress.share_after[-1]["stage"], progress.share_after[-1]["percent"]
    if percent == 100:
        put, again = stage, command("flags set", default=True, stage=stage)
    else:
        put = f"{percent:g} % of tasks at {stage}"
        again = command("flags rollout", stage=stage, percent=percent, by_task=True)
    what = f"the default of the flag is {describe_default(flag)}, where the plan put {put}"
    return f"{what}: {again}"


def default_before(progress: Progress, flag: Json) -> Stage | None:
    """The stage at which tenants without one of their own were before the plan; None: a percentage, or not known.

    A default that the plan set itself is not where they were.
    """
    before = progress.share_before
    if before is None or not any(_says(flag, one) for one in progress.share_after or ()):
        return standing(flag).get(Scope())
    return Stage(before["stage"]) if before["percent"] == 100 else None


def is_further(one: Stage | None, other: Stage) -> bool:
    """Whether it comes later in the move; None is nowhere."""
    return one is not None and _ORDER.index(one) > _ORDER.index(other)


def left_alone(settings: Mapping[Scope, Stage], tenant: str, stage: Stage, *, is_named: bool) -> bool:
    """Whether a wave does not move it: it stands there already, or further and the wave names no tenants.

    `settings` as of `standing`.
    """
    own = settings.get(Scope(tenant))
    return own is stage or (not is_named and is_further(own or settings.get(Scope()), stage))


def _says(flag: Json, share: Mapping[str, Any]) -> bool:
    """Whether the default is this share."""
    weights, weight = default_weights(flag), _weight(share)
    if default_unit(flag) is None:
        return weight == FULL_WEIGHT and weights.get(share["stage"]) == weight
    # What was written before there was `others` does not name them.
    is_between = share.get("others") is None or share["others"] in weights
    return default_unit(flag) == "task" and is_between and weights.get(share["stage"]) == weight


def _gives(flag: Json, share: Mapping[str, Any]) -> bool:
    """Whether the default gives so many tasks this stage, or a later one."""
    stage = Stage(share["stage"])
    given = sum(weight for one, weight in default_weights(flag).items() if one is stage or is_further(one, stage))
    return default_unit(flag) in (None, "task") and given >= _weight(share)


def _weight(share: Mapping[str, Any]) -> int:
    percent: float = share["percent"]
    return round(percent * FULL_WEIGHT / 100)


def _share(flag: Json, stage: str) -> dict[str, Any]:
    """The default as a stage for all, or as a percentage of tasks at this stage, with the stage of the others."""
    weights = default_weights(flag)
    if default_unit(flag) is None:
        return {"stage": str(next(iter(weights))), "percent": 100}
    if default_unit(flag) != "task":
        raise StageChangeRefused(f"the default is a percentage of tenants: {_END_IT}")
    if stage not in weights:
        raise StageChangeRefused(f"the default is a percentage between {' and '.join(weights)}: {_END_IT}")
    others = [str(one) for one in weights if one != stage]
    share = {"stage": stage, "percent": round(100 * weights[Stage(stage)] / FULL_WEIGHT, 3)}
    return {**share, "others": others[0]} if len(others) == 1 else share
