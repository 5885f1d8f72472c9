from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.routing import file_source
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.flag_text import describe_reason
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import REDIS, Stage
from workers.testing.waiting import News

KEY = "task-backend"
ACME = RouteQuery("acme", "add_episode", "task-1", "p1", plan="enterprise")
#: A change must be in force within this many seconds; a busy machine may take longer now and then.
IN_FORCE = 1.0
PATIENCE = 10.0


def text_of(*settings: tuple[Scope, Stage], **changes: Any) -> str:
    flag = new_flag(KEY) | changes
    for scope, stage in settings:
        flag = with_stage(flag, scope, stage)
    return json.dumps({"flags": {KEY: flag}})


def write(path: Path, text: str) -> None:
    """In place."""
    path.write_text(text)


def replace(path: Path, text: str) -> None:
    """As editors and `taskgate flags` do it: a new file, renamed over the old one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, path)


class Watched:
    """A flag source over a file, and the news of its listener."""

    def __init__(self, path: Path) -> None:
        self.source = FlagSource(flag_key=KEY, file=path)
        news = News()
        self.source.add_listener(news.tell)
        self.until = news.until

    async def start(self) -> None:
        await self.source.start()

    async def until_stage(self, stage: Stage) -> None:
        await self.until(lambda: self.stage() is stage)

    async def until_problem(self, part: str) -> None:
        await self.until(lambda: part in (self.source.problem() or ""))

    def stage(self, query: RouteQuery = ACME) -> Stage:
        return self.source.evaluate(query).stage


@pytest_asyncio.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    it = Watched(tmp_path / "flags.json")
    yield it
    await it.source.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


async def test_without_any_source_everybody_is_off() -> None:
    source = FlagSource()
    await source.start()
    evaluation = source.evaluate(ACME)
    assert (evaluation.stage, evaluation.known, source.owner) == (Stage.OFF, False, "nobody")
    assert source.problem() is None
    assert "no flag has been set yet" in (source.note() or "")
    source.record(evaluation, REDIS, timedelta(milliseconds=3))
    source.compare(evaluation, is_consistent=True)
    await source.close()


async def test_nothing_is_read_before_start(watched: Watched, path: Path) -> None:
    write(path, text_of((Scope("acme"), Stage.LIVE)))
    assert watched.source.evaluate(ACME).known is False
    await watched.start()
    assert watched.stage() is Stage.LIVE


async def test_a_file_that_comes_later_is_in_force(watched: Watched, path: Path) -> None:
    await watched.start()
    assert watched.source.evaluate(ACME).known is False
    assert "does not exist yet" in (watched.source.note() or "")
    replace(path, text_of((Scope("acme"), Stage.LIVE)))
    await watched.until_stage(Stage.LIVE)
    assert watched.source.note() is None


@pytest.mark.parametrize("change", [replace, write])
async def test_a_changed_file_is_in_force_within_a_second(
    watched: Watched, path: Path, change: Callable[[Path, str], None]
) -> None:
    write(path, text_of())
    await watched.start()
    waits = []
    for stage in (Stage.LIVE, Stage.OFF, Stage.COMPLETE):
        began = time.monotonic()
        change(path, text_of((Scope("acme"), stage)))
        await watched.until_stage(stage)
        waits.append(time.monotonic() - began)
    assert min(waits) < IN_FORCE


async def test_a_swapped_link_is_noticed_as_in_a_kubernetes_config_map(watched: Watched, path: Path) -> None:
    for name, stage in (("one", Stage.OFF), ("two", Stage.LIVE)):
        (path.parent / name).mkdir()
        (path.parent / name / "flags.json").write_text(text_of((Scope("acme"), stage)))
    data = path.parent / "data"
    data.symlink_to("one")
    os.symlink("data/flags.json", path)
    await watched.start()
    assert watched.stage() is Stage.OFF
    (path.parent / "data.new").symlink_to("two")
    os.replace(path.parent / "data.new", data)
    await watched.until_stage(Stage.LIVE)


async def test_a_lower_version_counts_as_a_change_too(watched: Watched, path: Path) -> None:
    write(path, text_of((Scope("acme"), Stage.LIVE), version=9))
    await watched.start()
    replace(path, text_of(version=2))
    await watched.until_stage(Stage.OFF)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("{", "not JSON: .*line 1 column 2"),
        ("{}", "it has no flag 'task-backend'"),
        (text_of(fallthrough={"variation": 17}), "names variation 17"),
    ],
)
async def test_a_malformed_file_changes_nothing_and_is_reported_once(
    watched: Watched, path: Path, broken: str, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, text_of((Scope("acme"), Stage.LIVE)))
    await watched.start()
    with caplog.at_level(logging.INFO, "gateway.routing"):
        replace(path, broken)
        await watched.until_problem("stay in force")
        assert watched.stage() is Stage.LIVE
        problem = watched.source.problem() or ""
        assert problem.startswith(f"flag file {path}: ")
        assert problem.endswith("the last known flags stay in force")
        replace(path, text_of((Scope("acme"), Stage.COMPLETE)))
        await watched.until_stage(Stage.COMPLETE)
    routing = [record for record in caplog.records if record.name.startswith("gateway.routing")]
    errors = [record for record in routing if record.levelno >= logging.WARNING]
    assert len(errors) == 1
    assert errors[0].exc_info is None
    assert re.search(complaint, errors[0].getMessage())


async def test_a_file_malformed_from_the_start_means_off(watched: Watched, path: Path) -> None:
    write(path, "{")
    await watched.start()
    assert watched.source.evaluate(ACME).known is False
    assert (watched.source.problem() or "").endswith("every tenant is at stage off")


async def test_a_file_that_vanishes_changes_nothing(watched: Watched, path: Path) -> None:
    write(path, text_of((Scope("acme"), Stage.LIVE)))
    await watched.start()
    os.unlink(path)
    await watched.until_problem("it is gone; the last known flags stay in force")
    assert watched.stage() is Stage.LIVE
    write(path, text_of((Scope("acme"), Stage.LIVE)))
    await watched.until(lambda: watched.source.problem() is None)


def test_half_a_file_is_given_time_to_become_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = text_of((Scope("acme"), Stage.LIVE))
    taken: list[Any] = []

    class Sink:
        def init(self, data: Any) -> None:
            taken.append(data)

        def update_status(self, *_: Any) -> None: ...

    class Config:
        data_source_update_sink = Sink()

    write(path, text_of())
    source: Any = file_source.FlagFileSource(path, KEY, Config(), None, lambda: None)  # type: ignore[arg-type]
    source._look(patient=True)
    write(path, whole[:-9])
    source._look(patient=True)
    assert source.problem is None
    write(path, whole)
    source._look(patient=True)
    assert source.problem is None
    assert len(taken) == 2
    write(path, whole[:-9])
    source._look(patient=True)
    source._look(patient=True)
    assert "not JSON" in source.problem


async def test_the_last_known_flag_holds_after_close(watched: Watched, path: Path) -> None:
    write(path, text_of((Scope("acme"), Stage.LIVE)))
    await watched.start()
    await watched.source.close()
    assert watched.stage() is Stage.LIVE


async def test_start_and_close_may_be_repeated(watched: Watched, path: Path) -> None:
    write(path, text_of())
    await watched.start()
    await watched.source.start()
    await watched.source.close()
    await watched.source.close()


async def test_a_rule_may_ask_for_the_tier(watched: Watched, path: Path) -> None:
    clause = {"contextKind": "tenant", "attribute": "tier", "op": "in", "values": ["vip"]}
    write(path, text_of(rules=[{"id": "vips", "variation": 3, "clauses": [clause]}]))
    await watched.start()
    assert watched.stage(RouteQuery("globex", "x", plan="vip")) is Stage.LIVE
    assert watched.stage(RouteQuery("initech", "x", plan=None)) is Stage.OFF


async def test_explain_gives_the_reason(watched: Watched, path: Path) -> None:
    clause = {"contextKind": "tenant", "attribute": "tier", "op": "in", "values": ["vip"]}
    flag = new_flag(KEY) | {"rules": [{"id": "vips", "variation": 3, "clauses": [clause]}]}
    flag = with_stage(flag, Scope("acme"), Stage.COMPLETE)
    flag = with_rollout(flag, Stage.LIVE, 25, by="tenant", seed=1)
    write(path, json.dumps({"flags": {KEY: flag}}))
    await watched.start()

    def reason(query: RouteQuery) -> str:
        evaluation = watched.source.evaluate(query)
        assert evaluation.stage is watched.stage(query)
        return describe_reason(watched.source.document() or {}, evaluation.reason or {}, query)

    assert reason(ACME) == "individual target: tenant acme"
    assert reason(RouteQuery("globex", "x", plan="vip")) == "rule 0: tenant tier vip: live"
    assert reason(RouteQuery("initech", "x", plan=None)) == "default: off 75 %, live 25 % by tenant"
    assert reason(RouteQuery(None, "x", plan=None)).endswith("the task has no tenant, so it stays with the first")
    replace(path, json.dumps({"flags": {KEY: flag | {"on": False}}}))
    await watched.until_stage(Stage.OFF)
    assert reason(ACME) == 'the flag is switched off ("on": false)'


async def test_prerequisites_are_followed(watched: Watched, path: Path) -> None:
    gate = {"key": "gate", "version": 1, "on": True, "variations": [False, True], "fallthrough": {"variation": 0}}
    flag = with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE)
    flag["prerequisites"] = [{"key": "gate", "variation": 1}]
    write(path, json.dumps({"flags": {KEY: flag, "gate": gate}}))
    await watched.start()
    assert watched.stage() is Stage.OFF
    evaluation = watched.source.evaluate(ACME)
    assert "prerequisite flag 'gate'" in describe_reason(flag, evaluation.reason or {}, ACME)
    gate["fallthrough"] = {"variation": 1}
    replace(path, json.dumps({"flags": {KEY: flag, "gate": gate}}))
    await watched.until_stage(Stage.LIVE)
