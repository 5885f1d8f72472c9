"""Changes that LaunchDarkly streams are in force with their entry in the ledger; its audit log says who made them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.migration.flags.launchdarkly_api import LaunchDarklyApi
from gateway.migration.flags.launchdarkly_audit import LaunchDarklyAuditLog
from gateway.migration.ledger.authors import Authors
from gateway.migration.ledger.entries import EntriesInForce
from gateway.migration.ledger.observer import RoutingObserver
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from workers.testing.waiting import until

KEY = "task-backend"
ACME = RouteQuery("acme", "add_episode", "task-1", "p1", plan=None)
MEMBER = {"_id": "a1", "member": {"email": "ada@example.org"}, "comment": "first move", "titleVerb": "turned on"}


def flag_at(version: int, stage: Stage) -> dict[str, Any]:
    return with_stage(new_flag(KEY) | {"version": version}, Scope("acme"), stage)


@pytest.fixture
async def observed(launchdarkly: Any, database: Database) -> AsyncIterator[Callable[..., Any]]:
    """Each call starts one gateway's flag, recorded; with or without a token for the REST API."""
    closing: list[Callable[[], Any]] = []

    async def start(*, with_token: bool) -> FlagSource:
        listener = Listener(database)
        flags = FlagSource(flag_key=KEY, sdk_key=launchdarkly.sdk_key, base_url=launchdarkly.url, held=True)
        log = None
        if with_token:
            place = {"project": "default", "environment": "production", "flag_key": KEY}
            log = LaunchDarklyAuditLog(LaunchDarklyApi(launchdarkly.url, launchdarkly.api_token, **place))
        observer = RoutingObserver(database, listener, flags, EntriesInForce(), Authors(database, flags, log))
        closing.extend((observer.close, listener.close, flags.close))
        await flags.start()
        await observer.start()
        return flags

    yield start
    for close in closing:
        await close()


async def until_stage(flags: FlagSource, stage: Stage) -> None:
    await until(lambda: flags.evaluate(ACME).stage is stage)


async def test_the_audit_log_names_the_author(launchdarkly: Any, database: Database, observed: Any) -> None:
    launchdarkly.put(flag_at(1, Stage.OFF))
    sources = [await observed(with_token=True) for _ in range(2)]
    launchdarkly.audit_log = [MEMBER]
    await launchdarkly.patch(flag_at(2, Stage.LIVE))
    for flags in sources:
        await until_stage(flags, Stage.LIVE)
    rows = await database.fetch(
        "SELECT source, scope, before, after, who, why, version FROM taskgate.ledger ORDER BY id"
    )
    assert [tuple(row) for row in rows[1:]] == [
        ("launchdarkly", "tenant:acme", "off", "live", "ada@example.org", "first move", "2")
    ]


@pytest.mark.parametrize("trouble", ["no token", "nothing said", "500"])
async def test_without_it_the_version_alone_is_known(
    launchdarkly: Any, database: Database, observed: Any, trouble: str
) -> None:
    launchdarkly.put(flag_at(1, Stage.OFF))
    flags = await observed(with_token=trouble != "no token")
    launchdarkly.audit_log = None if trouble == "500" else []
    await launchdarkly.patch(flag_at(2, Stage.LIVE))
    await until_stage(flags, Stage.LIVE)
    row = await database.fetchrow("SELECT who, why, version FROM taskgate.ledger ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert tuple(row) == ("", "seen in LaunchDarkly; nobody is named", "2")


async def test_an_older_version_is_not_recorded_over_a_newer_one(
    launchdarkly: Any, database: Database, observed: Any
) -> None:
    """A gateway whose stream lags behind the other's: what it has is no change."""
    launchdarkly.put(flag_at(2, Stage.LIVE))
    first = await observed(with_token=False)
    await until_stage(first, Stage.LIVE)
    launchdarkly.put(flag_at(1, Stage.OFF))
    late = await observed(with_token=False)
    assert not late.evaluate(ACME).known
    await launchdarkly.patch(flag_at(3, Stage.RAMPDOWN))
    await until_stage(late, Stage.RAMPDOWN)
    stages = await database.fetch("SELECT before, after FROM taskgate.ledger ORDER BY id")
    assert [tuple(row) for row in stages[1:]] == [("live", "rampdown")]
