"""What is said of a tenant since its move, and what it is compared with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.errors import InvalidRequest, TenantNotFound
from gateway.migration.parity.documents import document
from gateway.migration.parity.judgement import ParityVerdict
from gateway.migration.parity.parity import Parity, Recount, Report
from gateway.routing.query import Scope
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database

ROOT = Caller("root", "k", True, frozenset())
ReadReport = Callable[..., Awaitable[Report]]


@pytest.fixture
def read(database: Database) -> ReadReport:
    flags = StaticFlags(Stage.OFF)
    flags.put(Scope("acme"), Stage.LIVE)
    parity = Parity(database, Router(flags, None, frozenset({REDIS, TEMPORAL})), days=14)

    async def report(tenant_id: str = "acme", *, caller: Caller = ROOT, **more: Any) -> Report:
        return await parity.report(caller, tenant_id, **more)

    return report


async def test_as_good_as_before(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=2)
    entry = await history.flip("off", "live", hours_ago=1)
    await history.ended(1000, failed=12, backend="temporal", hours_ago=0.5, seconds=1.2)
    report = await read()
    assert (report.verdict, report.stage, report.moved_by) == (ParityVerdict.PASS, Stage.LIVE, entry)
    assert report.since is not None
    assert report.baseline_from == report.since - timedelta(hours=24)
    (one,) = document(report, with_others=True)["types"]
    before, since, stayed = one["sides"]
    assert (before["backend"], before["tasks"], before["runs"], before["attempts_per_task"]) == (
        "redis",
        1000,
        1010,
        1.01,
    )
    assert (since["backend"], since["failed"], since["retried"]) == (
        "temporal",
        {"asked": 1000, "yes": 12},
        {"asked": 1000, "yes": 12},
    )
    assert (since["run"]["p50"], since["wait"]["p50"]) == (pytest.approx(1.2, rel=0.2), pytest.approx(0.5, rel=0.2))
    assert (since["run"]["count"], since["total"]["count"], since["late"]["count"]) == (1000, 1000, 0)
    assert stayed["tasks"] == 0
    assert [one["streams"][0][half]["asked"] for half in ("even_minutes", "odd_minutes")] == [500, 500]


async def test_worse_than_before(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(40, failed=20, backend="temporal", hours_ago=0.5)
    report = await read()
    assert report.verdict is ParityVerdict.REGRESS
    assert report.reasons[0].startswith("probe: 20 of 40 (50.0%) failed at their first run on temporal, 10 of 1,000")


async def test_a_tenant_that_never_moved_has_no_data(history: Any, read: ReadReport) -> None:
    await history.ended(1000, hours_ago=2, tenant_id="globex")
    report = await read("globex")
    assert (report.verdict, report.since, report.types) == (ParityVerdict.NO_DATA, None, [])
    assert report.reasons == [
        "nothing of globex has ended on temporal, and its stage is off: move it with taskgate flags set, "
        "or rehearse first"
    ]


async def test_a_tenant_that_stayed_when_the_default_moved_has_no_data(history: Any, read: ReadReport) -> None:
    await history.ended(1000, hours_ago=2, tenant_id="globex")
    await history.flip("off", "live", hours_ago=24 * 20, scope="default")
    report = await read("globex")
    assert report.verdict is ParityVerdict.NO_DATA
    assert report.reasons[0].startswith("nothing of globex has ended on temporal, and its stage is off")


async def test_a_window_without_tasks_has_no_data(history: Any, read: ReadReport) -> None:
    await history.ended(1000, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    report = await read()
    assert (report.verdict, report.reasons) == (
        ParityVerdict.NO_DATA,
        ["probe: nothing has ended on temporal yet; send a task, or wait"],
    )


async def test_a_tenant_without_traffic_has_no_data(history: Any, read: ReadReport) -> None:
    await history.flip("off", "live", hours_ago=1)
    report = await read()
    assert report.verdict is ParityVerdict.NO_DATA
    assert report.reasons[0].endswith("nor in the 24 hours before; send a task")


async def test_a_type_seen_for_the_first_time_never_passes(history: Any, read: ReadReport) -> None:
    await history.ended(1000, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(1000, backend="temporal", hours_ago=0.5)
    await history.ended(300, backend="temporal", hours_ago=0.5, task_type="new")
    report = await read()
    assert [(one.sides.task_type, one.judgement.verdict) for one in report.types] == [
        ("new", ParityVerdict.NO_DATA),
        ("probe", ParityVerdict.PASS),
    ]
    assert report.verdict is ParityVerdict.NO_DATA
    assert "seen for the first time" in report.reasons[0]


async def test_a_stage_that_went_back_and_forth_counts_from_its_last_move(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=6)
    await history.flip("off", "live", hours_ago=5)
    await history.ended(100, failed=90, backend="temporal", hours_ago=4)
    await history.flip("live", "off", hours_ago=3)
    await history.ended(200, failed=2, hours_ago=2)
    entry = await history.flip("off", "live", hours_ago=1)
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    await history.flip("live", "rampdown", hours_ago=0.2)
    report = await read()
    assert (report.moved_by, report.verdict) == (entry, ParityVerdict.PASS)
    assert report.types[0].sides.before.over == 1200


async def test_a_change_that_was_not_made_is_no_move(history: Any, read: ReadReport) -> None:
    """It is in the ledger before it is tried, and taken back there (`recorded_first`)."""
    entry = await history.flip("off", "live", hours_ago=5)
    back = await history.flip("live", "off", hours_ago=3)
    await history.flip("off", "live", hours_ago=3, undoes=back)
    assert (await read()).moved_by == entry
    globex = {"scope": "tenant:globex", "hours_ago": 2}
    tried = await history.flip("off", "live", **globex)
    await history.flip("live", "off", **globex, undoes=tried)
    assert (await read("globex")).moved_by is None
    again = await history.flip("off", "live", **globex)
    assert (await read("globex")).moved_by == again


async def test_a_setting_that_was_not_taken_away_after_all_is_not_gone(history: Any, read: ReadReport) -> None:
    entry = await history.flip("off", "live", hours_ago=5)
    gone = await history.flip("live", None, hours_ago=4)
    await history.flip(None, "live", hours_ago=4, undoes=gone)
    await history.flip("off", "live", hours_ago=3, scope="default")
    assert (await read()).moved_by == entry


async def test_a_persons_reason_is_no_state(history: Any, read: ReadReport) -> None:
    await history.flip("off", "live", hours_ago=5)
    await history.flip("live", "off", hours_ago=3)
    entry = await history.flip("off", "live", hours_ago=2, why="not made: the tests say so, but it was")
    await history.flip("live", "off", hours_ago=1, scope="tenant:globex")
    assert (await read()).moved_by == entry


async def test_a_pilot_that_ended_is_not_the_move_of_a_tenant_that_moved_with_everybody(
    history: Any, read: ReadReport
) -> None:
    await history.flip("off", "live", hours_ago=24 * 40)
    await history.flip("live", None, hours_ago=24 * 30)
    await history.ended(1000, failed=10, hours_ago=2)
    entry = await history.flip("off", "live", hours_ago=1, scope="default")
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    report = await read()
    assert (report.moved_by, report.verdict) == (entry, ParityVerdict.PASS)


async def test_a_pilot_that_everybody_followed_moved_when_it_began(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=6)
    entry = await history.flip("off", "live", hours_ago=5)
    await history.ended(1000, failed=10, backend="temporal", hours_ago=4)
    await history.flip("off", "live", hours_ago=2, scope="default")
    await history.flip("live", None, hours_ago=1)
    report = await read()
    assert (report.moved_by, report.verdict) == (entry, ParityVerdict.PASS)


async def test_who_is_back_at_a_plans_override_moved_when_the_override_above_it_was_cleared(
    database: Database, history: Any, read: ReadReport
) -> None:
    """An override of a plan stands in for the flag: others outrank it, also less specific ones."""
    moved = await history.flip("off", "live", hours_ago=5)
    above = await history.flip(None, "off", hours_ago=3, scope="default")
    cleared = await history.flip("off", None, hours_ago=2, scope="default")
    by = "UPDATE taskgate.ledger SET source = 'override', who = $2 WHERE id = $1"
    for entry, who in ((moved, "taskgate plan"), (above, "ada"), (cleared, "ada")):
        await database.execute(by, entry, who)
    assert (await read()).moved_by == cleared
    await database.execute(by, moved, "ada")
    assert (await read()).moved_by == moved, "a person's is the more specific one"


async def test_what_ends_on_redis_since_the_move_is_no_baseline(history: Any, read: ReadReport) -> None:
    """Tasks that were queued before run to their end there, and a stage may move a part only."""
    await history.ended(1000, failed=10, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(50, failed=50, hours_ago=0.5)
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    report = await read()
    assert report.verdict is ParityVerdict.PASS
    assert (report.types[0].sides.before.first, report.types[0].both.first) == (1000, 50)


async def test_a_share_that_moved_counts_from_its_first_task(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=2)
    await history.flip(None, None, hours_ago=1, scope="default")
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    report = await read()
    assert (report.verdict, report.moved_by) == (ParityVerdict.PASS, None)


async def test_an_incident_of_everybody_is_no_regression(history: Any, read: ReadReport) -> None:
    for tenant in ("acme", "globex", "initech"):
        await history.ended(1000, failed=10, hours_ago=2, tenant_id=tenant)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(40, failed=20, backend="temporal", hours_ago=0.5)
    for tenant in ("globex", "initech"):
        await history.ended(100, failed=45, hours_ago=0.5, tenant_id=tenant)
    report = await read()
    assert report.verdict is ParityVerdict.INCONCLUSIVE
    finding = report.types[0].judgement.findings[0]
    assert (finding.others_before.asked, finding.others_since.yes) == (2000, 90)
    shown = document(report, with_others=False)["types"][0]["streams"][0]
    assert (shown["others_before"], shown["others_since"]) == (None, None)


async def test_everything_since_the_move_counts_however_few_tasks_a_day(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=24 * 6)
    await history.flip("off", "live", hours_ago=24 * 5.5)
    for day in range(5):
        await history.ended(40, backend="temporal", hours_ago=24 * day + 12)
    report = await read()
    assert (report.verdict, report.types[0].sides.since.over) == (ParityVerdict.PASS, 200)


async def test_a_type_that_ran_last_week_has_ended_on_the_new_engine(history: Any, read: ReadReport) -> None:
    for task_type in ("probe", "weekly"):
        await history.ended(1000, failed=10, hours_ago=24 * 6, task_type=task_type)
    await history.flip("off", "live", hours_ago=24 * 5.5)
    await history.ended(200, backend="temporal", hours_ago=24 * 4, task_type="weekly")
    await history.ended(200, backend="temporal", hours_ago=0.5)
    report = await read()
    assert [(one.sides.task_type, one.sides.since.over) for one in report.types] == [("probe", 200), ("weekly", 200)]
    assert report.verdict is ParityVerdict.PASS


async def test_an_incident_of_everybody_days_ago_is_no_regression(history: Any, read: ReadReport) -> None:
    for tenant in ("acme", "globex"):
        await history.ended(1000, failed=10, hours_ago=24 * 6, tenant_id=tenant)
    await history.flip("off", "live", hours_ago=24 * 5.5)
    await history.ended(40, failed=20, backend="temporal", hours_ago=24 * 4)
    await history.ended(100, failed=45, hours_ago=24 * 4, tenant_id="globex")
    # What they do while this tenant does nothing is not compared.
    await history.ended(1000, failed=10, hours_ago=24, tenant_id="globex")
    report = await read()
    assert report.verdict is ParityVerdict.INCONCLUSIVE
    others = report.types[0].judgement.findings[0].others_since
    assert (others.asked, others.yes) == (100, 45)


async def test_a_viewer_of_another_tenant_sees_nothing(history: Any, read: ReadReport) -> None:
    viewer = Caller("v", "k", False, frozenset({"globex"}))
    assert (await read("globex", caller=viewer)).tenant_id == "globex"
    for tenant in ("acme", "nobody"):
        with pytest.raises(TenantNotFound):
            await read(tenant, caller=viewer)
    with pytest.raises(TenantNotFound):
        await read("nobody")


async def test_a_count_that_is_behind_says_nothing(history: Any, read: ReadReport, database: Database) -> None:
    await history.ended(1000, failed=10, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    await database.execute(
        "UPDATE taskgate.attempt SET is_counted = false, ended_at = now() - interval '1 minute' WHERE task_id = 'h0'"
    )
    report = await read()
    assert report.verdict is ParityVerdict.INCONCLUSIVE
    assert report.behind_seconds == pytest.approx(60, abs=30)
    assert "behind: no gateway leads, or PostgreSQL is slow; ask again" in report.reasons[0]


async def test_a_time_may_be_given(history: Any, read: ReadReport) -> None:
    """It is the database's: a clock that jumps here changes nothing."""
    await history.ended(1000, failed=10, hours_ago=2)
    await history.ended(1000, failed=500, backend="temporal", hours_ago=1.2)
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    at = (await read()).at
    assert (await read(since=at - timedelta(hours=1))).verdict is ParityVerdict.PASS
    assert (await read(since=at - timedelta(hours=1.6))).verdict is ParityVerdict.REGRESS
    for wrong in (at + timedelta(hours=1), at - timedelta(days=15), datetime(1, 1, 1, tzinfo=UTC)):
        with pytest.raises(InvalidRequest, match="within the last 14 days"):
            await read(since=wrong)


