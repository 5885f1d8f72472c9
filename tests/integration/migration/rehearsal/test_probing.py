"""Which tasks of a tenant at `shadow` are probed, and what becomes of the answers; the engine is played by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from backends.errors import (
    CapabilityMissing,
    EngineUnavailable,
    StartRefused,
    StartUncertain,
    WorkflowNotFound,
)
from backends.port import WorkflowRef, WorkflowStart
from backends.rehearsal import Objection, ProbeAnswer
from gateway.migration.rehearsal import probes as sending
from gateway.migration.rehearsal.comparisons import Comparisons
from gateway.migration.rehearsal.probes import Probes
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

LONG_AGO = "UPDATE taskgate.rehearsal_probe SET sent_at = now() - interval '2 minutes' WHERE task_id = $1"


@dataclass
class Hands:
    """In the engine's place."""

    sent: list[str] = field(default_factory=list)
    by_reference: list[str] = field(default_factory=list)
    answers: dict[str, ProbeAnswer] = field(default_factory=dict)
    refusal: Exception | None = None
    silence: Exception | None = None

    async def send_probe(self, start: WorkflowStart, *, wait: timedelta, by_reference: bool) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(start.ref.task_id)
        if by_reference:
            self.by_reference.append(start.ref.task_id)

    async def probe_answer(self, task_id: str) -> ProbeAnswer | None:
        if self.silence is not None:
            raise self.silence
        return self.answers.get(task_id)


@pytest.fixture
def hands(bench: Any) -> Hands:
    bench.flags.put(Scope("acme"), Stage.SHADOW)

    def start_of(row: Any) -> WorkflowStart:
        ref = WorkflowRef(row["task_id"], 1, row["group_id"], row["task_type"])
        return WorkflowStart(ref, {}, timedelta(seconds=60), tenant_id=row["tenant_id"], queue="shared-probe")

    bench.check.start_of = start_of
    return Hands()


def probes(bench: Any, hands: Hands, *, percent: float = 100, per_second: float = 1e9) -> Probes:
    return Probes(
        bench.database,
        hands,  # type: ignore[arg-type]
        Comparisons(bench.router, bench),
        percent=percent,
        per_second=per_second,
        wait=timedelta(seconds=30),
    )


async def look(bench: Any, asking: Probes) -> None:
    await bench.rehearsal(probes=asking).tick()


async def test_tasks_at_shadow_that_are_ready(bench, hands):
    bench.check.found = {"bad": [Objection("no_worker")], "warned": [Objection("attribute_cut", "x")]}
    for task in ("a", "bad", "warned"):
        await bench.start(task, stage="shadow")
    await bench.start("dual")
    await look(bench, probes(bench, hands))
    assert hands.sent == ["a", "warned"]


async def test_who_has_left_the_stage_is_not_probed(bench, hands):
    await bench.start("a", stage="shadow")
    bench.flags.put(Scope("acme"), Stage.LIVE)
    await look(bench, probes(bench, hands))
    assert hands.sent == []
    assert (await bench.summary()).ready == 1


async def test_a_sample_and_a_rate(bench, hands):
    for number in range(200):
        await bench.start(f"t{number}", stage="shadow")
    await look(bench, probes(bench, hands, percent=25))
    assert 25 <= len(hands.sent) <= 75, "a quarter, by the hash of the task id"
    assert hands.sent == sorted(set(hands.sent), key=lambda task: int(task[1:]))
    hands.sent.clear()
    await bench.start("other", tenant="globex", stage="shadow")
    bench.flags.put(Scope("globex"), Stage.SHADOW)
    for number in range(10):
        await bench.start(f"more{number}", stage="shadow")
    await look(bench, probes(bench, hands, per_second=0.001))
    assert hands.sent == ["other", "more0"], "one of each tenant"
    hands.sent.clear()
    for number in range(10):
        await bench.start(f"burst{number}", stage="shadow")
    await look(bench, probes(bench, hands, per_second=4))
    assert hands.sent == [f"burst{number}" for number in range(4)], "those of a second at once"
    hands.sent.clear()
    await bench.start("none", stage="shadow")
    await look(bench, probes(bench, hands, percent=0))
    assert hands.sent == []


