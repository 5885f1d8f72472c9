"""The simulator: Temporal's queue as a model, the gateway's own names and pools, waits that can be reckoned by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.access.placement import Tier
from gateway.cli.main import app
from gateway.fleet.pools import POOL_OF_TIER
from gateway.simulation.cells import WINDOW, cells_of, in_cells
from gateway.simulation.fair_queue import FairQueue
from gateway.simulation.fairness import Shares, jain
from gateway.simulation.fleet import Simulation
from gateway.simulation.workload import Arrival, Distribution, TraceInvalid, read_trace
from workers.temporal.pool import TemporalWorkerPool
from workers.testing.scripted import ScriptedRunner

SLOTS = {"A": 1, "B": 1, "C": 1}


def tasks(tenant: str, tier: Tier, count: int, *, at: float = 0.0) -> list[Arrival]:
    return [Arrival(at, tenant, tier, "add_episode", 3, 1.0)] * count


def test_priority_comes_before_fairness_and_keys_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in ("a1", "a2", "a3"):
        queue.push(3, "a", name)
    queue.push(3, "b", "b1")
    queue.push(1, "a", "urgent")
    assert len(queue) == 5
    assert [queue.pop() for _ in range(5)] == ["urgent", "a1", "b1", "a2", "a3"]
    with pytest.raises(IndexError):
        queue.pop()


def test_a_key_that_comes_late_has_no_claim_to_the_past() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(6):
        queue.push(3, "a", f"a{number}")
    for _ in range(3):
        queue.pop()
    for number in range(3):
        queue.push(3, "b", f"b{number}")
    assert [queue.pop()[0] for _ in range(6)] == ["b", "a", "b", "a", "b", "a"]


def test_one_slot_runs_one_task_after_the_other() -> None:
    report = Simulation(SLOTS, dispatch_seconds=0).run(tasks("acme", Tier.ENTERPRISE, 4))
    (tier,) = report.tiers
    assert (tier.tasks, tier.mean, tier.p99) == (4, pytest.approx(1.5), 3)
    assert report.seconds == 4


def test_dispatch_is_waited_for_only_by_those_that_find_a_slot() -> None:
    report = Simulation(SLOTS, dispatch_seconds=0.5).run(tasks("acme", Tier.ENTERPRISE, 2))
    assert report.mean_by_tenant["acme"] == pytest.approx((0.5 + 1.5) / 2)


def test_tiers_do_not_wait_for_each_other() -> None:
    crowd = tasks("initech", Tier.STANDARD, 100)
    report = Simulation(SLOTS, dispatch_seconds=0).run(
        crowd + tasks("acme", Tier.ENTERPRISE, 1) + tasks("globex", Tier.VIP, 1)
    )
    assert report.mean_by_tenant["acme"] == report.mean_by_tenant["globex"] == 0
    assert report.mean_by_tenant["initech"] == pytest.approx(49.5)


def test_standard_tenants_share_fairly_and_without_keys_they_do_not() -> None:
    workload = tasks("crowd", Tier.STANDARD, 100) + tasks("small", Tier.STANDARD, 10, at=0.5)
    fair = Simulation(SLOTS, dispatch_seconds=0).run(workload)
    unfair = Simulation(SLOTS, dispatch_seconds=0, fair=False).run(workload)
    assert fair.mean_by_tenant["small"] < 12
    assert unfair.mean_by_tenant["small"] > 99
    assert fair.tiers[0].fairness > unfair.tiers[0].fairness


def test_queues_of_vip_tenants_have_their_turns() -> None:
    workload = tasks("big", Tier.VIP, 50) + tasks("globex", Tier.VIP, 3)
    report = Simulation(SLOTS, dispatch_seconds=0).run(workload)
    assert report.mean_by_tenant["globex"] < 7


def test_utilisation_is_measured_until_the_last_arrival() -> None:
    arrivals = [Arrival(float(at), "acme", Tier.ENTERPRISE, "add_episode", 3, 0.5) for at in range(11)]
    report = Simulation({"A": 1, "B": 1, "C": 1}, dispatch_seconds=0).run(arrivals)
    assert report.utilisation == {"A": pytest.approx(0.5), "B": 0.0, "C": 0.0}


@pytest.mark.parametrize("tier", Tier)
async def test_the_queue_is_one_that_the_workers_of_the_pool_poll(tier: Tier) -> None:
    simulation = Simulation(SLOTS)
    simulation.run(tasks("t1", tier, 1))
    (queue,) = simulation.queues
    pool = TemporalWorkerPool(
        "nowhere:1",
        "none",
        runner=ScriptedRunner(),
        task_types=["add_episode"],
        worker_id="w",
        slots=1,
        shared=POOL_OF_TIER[tier] == "C",
    )
    pool.set_tenants([] if POOL_OF_TIER[tier] == "C" else ["t1"])
    assert queue in pool.queues


def test_a_distribution_loads_the_slots_as_it_says() -> None:
    slots = {"A": 40, "B": 60, "C": 100}
    report = Simulation(slots).run(Distribution(tasks=20_000, load=0.6, median_seconds=1.0).arrivals(slots))
    for share in report.utilisation.values():
        assert 0.5 < share < 0.7
    assert {tier.tier for tier in report.tiers} == set(Tier)
    again = Distribution(tasks=100, seed=3)
    assert list(again.arrivals(slots)) == list(again.arrivals(slots))


def test_shares_are_what_was_got_against_what_was_due() -> None:
    shares = Shares()
    for tenant in ("a", "b"):
        for _ in range(10):
            shares.wait(tenant)
    for tenant in "ab" * 10:
        shares.serve(tenant)
    assert list(shares.ratios()) == [pytest.approx(1, abs=0.06)] * 2


def test_jain() -> None:
    assert jain([1, 1, 1, 1]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([]) == 1


def test_a_trace() -> None:
    full = '{"at": 2, "tenant": "b", "plan": "VIP", "priority": 1, "seconds": 4, "type": "x"}'
    found = read_trace([full, "", '{"at": 1, "tenant": "a"}'])
    assert found == [Arrival(1, "a", Tier.STANDARD, "add_episode", 3, 1), Arrival(2, "b", Tier.VIP, "x", 1, 4)]


NAN = '{"at": 1, "tenant": "a", "seconds": NaN}'


@pytest.mark.parametrize("line", ["{", "[]", "1", '{"tenant": "a"}', '{"at": -1, "tenant": "a"}', NAN, '{"at": null}'])
def test_a_trace_that_is_not_valid(line: str) -> None:
    with pytest.raises(TraceInvalid, match="Line 2"):
        read_trace(['{"at": 1, "tenant": "a"}', line])


def test_the_largest_tenants_are_in_cells_of_their_own() -> None:
    assert cells_of({"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}, 2) == {"a": 0, "b": 1, "c": 1, "d": 0, "e": 0}


def test_cells_bear_equal_parts_and_their_tasks_wait_hardly_longer() -> None:
    """What `docs/scaling.md` says: a fleet that one PostgreSQL does not bear is divided without more slots."""
    slots = {"A": 200, "B": 300, "C": 500}
    arrivals = list(Distribution(20_000, seed=3).arrivals(slots))
    whole, cells = Simulation(slots).run(arrivals), in_cells(arrivals, slots, 4, dispatch_seconds=0.02)
    assert sum(cell.tasks for cell in cells) == whole.tasks
    assert sum(cell.slots for cell in cells) == sum(slots.values())
    assert max(cell.rate for cell in cells) < 1.05 * sum(cell.rate for cell in cells) / 4
    assert max(cell.busiest for cell in cells) < 1.5 * max(cell.rate for cell in cells)
    assert max(cell.p95 for cell in cells) < max(tier.p95 for tier in whole.tiers) + 5
    # One tenant is not divided.
    alone = in_cells(tasks("a", Tier.STANDARD, 50) + tasks("b", Tier.STANDARD, 1), slots, 2, dispatch_seconds=0)
    assert [(cell.tasks, cell.busiest) for cell in alone] == [(50, 50 / WINDOW), (1, 1 / WINDOW)]


def test_the_command(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"at": 0, "tenant": "acme", "plan": "enterprise", "seconds": 2}\n' * 3)
    options = ["--pool", "A=1", "--dispatch-ms", "0", "--json"]
    answer = CliRunner().invoke(app, ["simulate", "--trace", str(trace), *options])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert (document["tasks"], document["seconds"]) == (3, 6)
    assert document["tiers"][0]["mean"] == pytest.approx(2)
    text = CliRunner().invoke(app, ["simulate", "--tasks", "500"]).stdout
    assert "500 tasks in" in text
    assert "busiest" not in text
    divided = CliRunner().invoke(app, ["simulate", "--tasks", "500", "--cells", "3", "--json"])
    assert sum(cell["tasks"] for cell in json.loads(divided.stdout)["cells"]) == 500
    assert "busiest" in CliRunner().invoke(app, ["simulate", "--tasks", "500", "--cells", "3"]).stdout
    trace.write_text("{")
    assert CliRunner().invoke(app, ["simulate", "--trace", str(trace)]).exit_code == 2
    assert CliRunner().invoke(app, ["simulate", "--pool", "D=1"]).exit_code == 2
