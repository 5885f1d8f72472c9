"""Signals to plan, and the reasons it gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.access.placement import Tier
from gateway.fleet.plan import PlanRules, PoolPlan, PoolRules, plan
from gateway.fleet.scale_document import document, pools_of
from gateway.fleet.signals import Load, PoolSignal, assemble
from tests.unit.observability.pages import page_of


def planned(load: Load, *, workers: int = 1, **rules: Any) -> PoolPlan:
    (found,) = plan((PoolSignal("C", "temporal", workers, workers * 20, load),), PlanRules({"C": PoolRules(**rules)}))
    return found


def test_what_arrives_decides_in_the_steady_state() -> None:
    # 100 tasks/s of 0.7 s keep 70 slots busy; at 70 % utilisation that takes 100.
    found = planned(Load(arrivals_per_second=100, run_seconds=0.7), utilisation=0.7)
    assert (found.slots_wanted, found.workers) == (100, 5)
    assert "100.00 tasks/s of 0.70 s at 70% utilisation: 100.0 slots" in found.reasons


def test_a_backlog_takes_slots_until_it_should_be_gone() -> None:
    found = planned(Load(backlog=600, run_seconds=2.0), drain_seconds=30)
    assert (found.slots_wanted, found.workers) == (40, 2)
    # Ten long tasks take ten slots, not their hours over the half minute.
    assert planned(Load(backlog=10, run_seconds=3600.0)).slots_wanted == 10


def test_tasks_of_unknown_length_get_a_slot_each() -> None:
    found = planned(Load(backlog=30, running=15))
    assert (found.slots_wanted, found.workers) == (45, 3)
    assert "length is unknown" in found.reasons[0]


def test_running_tasks_keep_their_workers() -> None:
    assert planned(Load(running=65, run_seconds=1.0), workers=4).workers == 4


def test_what_legacy_workers_run_takes_no_workers() -> None:
    assert planned(Load(running=65, on_legacy_workers=60, run_seconds=1.0), workers=1).slots_wanted == 5
    assert planned(Load(backlog=10, running=65, on_legacy_workers=60)).slots_wanted == 15


def test_it_shrinks_by_half_at_a_time_and_stays_within_bounds() -> None:
    assert planned(Load(), workers=40).workers == 20
    assert planned(Load(), workers=1, smallest=2).workers == 2
    assert planned(Load(backlog=10**6), largest=7).workers == 7
    assert planned(Load(), smallest=0).workers == 0


def test_workers_without_a_pool_are_not_planned() -> None:
    whole = PoolSignal(None, "temporal", 3, 60, Load())
    assert plan((whole,), PlanRules()) == []


@pytest.fixture
def rows() -> dict[str, list[dict[str, Any]]]:
    none = {"on_legacy_workers": 0}
    return {
        "load": [
            {"backend": "temporal", "plan": "enterprise", "backlog": 3, "oldest_seconds": 4.5, "running": 2} | none,
            {"backend": "redis", "plan": "vip", "backlog": 1, "oldest_seconds": 9.0, "running": 0} | none,
            {
                "backend": "redis",
                "plan": "free",
                "backlog": 1,
                "oldest_seconds": 1.0,
                "running": 1,
                "on_legacy_workers": 1,
            },
            {"backend": None, "plan": "", "backlog": 7, "oldest_seconds": None, "running": 0} | none,
        ],
        "arrivals": [{"backend": "redis", "plan": "vip", "tasks": 120}],
        "completions": [
            {"backend": "redis", "plan": "vip", "tasks": 60, "run_seconds": 1.0},
            {"backend": "redis", "plan": "free", "tasks": 180, "run_seconds": 3.0},
            {"backend": "redis", "plan": "", "tasks": 60, "run_seconds": None},
        ],
        "slots": [
            {"backend": "temporal", "pool": None, "workers": 1, "slots": 20},
            {"backend": "redis", "pool": "redis", "workers": 2, "slots": 40},
        ],
    }


def test_rows_become_tiers_and_pools(rows: dict[str, Any]) -> None:
    signals = assemble(datetime.now(UTC), 60.0, **rows)
    pools = {(pool.backend, pool.pool): pool for pool in signals.pools}
    assert pools.keys() == {
        ("temporal", "A"),
        ("temporal", "B"),
        ("temporal", "C"),
        ("redis", "redis"),
        ("temporal", None),
    }
    assert pools["temporal", "A"].load == Load(3, 4.5, 2)
    assert pools["temporal", None].slots == 20
    redis = pools["redis", "redis"]
    assert (redis.workers, redis.slots, redis.load.backlog, redis.load.oldest_seconds) == (2, 40, 2, 9.0)
    assert (redis.load.arrivals_per_second, redis.load.completions_per_second) == (2.0, 5.0)
    # Of the standard tier 4 tasks/s ended, and the measured ones took 3 s; of the VIP tier 1 task/s of 1 s.
    assert redis.load.run_seconds == pytest.approx((4 * 3 + 1 * 1) / 5)
    (unrouted,) = [signal for signal in signals.signals if signal.backend is None]
    assert (unrouted.pool, unrouted.tier, unrouted.load.backlog) == (None, Tier.STANDARD, 7)
    assert len(signals.signals) == 7


def test_the_plan_reads_what_the_endpoint_answers(rows: dict[str, Any]) -> None:
    signals = assemble(datetime.now(UTC), 60.0, **rows)
    assert pools_of(document(signals)) == signals.pools


def test_prometheus_reads_it(rows: dict[str, Any]) -> None:
    page = page_of(assemble(datetime.now(UTC), 60.0, **rows))
    assert 'taskgate_tasks_backlog{backend="redis",pool="redis",tier="vip"} 1.0\n' in page
    assert 'taskgate_pool_demand{backend="temporal",pool="A"} 5.0\n' in page
    assert 'taskgate_pool_on_legacy_workers{backend="redis",pool="redis"} 1.0\n' in page
    assert 'taskgate_pool_demand{backend="redis",pool="redis"} 2.0\n' in page
    assert 'taskgate_pool_slots{backend="temporal",pool=""} 20.0\n' in page
    assert page.count("# TYPE taskgate_pool_backlog gauge") == 1