async def test_so_many_are_under_way_at_once(bench, hands, monkeypatch):
    monkeypatch.setattr(sending, "MOST_UNDER_WAY", 3)
    for number in range(5):
        await bench.start(f"t{number}", stage="shadow")
    asking = probes(bench, hands)
    await look(bench, asking)
    assert hands.sent == ["t0", "t1", "t2"]
    hands.answers = {"t0": ProbeAnswer("no_rehearse", queue_seconds=0.1)}
    await asking.tick()
    await bench.start("later", stage="shadow")
    await look(bench, asking)
    assert hands.sent[3:] == ["later"]


async def test_a_payload_that_was_not_read_goes_by_reference(bench, hands, database):
    await bench.start("small", stage="shadow")
    await bench.start("large", stage="shadow")
    await database.execute(
        "UPDATE task_logs SET payload = json_build_object('x', repeat('x', 5000)) WHERE id = 'large'"
    )
    await look(bench, probes(bench, hands))
    assert (hands.sent, hands.by_reference) == (["small", "large"], ["large"])


async def test_answers_are_kept_beside_the_runs_on_redis(bench, hands, database):
    for task in ("a", "b", "c", "waits"):
        await bench.start(task, stage="shadow")
    asking = probes(bench, hands)
    await look(bench, asking)
    await database.execute("UPDATE taskgate.dispatch SET queued_at = now() - interval '2 seconds'")
    await database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, ended_at)"
        " SELECT task_id, 1, 1, 'redis', 'w', queued_at + interval '0.5 seconds', queued_at + interval '1.5 seconds'"
        " FROM taskgate.dispatch WHERE task_id <> 'waits'"
    )
    hands.answers = {
        "a": ProbeAnswer("rehearsed", "", 0.1, 0.01, 0.2, "w1"),
        "b": ProbeAnswer("no_rehearse", "", 0.3, 0.03, None, "w1"),
        "c": ProbeAnswer("raised", "ValueError: x", 0.5, 0.01, 0.1, "w1"),
        "waits": ProbeAnswer("no_rehearse", "", 0.7, 0.02, None, "w1"),
    }
    await asking.tick()
    one = await bench.summary()
    assert (one.verdict, one.ready) == ("not_ready", 4)
    assert one.note.startswith("4 tasks could have started, but probes failed: the handler's rehearse() raised")
    probed = one.probes
    assert (probed.good, probed.rehearsed, probed.failed, probed.unanswered) == (3, 1, 1, 0)
    assert (probed.queue.tasks, probed.queue.median) == (2, 0.2)
    assert (probed.redis_queue.median, probed.redis_run.median) == (0.5, 1.0)
    assert (probed.rehearse.tasks, probed.decode.median) == (1, 0.02)
    listed = {task.task_id: task for task in await bench.reports.probes("acme", 24)}
    assert (listed["waits"].redis_queue_seconds, listed["waits"].redis_run_seconds) == (None, None)
    assert (listed["c"].outcome, listed["c"].detail, listed["c"].went_well) == ("raised", "ValueError: x", False)
    assert bench.compared == [
        ("shadow", True, timedelta(seconds=0.5), timedelta(seconds=0.1)),
        ("shadow", True, timedelta(seconds=0.5), timedelta(seconds=0.3)),
        ("shadow", False, timedelta(seconds=0.5), timedelta(seconds=0.5)),
        ("shadow", True, None, timedelta(seconds=0.7)),
    ]
    await asking.tick()
    assert len(bench.compared) == 4, "each once"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (EngineUnavailable("down"), "temporal_away"),
        (CapabilityMissing("a DAG"), "unsupported"),
        (StartRefused("too long"), "refused"),
    ],
)
async def test_what_cannot_be_sent(bench, hands, error, outcome):
    hands.refusal = error
    await bench.start("a", stage="shadow")
    await look(bench, probes(bench, hands))
    (reason,) = (await bench.summary()).probes.reasons
    assert (reason.code, reason.tasks) == (outcome, 1)
    assert [task.detail for task in await bench.reports.probes("acme", 24)] == [error.args[0]]


