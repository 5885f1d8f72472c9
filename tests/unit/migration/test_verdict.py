"""The verdict on a drain: never a false `safe to switch off`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.migration.drain.verdict import Counts, DrainVerdict, Sighting, Whole, judge

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUIET = timedelta(hours=25)
EMPTY = Whole(Counts(), 0, watched_since=NOW - timedelta(days=30))


def verdict(whole: Whole = EMPTY, counts: Counts | None = None, blocked: tuple[str, ...] = (), now: Any = NOW) -> Any:
    everybody = counts is None
    return judge(whole.counts if counts is None else counts, blocked, whole, everybody=everybody, now=now, quiet=QUIET)


def test_safe_when_nothing_is_left_of_anybody() -> None:
    found = verdict()
    assert (found.verdict, found.blocked_by, found.missing) == (DrainVerdict.SAFE, [], [])


@pytest.mark.parametrize("place", Counts.__slots__)
def test_one_of_anybody_is_not_safe(place: str) -> None:
    left = replace(EMPTY, counts=Counts(**{place: 1}))
    assert verdict(left).verdict is DrainVerdict.DRAINING
    # A tenant that is done is done, and Redis must stay for the others.
    tenant = verdict(left, Counts())
    assert tenant.verdict is DrainVerdict.DRAINED
    assert tenant.missing


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"redis_payloads": None}, "redis was not read"),
        ({"doubts": ("LaunchDarkly is away",)}, "not certain: LaunchDarkly is away"),
        ({"elsewhere": ("tenant acme at live",)}, "tenant acme at live: set stage complete"),
        ({"watched_since": None}, "nobody looks"),
        ({"watched_since": NOW - timedelta(hours=1)}, "wait until 2026-11-21 12:00:00Z"),
        ({"sightings": (Sighting("acme", NOW - timedelta(hours=24), "payload"),)}, "of tenant acme pushed into redis"),
        ({"sightings": (Sighting(None, NOW - timedelta(hours=24), "row"),)}, "wrote a row into task_logs"),
    ],
)
def test_what_is_not_certain_is_not_safe(change: dict[str, Any], says: str) -> None:
    found = verdict(replace(EMPTY, **change))
    assert found.verdict is DrainVerdict.DRAINED
    [line] = found.missing
    assert says in line


def test_a_payload_that_nobody_knows_is_not_safe() -> None:
    left = replace(EMPTY, redis_payloads=1)
    found = verdict(left)
    assert (found.verdict, len(found.missing)) == (DrainVerdict.DRAINING, 1)
    assert "redis holds 1 payload of which" in found.missing[0]
    assert verdict(left, Counts()).verdict is DrainVerdict.DRAINED


def test_redis_away_blocks() -> None:
    found = verdict(replace(EMPTY, redis_payloads=None, redis_problem="redis does not answer"))
    assert (found.verdict, found.blocked_by) == (DrainVerdict.BLOCKED, ["redis does not answer"])


def test_what_does_not_end_by_itself_blocks() -> None:
    found = verdict(replace(EMPTY, counts=Counts(held_by_pause=2)), blocked=("a pause holds 2 tasks",))
    assert (found.verdict, found.blocked_by) == (DrainVerdict.BLOCKED, ["a pause holds 2 tasks"])


def test_a_producer_that_pushes_one_task_a_day_is_never_forgotten() -> None:
    """A worker runs its task at once, so nothing is ever left; each hour of ten days."""
    for hour in range(1, 240):
        now = NOW + timedelta(hours=hour)
        last = NOW + timedelta(days=hour // 24)
        found = verdict(replace(EMPTY, sightings=(Sighting("acme", last, "row"),)), now=now)
        assert found.verdict is DrainVerdict.DRAINED, hour
    # It was pointed at the gateway at last.
    assert (
        verdict(replace(EMPTY, sightings=(Sighting("acme", NOW, "row"),)), now=NOW + QUIET).verdict is DrainVerdict.SAFE
    )
