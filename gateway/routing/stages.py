"""The six stages of the migration flag, and what each means for a tenant's tasks.

Pure functions only; the names are LaunchDarkly's migration stages.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

#: Names that stand in `dispatch.backend`.
REDIS: Final = "redis"
TEMPORAL: Final = "temporal"


class Stage(StrEnum):
    """Migration stage, in the order of the move: from the Redis queue (`off`) to Temporal (`complete`)."""

    OFF = "off"
    DUALWRITE = "dualwrite"
    SHADOW = "shadow"
    LIVE = "live"
    RAMPDOWN = "rampdown"
    COMPLETE = "complete"

    @classmethod
    def parse(cls, text: str) -> Stage:
        """The stage of that name, in any spelling of case. Raises `ValueError` with a message that lists the stages."""
        try:
            return cls(text.strip().lower())
        except ValueError:
            raise ValueError(f"{text!r} is not a stage; the stages are {', '.join(cls)}") from None


_EFFECTIVE: Final = {
    Stage.OFF: Stage.OFF,
    Stage.DUALWRITE: Stage.OFF,
    Stage.SHADOW: Stage.OFF,
    Stage.LIVE: Stage.LIVE,
    Stage.RAMPDOWN: Stage.RAMPDOWN,
    Stage.COMPLETE: Stage.COMPLETE,
}


def effective(stage: Stage) -> Stage:
    """The stage whose behaviour is carried out.

    `dualwrite` and `shadow` route as `off`, and rehearse beside it (`gateway.migration.rehearsal`).
    """
    return _EFFECTIVE[stage]


def backend_of(stage: Stage) -> str:
    """The backend that a task which becomes due now is started on."""
    return REDIS if effective(stage) is Stage.OFF else TEMPORAL


def allows_redis(stage: Stage) -> bool:
    """Whether Redis may be contacted for the tenant at all; at `complete` it may be switched off."""
    return effective(stage) is not Stage.COMPLETE


def allows_temporal(stage: Stage) -> bool:
    """Whether Temporal may be contacted for the tenant's new tasks; at `off` it need not exist."""
    return effective(stage) is not Stage.OFF


def allows(stage: Stage, backend: str) -> bool:
    """Whether a task of the tenant may be started on this backend when somebody asks for it."""
    return allows_redis(stage) if backend == REDIS else allows_temporal(stage)


def meaning(stage: Stage) -> str:
    """One line for operators: where new tasks run, and what becomes of those queued in Redis."""
    return _MEANING[stage]


_MEANING: Final = {
    Stage.OFF: "new tasks run on Redis",
    Stage.DUALWRITE: "new tasks run on Redis; their starts on Temporal are compiled and checked",
    Stage.SHADOW: "new tasks run on Redis; as dualwrite, and some are probed on Temporal's workers",
    Stage.LIVE: "new tasks run on Temporal; tasks already queued in Redis run to their end there",
    Stage.RAMPDOWN: "new tasks run on Temporal; tasks queued in Redis that nobody has begun move there",
    Stage.COMPLETE: "new tasks run on Temporal; Redis is not contacted and may be down",
}
