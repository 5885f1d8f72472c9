"""Who follows the flag: the stream, and other gateways."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx

from gateway.bootstrap import build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.integration.http.stages.conftest import ANN, PATH


async def test_the_stream_tells_of_flag_and_overrides(
    serve: Callable[..., Any], serve_http: Callable[..., Any], admin: dict[str, str], database: Database
) -> None:
    gateway = build_gateway(Settings(database_url=database.url), engines={})
    await gateway.flags.start()
    await gateway.observer.start()
    await gateway.overrides.start()
    async with serve_http(gateway) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        http.headers.update(admin)
        async with asyncio.timeout(20), http.stream("GET", PATH + "/stream") as answer:
            lines = answer.aiter_lines()

            async def state() -> dict[str, Any]:
                async for line in lines:
                    if line.startswith("data: "):
                        return dict(json.loads(line.removeprefix("data: ")))
                raise AssertionError("the stream ended")

            assert (await state())["settings"] == []
            await http.put(PATH, json=ANN)
            while not (told := await state())["settings"]:
                pass
            assert (told["version"], told["settings"][0]["stage"]) == (1, "live")
            override = {"everything": True, "stage": "off", "why": "x", "based_on": 0}
            await http.put(PATH + "/overrides", json=override)
            while not (told := await state())["overrides"]:
                pass
            assert told["overrides"][0]["by"] == "root"
            await http.put(PATH, json={**ANN, "stage": "off", "based_on": 1})
            while (told := await state())["settings"][0]["stage"] != "off":
                pass
            assert told["version"] == 2


async def test_a_change_is_in_force_in_another_gateway_within_a_second(
    serving: Callable[..., Any], database_url: str, redis_server: str, admin: dict[str, str]
) -> None:
    """Two gateway processes without a flag file: what one is told, both route by."""
    async with (
        serving(database_url, redis_server) as (_, first),
        serving(database_url, redis_server) as (_, second),
        httpx.AsyncClient(headers=admin) as http,
    ):
        for version, stage in enumerate(("live", "off", "rampdown", "complete")):
            asked = {**ANN, "stage": stage, "based_on": version}
            assert (await http.put(first + PATH, json=asked)).status_code == 200
            begun = time.monotonic()
            for url in (first, second):
                while (await http.get(f"{url}/gateway/v1/tenants/t-ann")).json()["stage"] != stage:
                    assert time.monotonic() - begun < 1.0
        ready = (await http.get(f"{second}/gateway/v1/ready")).json()
        [problem] = ready["problems"]
        assert problem.startswith("flag task-backend: stage complete (tenant t-ann) asks for temporal, which is not")
        [told] = (await http.get(f"{second}/gateway/v1/ready", headers={"Authorization": ""})).json()["problems"]
        assert told.startswith("flag task-backend: stage complete (in force for 1) asks for temporal, which is not")
        connection = await asyncpg.connect(database_url)
        await connection.execute("UPDATE taskgate.flag_version SET document = '{}'")
        await connection.close()
        begun = time.monotonic()
        invalid = "flags in the database: version 4 is not valid: it has no flag 'task-backend'"
        while not any(
            problem.startswith(invalid) for problem in (await http.get(f"{second}/gateway/v1/ready")).json()["problems"]
        ):
            assert time.monotonic() - begun < 2.0
        assert (await http.get(f"{second}/gateway/v1/tenants/t-ann")).json()["stage"] == "complete"