async def test_a_recount_leaves_the_baseline_and_counts_from_its_next_minute(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=26)
    await history.flip("off", "live", hours_ago=25)
    await history.ended(1000, failed=500, backend="temporal", hours_ago=20)
    worse = await read()
    assert worse.verdict is ParityVerdict.REGRESS
    await history.ended(1000, failed=10, backend="temporal", hours_ago=0.5)
    assert (await read()).verdict is ParityVerdict.REGRESS
    # In the middle of a minute in which tasks ended.
    at = (worse.at - timedelta(minutes=36)).replace(second=30, microsecond=0)
    report = await read(recount=Recount(at, 1))
    (one,) = report.types
    assert (report.verdict, report.since, report.moved_by) == (ParityVerdict.PASS, worse.since, worse.moved_by)
    assert (one.sides.before.first, one.sides.before.failed) == (1000, 10)
    assert 0 < one.sides.since.first < 1000
    assert (await read(recount=Recount(at - timedelta(hours=1), 1))).types[0].sides.since.first == 1000


async def test_each_recount_asks_for_more(history: Any, read: ReadReport) -> None:
    """So that whoever recounts again and again is not told sooner or later what they want to hear."""
    await history.ended(1000, failed=10, hours_ago=6)
    await history.flip("off", "live", hours_ago=5)
    await history.ended(160, backend="temporal", hours_ago=1)
    first = await read()
    at = first.at - timedelta(hours=2)
    recounted = [await read(recount=Recount(at, number)) for number in (1, 2, 3)]
    assert first.verdict is ParityVerdict.PASS
    assert {one.verdict for one in recounted} == {ParityVerdict.INCONCLUSIVE}
    findings = [one.types[0].judgement.findings[0] for one in (first, *recounted)]
    assert len({finding.since for finding in findings}) == 1
    for less, more in pairwise(findings):
        assert less.needed < more.needed
        assert less.upper < more.upper


