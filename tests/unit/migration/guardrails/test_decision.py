"""What a guardrail does about what it sees, second by second."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.migration.guardrails.decision import Assessment, Decision, Regression, World, decide, freezes, trips
from gateway.migration.guardrails.event import Kind
from gateway.migration.guardrails.guard import Guard, Phase
from gateway.migration.guardrails.moves import Place, cooled, moved, unlocked
from gateway.migration.guardrails.policy import Policy, Response, resolve
from gateway.routing.stages import Stage

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
LIVE = Place(Stage.LIVE, 7, NOON)
WORSE = Assessment(Regression("backup fails on temporal", "backup", 0.5, {"log_e": 14.0}))
ARMED = Guard("acme", Phase.ARMED, Stage.SHADOW, 7, NOON, NOON)


def after(**passed: float) -> World:
    return World(NOON + timedelta(**passed))


def kinds(decision: Decision) -> list[Kind]:
    return [one.kind for one in decision.events]


def test_a_regression_rolls_back_to_the_last_stage_that_ran_on_redis_and_begins_a_cooldown() -> None:
    decision = decide(ARMED, Policy(), WORSE, LIVE, after(minutes=1))
    assert decision.rolls_back
    assert (decision.guard.phase, decision.guard.redis_stage) == (Phase.ROLLED_BACK, Stage.SHADOW)
    assert decision.guard.cooldown_ends == NOON + timedelta(minutes=16)
    assert kinds(decision) == [Kind.ROLLED_BACK]
    assert decision.events[0].evidence == {"log_e": 14.0}


@pytest.mark.parametrize(
    ("policy", "place", "world", "response", "said"),
    [
        (Policy(on_regression=Response.NOTIFY), LIVE, after(), Response.NOTIFY, "set to notify"),
        (Policy(on_regression=Response.HOLD), LIVE, after(), Response.HOLD, "set to hold"),
        (Policy(dry_run=True), LIVE, after(), Response.NOTIFY, "dry run: backup fails on temporal; it would be rolled"),
        (
            Policy(),
            replace(LIVE, author="override for tenant acme by ada: demo"),
            after(),
            Response.HOLD,
            "a person has decided: override for tenant acme by ada: demo",
        ),
        (Policy(), LIVE, World(NOON, frozen="9 of 20"), Response.HOLD, "the guardrails are frozen"),
        (Policy(), LIVE, World(NOON, redis_away="no answer"), Response.HOLD, "redis takes no tasks now (no answer)"),
    ],
)
def test_a_regression_that_is_not_rolled_back_says_why(
    policy: Policy, place: Place, world: World, response: Response, said: str
) -> None:
    decision = decide(ARMED, policy, WORSE, place, world)
    assert not decision.rolls_back
    [concern] = decision.guard.concerns.values()
    assert concern.response is response
    assert said in concern.why
    assert kinds(decision) == [Kind.NOTIFIED if response is Response.NOTIFY else Kind.HELD]
    # It is told once.
    assert decide(decision.guard, policy, WORSE, place, world) == Decision(decision.guard)


def test_an_obstacle_that_goes_lets_the_guardrail_act() -> None:
    held = decide(ARMED, Policy(), WORSE, LIVE, World(NOON, redis_away="no answer")).guard
    assert decide(held, Policy(), WORSE, LIVE, after(seconds=9)).rolls_back


@pytest.mark.parametrize("response", [Response.NOTIFY, Response.HOLD])
def test_a_plain_threshold_never_rolls_back(response: Response) -> None:
    assessment = Assessment(crossed={"queue_age_seconds": "the oldest task waits 90 s (limit 60)"})
    decision = decide(ARMED, Policy(on_threshold=response), assessment, LIVE, after())
    assert not decision.rolls_back
    assert decision.guard.phase is Phase.ARMED
    assert bool(decision.guard.holds) is (response is Response.HOLD)
    over = decide(decision.guard, Policy(), Assessment(), LIVE, after(seconds=5))
    assert over.guard.holds == []
    assert kinds(over) == [Kind.CLEARED]


def test_growing_figures_are_no_news() -> None:
    first = decide(ARMED, Policy(), Assessment(crossed={"dead": "11 a minute"}), LIVE, after())
    second = decide(first.guard, Policy(), Assessment(crossed={"dead": "12 a minute"}), LIVE, after(seconds=1))
    assert (kinds(first), second.events) == ([Kind.NOTIFIED], ())


def test_a_doubt_holds_and_does_not_roll_back() -> None:
    decision = decide(ARMED, Policy(), Assessment(doubts={"baseline": "backup fails on redis, too"}), LIVE, after())
    assert (decision.rolls_back, decision.guard.holds) == (False, ["backup fails on redis, too"])


def test_a_move_forward_within_the_cooldown_is_armed_when_that_is_over() -> None:
    back = decide(ARMED, Policy(), WORSE, LIVE, after()).guard
    cooling, told = moved(back, replace(LIVE, entry_id=9), NOON + timedelta(minutes=2), {})
    assert (cooling.phase, [one.kind for one in told]) == (Phase.COOLING, [Kind.COOLING])
    decision = decide(cooling, Policy(), WORSE, LIVE, after(minutes=3))
    assert not decision.rolls_back
    assert "the cooldown, which ends at 12:15:00 UTC" in decision.guard.holds[0]
    assert cooled(cooling, NOON + timedelta(minutes=14), {}) == (cooling, [])
    armed, _ = cooled(cooling, NOON + timedelta(minutes=15), {"backup": 3})
    assert (armed.phase, armed.since) == (Phase.ARMED, {"backup": 3})


def test_the_third_rollback_locks_until_a_person_unlocks() -> None:
    guard, now, cooldowns = ARMED, NOON, []
    for _ in range(3):
        decision = decide(guard, Policy(), WORSE, LIVE, World(now))
        assert decision.guard.cooldown_ends is not None
        cooldowns.append(decision.guard.cooldown_ends - now)
        now = decision.guard.cooldown_ends + timedelta(seconds=1)
        guard, _ = moved(decision.guard, LIVE, now, {})
    assert cooldowns == [timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4)]
    assert kinds(decision) == [Kind.ROLLED_BACK, Kind.LOCKED]
    assert decision.events[1].why == (
        "rolled back 3 times: locked until a person has looked"
        ' (taskgate migration guardrails unlock --tenant acme --why "…")'
    )
    assert guard.phase is Phase.LOCKED
    assert "while it is locked" in guard.holds[0]
    assert not decide(guard, Policy(), WORSE, LIVE, World(now)).rolls_back
    free = unlocked(guard)
    assert (free.phase, free.rollbacks) == (Phase.RESTING, 0)
    assert moved(free, LIVE, now, {})[0].phase is Phase.ARMED


def test_a_move_back_by_hand_rests_and_is_where_the_next_rollback_leads() -> None:
    resting, _ = moved(ARMED, Place(Stage.DUALWRITE), NOON, {})
    assert (resting.phase, resting.redis_stage) == (Phase.RESTING, Stage.DUALWRITE)
    armed, _ = moved(resting, LIVE, NOON, {})
    assert (armed.phase, armed.redis_stage) == (Phase.ARMED, Stage.DUALWRITE)


def test_its_own_override_is_not_the_stage_that_a_rollback_leads_to() -> None:
    back = decide(ARMED, Policy(), WORSE, LIVE, after()).guard
    assert moved(back, Place(Stage.OFF, is_ours=True), NOON, {}) == (back, [])


@pytest.mark.parametrize(
    ("moved_tenants", "tripped", "is_frozen"),
    [(1, 1, False), (10, 2, False), (9, 2, True), (2, 2, True), (2000, 401, True)],
)
def test_everything_freezes_when_more_than_a_fifth_trip(moved_tenants: int, tripped: int, is_frozen: bool) -> None:
    why = freezes(moved_tenants, tripped)
    assert (why is not None) is is_frozen
    assert why is None or why.endswith('look, then taskgate migration guardrails unfreeze --why "…"')


def test_who_only_reports_does_not_trip() -> None:
    assert trips(ARMED, Policy(), WORSE, LIVE)
    assert not trips(ARMED, Policy(dry_run=True), WORSE, LIVE)
    assert not trips(ARMED, Policy(), WORSE, replace(LIVE, author="ada"))
    assert not trips(replace(ARMED, phase=Phase.COOLING), Policy(), WORSE, LIVE)


def test_the_most_specific_level_says_each_setting() -> None:
    policy = resolve([{"dry_run": False}, {"dry_run": True, "queue_age_seconds": 60.0}, {"on_threshold": "hold"}])
    assert policy == Policy(dry_run=False, queue_age_seconds=60.0, on_threshold=Response.HOLD)
