"""What a move of tenants needs: the door of the stages, and what tells of them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.bootstrap.dependencies import Dependencies
from gateway.migration.flag_stores import build_store
from gateway.migration.stage_watch import StageWatch
from gateway.migration.stages import Stages


@dataclass(frozen=True)
class MigrationParts:
    """The door, and the watch of what is in force."""

    stages: Stages
    stage_watch: StageWatch


def build_migration(dependencies: Dependencies) -> MigrationParts:
    settings, database, flags = dependencies.settings, dependencies.database, dependencies.flags
    stages = Stages(
        database,
        build_store(settings, database, flags),
        settings.flag_key,
        flags.owner,
        configured=frozenset(dependencies.engines),
        problems=dependencies.router.problems,
    )
    return MigrationParts(stages, StageWatch(flags, dependencies.overrides, dependencies.router))
