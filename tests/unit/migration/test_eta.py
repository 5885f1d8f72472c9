"""Ten drains of different shapes, played task by task with their own clock: each end is foretold within a fifth."""

from __future__ import annotations

import heapq
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.migration.drain.eta import ALL, Chain, NoEstimate, Runs, Work, estimate

#: Of each type: mean, and spread of a log-normal distribution.
TYPES = {"add_episode": (4.0, 0.5), "incremental_refresh": (20.0, 0.3), "probe": (0.5, 0.2)}


@dataclass
class Task:
    tenant: str
    group: str
    kind: str
    at: float = 0.0
    """When it may begin."""


@dataclass
class Drain:
    """Plays a drain as the wire does: one task of a group at a time, tenants in turn (or not), groups at random."""

    tasks: list[Task]
    slots: int
    overhead: float = 0.0
    knows_tenants: bool = True
    most: dict[str, int] = field(default_factory=dict)
    seed: int = 7

    def play(self) -> dict[str, float]:
        rng = random.Random(self.seed)
        waiting: dict[str, dict[str, deque[Task]]] = defaultdict(lambda: defaultdict(deque))
        coming = [(task.at, number, task) for number, task in enumerate(self.tasks)]
        heapq.heapify(coming)
        running: list[tuple[float, int, Task]] = []
        busy: set[str] = set()
        given: dict[str, float] = defaultdict(float)
        now, number, ends = 0.0, 0, defaultdict(float)
        while coming or running or any(any(groups.values()) for groups in waiting.values()):
            while coming and coming[0][0] <= now:
                task = heapq.heappop(coming)[2]
                waiting[task.tenant][task.group].append(task)
            while len(running) < self.slots:
                choices = {}
                for tenant, groups in waiting.items():
                    its = sum(1 for _, _, task in running if task.tenant == tenant)
                    free = [group for group, queue in groups.items() if queue and group not in busy]
                    if free and its < self.most.get(tenant, 10**9):
                        choices[tenant] = free
                if not choices:
                    break
                if self.knows_tenants:
                    tenant = min(choices, key=lambda name: given[name])
                else:
                    tenant = rng.choices(list(choices), [len(free) for free in choices.values()])[0]
                group = rng.choice(choices[tenant])
                task = waiting[tenant][group].popleft()
                given[tenant] += 1
                busy.add(group)
                number += 1
                heapq.heappush(running, (now + self.overhead + duration(task.kind, rng), number, task))
            times = [queue[0][0] for queue in (running, coming) if queue]
            now = min(times)
            while running and running[0][0] <= now:
                _, _, task = heapq.heappop(running)
                busy.discard(task.group)
                ends[task.tenant] = ends[ALL] = now
        return dict(ends)


def duration(kind: str, rng: random.Random) -> float:
    mean, spread = TYPES[kind]
    return rng.lognormvariate(0, spread) * mean / (2.718281828 ** (spread**2 / 2))


def known(seed: int = 1, runs: int = 40) -> dict[str, Runs]:
    """What a gateway would know: the last runs of each type."""
    rng = random.Random(seed)
    found = {}
    for kind in TYPES:
        times = [duration(kind, rng) for _ in range(runs)]
        mean = sum(times) / runs
        found[kind] = Runs(runs, mean, sum((one - mean) ** 2 for one in times) / runs)
    return found


def work_of(drain: Drain, arrivals: dict[tuple[str, str, str], float] | None = None) -> Work:
    chains: dict[tuple[str, str], Chain] = {}
    for task in drain.tasks:
        if arrivals is not None and task.at > 0:
            continue  # it is not there yet
        chain = chains.setdefault((task.tenant, task.group), Chain(task.tenant, task.group))
        chain.tasks[task.kind] = chain.tasks.get(task.kind, 0) + 1
        chain.not_before = max(chain.not_before, task.at)
    for (tenant, group, kind), rate in (arrivals or {}).items():
        chains.setdefault((tenant, group), Chain(tenant, group)).arrivals[kind] = rate
    return Work(list(chains.values()), known(), drain.slots, drain.overhead, drain.most, drain.knows_tenants)


def tasks(tenant: str, groups: int, each: int, kind: str = "add_episode") -> list[Task]:
    return [Task(tenant, f"{tenant}-{group}", kind) for group in range(groups) for _ in range(each)]


