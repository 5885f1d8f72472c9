"""However many tenants and task types there are, a process has few time series, and their names stay what they are."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client.parser import text_string_to_metric_families

from backends.redis_queue.wire import TYPES
from gateway.access.placement import Placement
from gateway.observability.fleet_metrics import MOST_SERIES
from gateway.observability.labels import NEW_TYPES, OTHER, Labels
from gateway.observability.telemetry import Telemetry
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import plan_to_wait

#: Gauges of the fleet and of the process: loads by backend, pool and tier, two tables that are cut, and small ones.
GAUGES = 8 * (9 + 4) + 2 * 4 + 2 * (MOST_SERIES + 1) + 60


def telemetry(*tenants: str) -> Telemetry:
    return Telemetry(Resource.get_empty(), otlp=False, known_types=TYPES, tenants=tenants)


def samples(of: Telemetry) -> list[tuple[str, dict[str, str], float]]:
    families = text_string_to_metric_families(of.metrics.render().decode())
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


@dataclass(frozen=True)
class Outcome:
    """A row of the tally."""

    backend: str
    stage: str
    plan: str
    task_type: str
    tenant_id: str
    outcome: str = "completed"
    run_failed: bool = True
    wait: float = 0.3
    dispatch: float = 0.02
    run: float = 4.0
    total: float = 4.3

    def __getitem__(self, name: str) -> object:
        return getattr(self, name)


def outcomes(count: int) -> list[Outcome]:
    backends, stages, plans = (
        ("redis", "temporal"),
        ("off", "dualwrite", "shadow", "live", "rampdown", "complete"),
        (
            "enterprise",
            "vip",
            "",
        ),
    )
    ends = ("completed", "failed", "stopped", "failed_run", "lost_run")
    known = list(TYPES)
    return [
        Outcome(
            backends[i % 2],
            stages[i // 2 % 6],
            plans[i // 12 % 3],
            known[i // 36 % 4] if i < 36 * 4 else f"type-{i}",
            f"tenant-{i % 10_000}",
            ends[i // 7 % 5],
        )
        for i in range(count)
    ]


@pytest.mark.system
@pytest.mark.parametrize(("types", "tenants"), [(10_000, ()), (100_000, tuple(f"tenant-{i}" for i in range(10)))])
def test_a_hundred_thousand_types_of_ten_thousand_tenants(types: int, tenants: tuple[str, ...]) -> None:
    of = telemetry(*tenants)
    every = outcomes(types)
    for one in every:
        of.tasks.began(one)
        of.tasks.ended(one)
        place = Placement(one.tenant_id, None, one.plan)
        of.tasks.accepted([NewTask(one.task_type, "g", {}, place, None)], [plan_to_wait(backend=one.backend)])
    found = samples(of)
    assert len(found) + GAUGES <= 5000
    # Nothing is lost: what has no series of its own is counted as `other`.
    assert sum(value for name, _, value in found if name == "taskgate_tasks_started_total") == len(every)
    assert sum(value for name, _, value in found if name == "taskgate_tasks_accepted_total") == len(every)
    completed = sum(one.outcome == "completed" for one in every)
    assert sum(value for name, _, value in found if name == "taskgate_task_run_seconds_count") == completed
    assert {labels["task_type"] for name, labels, _ in found if name == "taskgate_tasks_started_total"} >= {
        *TYPES,
        OTHER,
    }


def test_the_types_of_the_contract_keep_their_names_whoever_came_first() -> None:
    labels = Labels(TYPES, sets=1000)
    for number in range(1000):
        labels.of(f"junk-{number}", backend="redis")
    assert labels.of("add_episode", backend="redis")["task_type"] == "add_episode"
    assert labels.of(f"junk-{NEW_TYPES - 1}", backend="redis")["task_type"] == f"junk-{NEW_TYPES - 1}"
    assert labels.of(f"junk-{NEW_TYPES}", backend="redis")["task_type"] == OTHER


NASTY = 'x"} 1\ntaskgate_forged{a="\\\ud800'


def test_a_name_cannot_forge_a_line_nor_break_the_page() -> None:
    of = telemetry(NASTY)
    of.tasks.began(Outcome("redis", "off", "", NASTY, NASTY))
    found = [labels for name, labels, _ in samples(of) if name == "taskgate_tasks_started_total"]
    (labels,) = found
    assert labels["tenant"] == labels["task_type"] == NASTY.replace("\ud800", "?")
    assert not any(name.startswith("taskgate_forged") for name, _, _ in samples(of))


def test_tenants_are_no_label_unless_they_are_named() -> None:
    one = Outcome("redis", "off", "", "add_episode", "acme")
    for of, expected in ((telemetry(), None), (telemetry("acme"), "acme"), (telemetry("globex"), OTHER)):
        of.tasks.began(one)
        (labels,) = (labels for name, labels, _ in samples(of) if name == "taskgate_tasks_started_total")
        assert labels.get("tenant") == expected


def test_waits_have_buckets_up_to_half_an_hour() -> None:
    of = telemetry()
    of.tasks.began(Outcome("redis", "off", "", "add_episode", "acme", wait=1799.0))
    buckets = {
        labels["le"]: value for name, labels, value in samples(of) if name == "taskgate_task_wait_seconds_bucket"
    }
    assert (buckets["900"], buckets["1800"]) == (0, 1)


def test_every_kind_of_process_that_may_be_lost_is_counted_from_zero() -> None:
    found = [(labels, value) for name, labels, value in samples(telemetry()) if name == "taskgate_leases_lost_total"]
    assert sorted((labels["kind"], labels["backend"], value) for labels, value in found) == [
        ("gateway", "", 0),
        ("worker", "redis", 0),
        ("worker", "temporal", 0),
    ]
