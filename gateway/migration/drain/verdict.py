"""Whether Redis is empty, and may be switched off. Pure.

`safe to switch off` is about everybody: it is said when PostgreSQL and Redis, each read for itself, hold nothing of
anybody, nothing can come any more, and nobody was seen for long who knows nothing of the gateway. What is not known
counts against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class DrainVerdict(StrEnum):
    """The state of a drain.

    `draining`: tasks are left. `blocked`: something is left that does not end by itself. `drained`: nothing is left,
    but something may still come. `safe_to_switch_off`: nothing of any tenant is left, and nothing can come.
    """

    DRAINING = "draining"
    BLOCKED = "blocked"
    """Something is left that does not end by itself."""
    DRAINED = "drained"
    """Nothing is left of this tenant (of anybody); that nothing comes any more is not certain."""
    SAFE = "safe_to_switch_off"


@dataclass(slots=True)
class Counts:
    """Tasks that are bound to Redis, each in one place."""

    queued: int = 0
    """Redis has them, or they are about to go there."""
    delayed: int = 0
    retrying: int = 0
    running: int = 0
    """On workers of the gateway's own."""
    on_legacy_workers: int = 0
    held_by_quota: int = 0
    held_by_pause: int = 0
    past_gateway: int = 0
    """Producers pushed them past the gateway, or wrote a row that nobody runs yet."""
    set_aside: int = 0
    """Payloads in Redis that are no task."""
    schedules: int = 0
    """Schedules whose next firing would go to Redis."""

    @property
    def tasks(self) -> int:
        """Without schedules."""
        everything: int = sum(getattr(self, name) for name in self.__slots__)
        return everything - self.schedules

    @property
    def is_empty(self) -> bool:
        return self.tasks == 0 and self.schedules == 0

    def add(self, other: Counts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A producer or worker that knows nothing of the gateway; `what`: a `payload` in Redis, or a `row` in task_logs."""

    tenant_id: str | None
    last_at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of everybody. `redis_payloads` None: Redis could not be read, and `redis_problem` says why.

    `watched_since`: since when the gateway looks for foreign producers without a gap; None: it does not. `elsewhere`:
    who may still be sent to Redis, or whose stage does not give it up; `doubts`: why that is not certain.
    """

    counts: Counts
    redis_payloads: int | None
    redis_problem: str | None = None
    elsewhere: Sequence[str] = ()
    doubts: Sequence[str] = ()
    sightings: Sequence[Sighting] = ()
    watched_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict; `blocked_by`: what does not end by itself; `missing`: what else is needed before Redis may go."""

    verdict: DrainVerdict
    blocked_by: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def judge(
    counts: Counts, blocked_by: Iterable[str], whole: Whole, *, everybody: bool, now: datetime, quiet: timedelta
) -> Judgement:
    """The verdict on what is left of a tenant, or of `everybody`.

    `quiet`: for so long nobody foreign must have been seen.
    """
    blocked = list(blocked_by)
    if whole.redis_problem is not None:
        blocked.append(whole.redis_problem)
    missing = _missing(whole, now, quiet)
    if blocked:
        return Judgement(DrainVerdict.BLOCKED, blocked, missing)
    if not counts.is_empty or (everybody and whole.redis_payloads):
        return Judgement(DrainVerdict.DRAINING, [], missing)
    return Judgement(DrainVerdict.DRAINED if missing else DrainVerdict.SAFE, [], missing)


def _missing(whole: Whole, now: datetime, quiet: timedelta) -> list[str]:
    """Each that stands between now and switching Redis off, as one line that says what to do."""
    found = []
    if whole.counts.tasks:
        found.append(f"{counted(whole.counts.tasks, 'task')} of all tenants left: wait for the end")
    if whole.counts.schedules:
        found.append(f"{counted(whole.counts.schedules, 'schedule')} to fire to redis: move the tenant, or pause it")
    if whole.redis_payloads is None:
        found.append("redis was not read")
    elif whole.redis_payloads and not whole.counts.tasks:
        found.append(
            f"redis holds {counted(whole.redis_payloads, 'payload')} of which postgresql counts no task:"
            " let a worker of the gateway look at them"
        )
    found += [f"{whom}: set stage complete" for whom in whole.elsewhere]
    found += [f"whether all are at stage complete is not certain: {doubt}" for doubt in whole.doubts]
    for sighting in whole.sightings:
        if now - sighting.last_at < quiet:
            whose = f"of tenant {sighting.tenant_id}" if sighting.tenant_id else "of nobody's tenant"
            what = "pushed into redis" if sighting.what == "payload" else "wrote a row into task_logs"
            found.append(
                f"a producer {whose} {what} past the gateway at {sighting.last_at:%Y-%m-%d %H:%M:%SZ}: point it at the"
                f" gateway, and wait until {sighting.last_at + quiet:%Y-%m-%d %H:%M:%SZ} ({_why(quiet)})"
            )
    if whole.watched_since is None:
        found.append("nobody looks for producers past the gateway: a gateway with TASKGATE_REDIS_URL must run")
    elif now - whole.watched_since < quiet:
        found.append(
            "producers past the gateway are looked for without a gap only since"
            f" {whole.watched_since:%Y-%m-%d %H:%M:%SZ}: wait until {whole.watched_since + quiet:%Y-%m-%d %H:%M:%SZ}"
            f" ({_why(quiet)})"
        )
    return found


def _why(quiet: timedelta) -> str:
    hours = f"{quiet.total_seconds() / 3600:g} h"
    return f"TASKGATE_DRAIN_QUIET_HOURS, {hours}: longer than a producer's longest delay plus its longest retry"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
