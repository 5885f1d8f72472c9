"""The leader's look at every guardrail, each second (docs/guardrails.md)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backends.errors import EngineError, TaskgateError
from backends.port import WorkflowEnginePort
from gateway.audit.errors import LedgerUnwritable
from gateway.migration.guardrails.counting import Counting
from gateway.migration.guardrails.decision import (
    Assessment,
    Decision,
    Regression,
    World,
    decide,
    freezes,
    held_back,
    overruled,
    trips,
)
from gateway.migration.guardrails.event import GuardrailEvent
from gateway.migration.guardrails.guard import Guard, Phase
from gateway.migration.guardrails.moves import Place, cooled, moved
from gateway.migration.guardrails.places import AUTHOR, Places
from gateway.migration.guardrails.policy import Policy
from gateway.migration.guardrails.rollback import Overruled, freeze, roll_back, write_down
from gateway.migration.guardrails.steady_clock import SteadyClock
from gateway.migration.guardrails.store import SQL, GuardChanged, Policies, guard_of
from gateway.migration.guardrails.thresholds import crossed
from gateway.migration.guardrails.webhook import Webhook
from gateway.recovery.fenced_database import FencedDatabase

log = logging.getLogger(__name__)

#: Pause between two looks (seconds).
LOOK_SECONDS: Final = 1.0
#: What counts as just moved, when it is asked whether everything freezes.
JUST: Final = timedelta(hours=1)
#: How long Redis may take to say that it is there (seconds).
ANSWER_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Look:
    """One tenant, this second."""

    guard: Guard
    policy: Policy
    assessment: Assessment

    def decide(self, evaluator: Evaluator, world: World) -> Decision:
        return decide(self.guard, self.policy, self.assessment, evaluator.places.of(self.guard.tenant_id), world)


class Evaluator:
    """A job of the leader: all that it writes carries its term. `redis` None: it is not configured here."""

    def __init__(
        self,
        database: FencedDatabase,
        counting: Counting,
        places: Places,
        redis: WorkflowEnginePort | None,
        *,
        webhook: Webhook,
        wake: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wake`: there is a webhook to be sent."""
        self.places = places
        self._db = database
        self._counting = counting
        self._redis = redis
        self._webhook = webhook
        self._wake = wake
        self._monotonic = monotonic
        self._clock = SteadyClock()
        self._term: int | None = None
        self._seen = 0
        """The version of guards and settings that is in memory."""
        self._guards: dict[str, Guard] = {}
        self._policies = Policies()
        self._were_changed = False
        self._waiting: set[str] = set()
        """Of these something is to be decided although nothing ended: they hold, or were moved."""

    async def tick(self) -> None:
        """Look once. Raises `LeadershipLost`, `DatabaseUnavailable`."""
        try:
            await self._look()
        except GuardChanged as error:
            self._term = None
            log.debug("%s was changed meanwhile; it is looked at again", error.message)
        except BaseException:
            self._term = None  # what was not written is no more in memory either
            raise

    async def _look(self) -> None:
        row = await self._db.fetchrow(SQL.now)
        assert row is not None
        now = self._clock.read(row["now"], self._monotonic())
        await self._take_up(row["version"])
        touched = await self._counting.follow() | self._waiting
        touched |= await self._follow_moves(now)
        looks = await self._looks(touched, row["now"])
        frozen = await self._freeze(looks, row["frozen"], now)
        world = World(
            now, frozen, await self._redis_away() if any(one.assessment.regression for one in looks) else None
        )
        await self._settle(looks, world)

    async def _take_up(self, version: int) -> None:
        """Read guards and settings if anybody else has changed them, everything in a new term."""
        is_new = self._db.term != self._term
        if not is_new and version == self._seen:
            return
        guards = {row["tenant_id"]: guard_of(row) for row in await self._db.fetch(SQL.guards)}
        self._policies = Policies(await self._db.fetch(SQL.settings))
        self._guards = guards
        self._waiting = {one.tenant_id for one in guards.values() if one.is_on_temporal}
        if is_new:
            self.places.forget()
            await self._counting.begin(self._db, guards.values())
        else:
            for guard in guards.values():
                self._counting.take(guard)
        self._term, self._seen, self._were_changed = self._db.term, version, True

    async def _follow_moves(self, now: datetime) -> set[str]:
        """Write down who moved, and whose cooldown is over; those tenants."""
        drafts: dict[str, tuple[Guard, list[GuardrailEvent]]] = {}
        since = self._counting.start()
        places = dict(await self.places.look(self._db))
        if self._were_changed:
            # One that a person has unlocked is armed where its tenant stands.
            resting = [one.tenant_id for one in self._guards.values() if one.phase is Phase.RESTING]
            places |= {tenant_id: self.places.of(tenant_id) for tenant_id in resting}
            self._were_changed = False
        for tenant_id, place in places.items():
            before = self._guards.get(tenant_id, Guard(tenant_id))
            if await self._has_not_heard(before, place):
                self.places.forget()
                continue
            after, told = moved(before, place, now, since)
            if after != before:
                drafts[tenant_id] = after, told
        for tenant_id, guard in self._guards.items():
            if guard.phase is Phase.COOLING and tenant_id not in drafts:
                after, told = cooled(guard, now, since)
                if after != guard:
                    drafts[tenant_id] = after, told
        await self._write(drafts.values())
        return set(drafts)

    async def _has_not_heard(self, guard: Guard, place: Place) -> bool:
        """Whether routing here does not know yet that the tenant was taken back."""
        if not guard.is_back or place.is_on_redis or place.author is not None:
            return False
        return bool(await self._db.fetchval(SQL.is_held_back, guard.tenant_id, AUTHOR))

    async def _looks(self, touched: Iterable[str], now: datetime) -> list[_Look]:
        """What is to be seen of those of which something may have changed, and of those with limits."""
        policies = {
            tenant_id: self._policies.of(tenant_id, self.places.tier_of(tenant_id))
            for tenant_id, guard in self._guards.items()
            if guard.is_on_temporal
        }
        limited = {tenant_id: policy.limits for tenant_id, policy in policies.items() if policy.limits}
        passed = await crossed(self._db, limited, self._counting.in_a_minute()) if limited else {}
        sights, drafts = {}, []
        for tenant_id in sorted({*touched, *limited} & policies.keys()):
            guard, assessment = await self._counting.compared(self._db, self._guards[tenant_id], now)
            if guard != self._guards[tenant_id]:
                drafts.append((guard, list[GuardrailEvent]()))
            sights[tenant_id] = replace(assessment, crossed=passed.get(tenant_id, {}))
        await self._write(drafts)
        return [
            _Look(self._guards[tenant_id], policies[tenant_id], assessment) for tenant_id, assessment in sights.items()
        ]

    async def _freeze(self, looks: list[_Look], frozen: str | None, now: datetime) -> str | None:
        """Why everything is frozen; whether it freezes now is decided before anybody is rolled back."""
        if frozen is not None:
            return frozen
        tripping = {
            one.guard.tenant_id
            for one in looks
            if trips(one.guard, one.policy, one.assessment, self.places.of(one.guard.tenant_id))
        }
        if not tripping:
            return None
        just = {one.tenant_id: one for one in self._guards.values() if one.moved_at and one.moved_at > now - JUST}
        back = {name for name, one in just.items() if one.rolled_back_at and one.rolled_back_at > now - JUST}
        why = freezes(len(just), len((tripping | back) & just.keys()))
        if why is not None:
            await freeze(self._db, why, self._webhook, version=self._seen)
            self._wake()
            log.error("guardrails are frozen: %s", why)
        return why

    async def _settle(self, looks: list[_Look], world: World) -> None:
        """Carry out what is decided of each: those that are rolled back one by one, the others together."""
        drafts = []
        for one in looks:
            decision = one.decide(self, world)
            if decision.rolls_back:
                assert one.assessment.regression is not None
                decision = await self._roll_back(one.guard, decision, one.assessment.regression)
            self._keep_waiting(decision.guard)
            if not decision.rolls_back and decision.guard != one.guard:
                drafts.append((decision.guard, list(decision.events)))
        await self._write(drafts)

    async def _roll_back(self, guard: Guard, decision: Decision, regression: Regression) -> Decision:
        """Roll back, or say what kept it from that."""
        try:
            back = await roll_back(self._db, decision, self._webhook, version=self._seen)
        except LedgerUnwritable as error:
            log.error("tenant %s is not rolled back: %s", guard.tenant_id, error.message)
            return held_back(guard, regression, f"not rolled back, because that cannot be recorded: {error.message}")
        except Overruled as error:
            return held_back(guard, regression, overruled(error.message))
        self._take(back)
        log.warning("tenant %s is rolled back to %s: %s", back.tenant_id, back.redis_stage, regression.why)
        self._wake()
        return decision

    async def _write(self, drafts: Iterable[tuple[Guard, list[GuardrailEvent]]]) -> None:
        drafts = list(drafts)
        if not drafts:
            return
        events = [one for _, told in drafts for one in told]
        guards = [guard for guard, _ in drafts]
        for guard in await write_down(self._db, guards, events, self._webhook, version=self._seen):
            self._take(guard)
        for one in events:
            log.info("guardrail of %s: %s: %s", one.tenant_id, one.kind, one.why)
        if events:
            self._wake()

    def _take(self, guard: Guard) -> None:
        """As it was just written: nobody need read it again."""
        self._guards[guard.tenant_id] = guard
        self._counting.take(guard)
        self._seen = max(self._seen, guard.version)
        self._keep_waiting(guard)

    def _keep_waiting(self, guard: Guard) -> None:
        if guard.concerns:
            self._waiting.add(guard.tenant_id)
        else:
            self._waiting.discard(guard.tenant_id)

    async def _redis_away(self) -> str | None:
        """Why Redis takes no tasks now."""
        if self._redis is None:
            return "it is not configured here"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.check_health()
        except (EngineError, TimeoutError) as error:
            return error.message if isinstance(error, TaskgateError) else "no answer"
        return None