async def test_the_next_leader_collects(bench, hands):
    """Also of a probe of which nobody knows whether it was sent, and of one that was not."""
    hands.refusal = StartUncertain()
    await bench.start("a", stage="shadow")
    await look(bench, probes(bench, hands))
    assert (await bench.reports.probes("acme", 24)) == []
    hands.answers = {"a": ProbeAnswer("no_rehearse")}
    await probes(bench, hands).tick()
    assert (await bench.summary()).probes.good == 1
    await bench.start("b", stage="shadow")
    await look(bench, probes(bench, hands))
    hands.silence = WorkflowNotFound()
    await probes(bench, hands).tick()
    assert [task.outcome for task in await bench.reports.probes("acme", 24)] == ["not_sent", "no_rehearse"]


async def test_an_answer_that_never_comes_is_given_up(bench, hands, database):
    for task in ("a", "b"):
        await bench.start(task, stage="shadow")
    asking = probes(bench, hands)
    await look(bench, asking)
    await asking.tick()
    hands.silence = EngineUnavailable("down")
    await asking.tick()
    assert await bench.reports.probes("acme", 24) == []
    await database.execute(
        "UPDATE taskgate.rehearsal_probe SET sent_at = now() - interval '2 minutes' WHERE task_id = 'a'"
    )
    await asking.tick()
    assert [task.outcome for task in await bench.reports.probes("acme", 24)] == ["temporal_away"]
    hands.silence = None
    await database.execute(
        "UPDATE taskgate.rehearsal_probe SET sent_at = now() - interval '2 minutes' WHERE task_id = 'b'"
    )
    await asking.tick()
    one = await bench.summary()
    assert {why.code for why in one.probes.reasons} == {"temporal_away", "lost"}
    assert one.verdict == "ready", "what was not answered says nothing"


async def test_what_a_newer_worker_says(bench, hands):
    await bench.start("a", stage="shadow")
    asking = probes(bench, hands)
    await look(bench, asking)
    hands.answers = {"a": ProbeAnswer("levitated")}
    await asking.tick()
    assert [(task.outcome, task.detail) for task in await bench.reports.probes("acme", 24)] == [
        ("not_understood", "levitated")
    ]


async def test_what_a_handler_raises_may_be_any_text(bench, hands):
    """One answer that cannot be stored would hold up those of everybody."""
    await bench.start("a", stage="shadow")
    asking = probes(bench, hands)
    await look(bench, asking)
    hands.answers = {"a": ProbeAnswer("raised", "ValueError: a\0b\ud800", worker_id="w\0")}
    await asking.tick()
    assert [(task.outcome, task.detail, task.worker_id) for task in await bench.reports.probes("acme", 24)] == [
        ("raised", r"ValueError: a\0b\ud800", r"w\0")
    ]


async def test_old_probes_are_forgotten(bench, hands, database, monkeypatch):
    monkeypatch.setattr(sending, "KEPT", 2)
    asking = probes(bench, hands)
    for number in range(4):
        task = await bench.start(f"t{number}", stage="shadow")
        await look(bench, asking)
        hands.answers[task] = ProbeAnswer("no_rehearse")
        await asking.tick()
    assert [task.task_id for task in await bench.reports.probes("acme", 24)] == ["t3", "t2"]
    await database.execute("UPDATE taskgate.rehearsal_probe SET sent_at = now() - interval '8 days'")
    await bench.rehearsal(probes=asking).forget(7)
    assert await database.fetchval("SELECT count(*) FROM taskgate.rehearsal_probe") == 0


async def test_launchdarkly_hears_of_checks(bench, hands):
    bench.flags.put(Scope("acme"), Stage.DUALWRITE)
    bench.check.found = {"bad": [Objection("no_worker")], "away": [Objection("temporal_away")]}
    for task in ("a", "bad", "away"):
        await bench.start(task)
    await bench.start("left", tenant="globex")
    await look(bench, probes(bench, hands))
    assert bench.compared == [("dualwrite", True, None, None), ("dualwrite", False, None, None)]