async def test_a_move_ends_the_recounts_before_it(history: Any, read: ReadReport) -> None:
    await history.ended(1000, failed=10, hours_ago=6)
    await history.flip("off", "live", hours_ago=5)
    await history.ended(130, backend="temporal", hours_ago=4)
    at = (await read()).at
    assert (await read(recount=Recount(at - timedelta(hours=6), 3))).verdict is ParityVerdict.PASS
    assert (await read(recount=Recount(at - timedelta(hours=4.5), 3))).verdict is ParityVerdict.INCONCLUSIVE


async def test_a_recount_after_which_nothing_ended_has_no_data(history: Any, read: ReadReport) -> None:
    await history.flip("off", "live", hours_ago=5)
    await history.ended(130, backend="temporal", hours_ago=4)
    at = (await read()).at
    report = await read(recount=Recount(at - timedelta(hours=1), 1))
    assert report.verdict is ParityVerdict.NO_DATA
    assert report.reasons[0].startswith("acme: nothing ended since it is counted anew, ")


async def test_a_past_that_is_forgotten_is_no_baseline(history: Any, read: ReadReport) -> None:
    await history.flip("off", "live", hours_ago=24 * 20)
    await history.ended(1000, backend="temporal", hours_ago=0.5)
    report = await read()
    assert report.verdict is ParityVerdict.NO_DATA
    assert "moved more than 14 days ago, and what it did before is forgotten" in report.reasons[0]
