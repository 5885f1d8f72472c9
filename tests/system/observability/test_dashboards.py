"""Every panel and every rule shows something: a real Prometheus reads a gateway and Temporal while tasks run."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from contracts.world import Servers, World
from deploy.local.ports import free_port
from deploy.local.prometheus import PROMTOOL, PrometheusPart
from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import EmbeddedStack
from deploy.local.temporal_setup import DEFAULT_NAMESPACE
from gateway.routing.stages import Stage
from workers.testing.waiting import eventually

#: Building Prometheus takes minutes, once.
pytestmark = pytest.mark.timeout(1500)

#: Rules over minutes need data of minutes, and tasks that die need their retries first (seconds).
MINUTES = 600
PLACE = Path(__file__).resolve().parents[3] / "deploy" / "observability"
RULES = [rule for group in yaml.safe_load((PLACE / "rules.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
DASHBOARDS = sorted((PLACE / "dashboards").glob("*.json"))
PANELS = {
    f"{board.stem}: {panel['title']}": target["expr"]
    for board in DASHBOARDS
    for panel in json.loads(board.read_text())["panels"]
    for target in panel["targets"]
}
#: What an alert compares: series with their labels.
SERIES = re.compile(r"taskgate[a-z0-9_:]*(?:\{[^}]*\})?")


def quick_rules(directory: Path) -> Path:
    """The rules, evaluated every second."""
    path = directory / "rules.yml"
    path.write_text((PLACE / "rules.yml").read_text().replace("interval: 30s", "interval: 1s"))
    return path


@pytest.fixture
async def stack(stack_factory: StackFactory) -> EmbeddedStack:
    """Of this test alone: its Temporal counts from nothing."""
    return await stack_factory({"postgres", "temporal"})


@pytest.fixture
async def world(stack: EmbeddedStack, database_url: str, redis_server: str, tmp_path: Path) -> AsyncIterator[World]:
    servers = Servers(database_url, redis_server, stack.temporal_address, DEFAULT_NAMESPACE, None)
    async with World("off", servers, tmp_path).running() as world:
        yield world


def metrics_of(directory: Path) -> str:
    """`host:port` of Temporal's metrics, as its configuration has it."""
    text = next(directory.rglob("server.yaml")).read_text()
    found = re.search(r"listenAddress: ['\"]?([\d.]+:\d+)", text)
    assert found is not None
    return found[1]


@pytest.fixture
async def prometheus(world: World, stack: EmbeddedStack, tmp_path: Path) -> AsyncIterator[PrometheusPart]:
    key = tmp_path / "key"
    key.write_text(world.admin.key)
    config = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(quick_rules(tmp_path))]
    gateway, temporal = config["scrape_configs"]
    gateway["static_configs"] = [{"targets": [httpx.URL(world.url).netloc.decode()]}]
    gateway["authorization"]["credentials_file"] = str(key)
    temporal["static_configs"] = [{"targets": [metrics_of(stack.directory)]}]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    part = PrometheusPart(tmp_path / "prometheus", free_port(), lambda _: None, config=path)
    await part.start()
    yield part
    await part.kill()


async def run_tasks(world: World) -> None:
    """On both engines, as long as this is not cancelled: what completes, fails, is repeated, and dies."""
    home = await world.people.household("enterprise")
    moved = await world.people.household("vip")
    await world.flag.set(Stage.LIVE, moved.tenant_id)
    number = 0
    while True:
        number += 1
        for one in (home, moved):
            for do in ("", f"flaky {number}", "fatal x"):
                await world.submit(one, do)
        await asyncio.sleep(0.5)


async def empty(prometheus: PrometheusPart, expressions: dict[str, str]) -> dict[str, str]:
    """Those without any series, or with nothing but NaN."""
    values = {name: await prometheus.query(expression) for name, expression in expressions.items()}
    return {name: expressions[name] for name, found in values.items() if all(one["value"][1] == "NaN" for one in found)}


async def test_every_panel_and_every_rule_returns_data(world: World, prometheus: PrometheusPart) -> None:
    records = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
    compared = {series: series for rule in ALERTS for series in SERIES.findall(rule["expr"])}
    wanted: dict[str, Any] = PANELS | records | compared
    load = asyncio.create_task(run_tasks(world))

    async def without_data() -> dict[str, Any]:
        assert not load.done(), load.exception()
        return await empty(prometheus, wanted)

    try:
        await eventually(without_data, lambda left: not left, within=MINUTES, pause=1)
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


async def test_the_rules_fire_and_are_silent_as_they_should() -> None:
    promtool = await PROMTOOL.locate(lambda _: None)
    process = await asyncio.create_subprocess_exec(
        promtool,
        "test",
        "rules",
        "rules.test.yml",
        cwd=PLACE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
