"""An answer of the flag."""

from __future__ import annotations

from dataclasses import dataclass

from ldclient.migrations import OpTracker

from gateway.routing.flag_document import Json
from gateway.routing.stages import Stage


@dataclass(frozen=True, slots=True)
class FlagEvaluation:
    """What the flag says for one task.

    `known` is False when there was nothing to evaluate (no flag service, no file, no such flag): the stage is then
    `off`. `reason` is the SDK's evaluation reason. `last_known`: nobody says anything of the flag now, and it is the
    one that was in force before.
    """

    stage: Stage
    known: bool
    tracker: OpTracker | None = None
    reason: Json | None = None
    last_known: bool = False