def zipf(tenant: str, groups: int, largest: int) -> list[Task]:
    return [
        Task(tenant, f"{tenant}-{g}", "add_episode") for g in range(groups) for _ in range(max(largest // (g + 1), 1))
    ]


def mixed() -> list[Task]:
    rng = random.Random(3)
    return [Task("a", f"a-{rng.randrange(30)}", rng.choice(list(TYPES))) for _ in range(900)]


DRAINS: dict[str, Drain] = {
    "one group": Drain(tasks("a", 1, 200), 20),
    "fewer groups than slots": Drain(tasks("a", 8, 60), 20),
    "as many groups as slots": Drain(tasks("a", 20, 40), 20),
    "many small groups": Drain(tasks("a", 400, 3), 20),
    "a few long groups among many": Drain(zipf("a", 300, 250), 20),
    "types of different length": Drain(mixed(), 20),
    "legacy workers, who pause between tasks": Drain(
        tasks("a", 12, 80, "probe"), 20, overhead=0.35, knows_tenants=False
    ),
    "a small tenant beside a large one": Drain(tasks("a", 300, 8) + tasks("b", 5, 30), 20),
    "a small tenant beside a large one, legacy workers": Drain(
        tasks("a", 300, 8) + tasks("b", 5, 30), 20, knows_tenants=False
    ),
    "a quota": Drain(tasks("a", 60, 10) + tasks("b", 60, 10), 20, most={"a": 4}),
}


@pytest.mark.parametrize("name", DRAINS)
def test_the_end_is_foretold(name: str) -> None:
    drain = DRAINS[name]
    foretold, ends = estimate(work_of(drain)), drain.play()
    assert foretold.keys() == ends.keys()
    for tenant, end in ends.items():
        one = foretold[tenant]
        assert one.seconds == pytest.approx(end, rel=0.2), tenant
        assert one.low <= one.seconds <= one.high


def test_delayed_tasks_end_no_sooner_than_they_begin() -> None:
    drain = Drain([*tasks("a", 4, 10), Task("a", "a-0", "add_episode", at=900.0)], 20)
    assert estimate(work_of(drain))[ALL].seconds == pytest.approx(drain.play()[ALL], rel=0.2)


def test_what_comes_meanwhile_lengthens_it() -> None:
    rng = random.Random(5)
    backlog = tasks("a", 40, 20)
    # Two tasks a second come, and five go.
    coming = [Task("a", f"a-{rng.randrange(40)}", "add_episode", at=number / 2) for number in range(1, 2000)]
    end = next(  # the first moment at which nothing is left, as far as that is seen from the whole history
        span
        for span in range(10, 1000, 10)
        if Drain(backlog + [t for t in coming if t.at <= span], 20).play()[ALL] <= span + 8
    )
    rates: dict[tuple[str, str, str], float] = {("a", f"a-{group}", "add_episode"): 2 / 40 for group in range(40)}
    assert estimate(work_of(Drain(backlog + coming, 20), rates))[ALL].seconds == pytest.approx(end, rel=0.2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"slots": 0}, "no worker serves Redis"),
        ({"runs": {}}, "no task has ended on Redis lately"),
        ({"chains": [Chain("a", "g", {"probe": 5}, arrivals={"probe": 2.1})]}, "as much comes as goes"),
    ],
)
def test_no_end_is_foretold_that_nobody_knows(change: dict[str, Any], why: str) -> None:
    given = {"chains": [Chain("a", "g", {"probe": 5})], "runs": {"probe": Runs(9, 0.5)}, "slots": 20, **change}
    with pytest.raises(NoEstimate, match=why):
        estimate(Work(**given))


def test_a_tenant_to_whom_nothing_comes_ends_beside_one_that_grows() -> None:
    chains = [Chain("a", "a", {"probe": 100}), Chain("b", "b", {"probe": 5}, arrivals={"probe": 9.0})]
    with pytest.raises(NoEstimate) as caught:
        estimate(Work(chains, {"probe": Runs(9, 0.5)}, 1))
    assert caught.value.others.keys() == {"a"}
    # They share the one slot.
    assert caught.value.others["a"].seconds == pytest.approx(100, rel=0.02)


def test_what_comes_to_other_groups_takes_slots_too() -> None:
    chains = [Chain("a", "a", {"probe": 100}), Chain("b", "b", arrivals={"probe": 1.0})]
    assert estimate(Work(chains, {"probe": Runs(9, 0.5)}, 1))[ALL].seconds == pytest.approx(100, rel=0.02)


def test_nothing_left_is_no_estimate() -> None:
    assert estimate(Work([], {}, 0)) == {}


def test_the_interval_is_wider_when_less_is_known() -> None:
    chains = [Chain("a", "g", {"probe": 50})]
    well = estimate(Work(chains, {"probe": Runs(1000, 1.0, 0.25)}, 20))[ALL]
    badly = estimate(Work(chains, {"probe": Runs(5, 1.0, 0.25)}, 20))[ALL]
    assert well.high - well.low < badly.high - badly.low
    assert well.seconds == badly.seconds == pytest.approx(50, rel=0.01)


def test_many_groups_and_tenants_are_soon_added_up() -> None:
    chains = [Chain(f"t{n % 1000}", f"g{n}", {"probe": n % 97 + 1}) for n in range(20_000)]
    before = time.process_time()
    found = estimate(Work(chains, {"probe": Runs(9, 0.5)}, 20))
    assert time.process_time() - before < 2
    assert found[ALL].seconds == pytest.approx(sum(n % 97 + 1 for n in range(20_000)) * 0.5 / 20, rel=0.05)
