"""Tells LaunchDarkly how rehearsed tasks compare on the two backends, where LaunchDarkly decides about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol

from gateway.routing.flag_evaluation import FlagEvaluation
from gateway.routing.query import RouteQuery
from gateway.routing.router import Router
from gateway.routing.stages import Stage

#: Stages that rehearse.
REHEARSED: Final = (Stage.DUALWRITE, Stage.SHADOW)


class ComparisonSink(Protocol):
    """`FlagSource`, as seen here."""

    def compare(
        self,
        evaluation: FlagEvaluation,
        *,
        is_consistent: bool,
        redis: timedelta | None = None,
        temporal: timedelta | None = None,
    ) -> None: ...


class Comparisons:
    """No I/O: the SDK sends in the background."""

    def __init__(self, router: Router, flags: ComparisonSink) -> None:
        self._router = router
        self._flags = flags

    def record(
        self, query: RouteQuery, *, is_consistent: bool, redis: float | None = None, temporal: float | None = None
    ) -> None:
        """Of one task; seconds that it waited for a worker, None: unknown. Nothing for who has left these stages, or is
        there by an override.
        """
        route = self._router.route(query)
        if route.flag is not None and route.stage in REHEARSED:
            self._flags.compare(
                route.flag, is_consistent=is_consistent, redis=_duration(redis), temporal=_duration(temporal)
            )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
