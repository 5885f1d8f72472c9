"""A client of the fault suite, or its operator, waits for gateways that were all killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from gateway.routing.stages import Stage

sys.path.insert(0, str(Path(__file__).resolve().parent))

import clients as clients_module
import moves as moves_module
import served
from clients import Clients
from moves import Moves
from served import LONGEST, ServedTime

#: Shorter than the outage.
PATIENCE = 0.2
OUTAGE = 5


class Gateways:
    """They are away for the first `outage` requests; then they take everything."""

    def __init__(self, outage: int) -> None:
        self.left = outage

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.left -= 1
        if self.left >= 0:
            raise httpx.ConnectError("nobody listens")
        return httpx.Response(202, json={"task_id": "t", "overrides": [], "version": 1})


@pytest.fixture
def gateways() -> Gateways:
    return Gateways(OUTAGE)


@pytest.fixture
def world(tmp_path: Any) -> Any:
    """None of its gateways has ever answered."""

    async def nobody() -> bool:
        return False

    return SimpleNamespace(
        directory=tmp_path,
        gateway_urls=["http://gateway"],
        grpc_addresses=[],
        keys={"TASKGATE_ADMIN_KEY": "k"},
        authorization=lambda tenant: "Bearer k",
        served=ServedTime(nobody),
    )


@pytest_asyncio.fixture
async def http(gateways: Gateways) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(gateways.answer)) as http:
        yield http


async def test_a_stage_is_set_when_the_gateways_are_back(
    world: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves_module, "PATIENCE", PATIENCE)
    moves = Moves(world, cast(Clients, None))
    monkeypatch.setattr(moves, "_http", http)
    async with asyncio.timeout(20):
        await moves.set_stage("acme", Stage.LIVE)
    assert moves.changes[0].repeated


async def test_a_request_is_answered_when_the_gateways_are_back(
    world: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients_module, "PATIENCE", PATIENCE)
    clients = Clients(world, cast(Any, SimpleNamespace(choice=lambda urls: urls[0])))
    monkeypatch.setattr(clients, "_http", http)
    async with asyncio.timeout(20):
        answer = await clients._ask("POST", "/gateway/v1/tasks", "acme")
    assert answer.status_code == httpx.codes.ACCEPTED


async def test_patience_ends_while_a_gateway_answers_and_never_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now, there = 0.0, [False] * 3 + [True] * 3
    over: list[bool] = []

    async def answers() -> bool:
        nonlocal now
        now += 50.0
        over.append(is_over())
        if not there:
            raise asyncio.CancelledError
        return there.pop(0)

    monkeypatch.setattr(served, "LOOK_SECONDS", 0.0)
    time_served = ServedTime(answers, lambda: now)
    is_over = time_served.patience(120.0)
    with pytest.raises(asyncio.CancelledError):
        await time_served.measure_forever()
    assert (over, time_served.seconds) == ([False] * 6 + [True], 150.0)


async def test_nobody_waits_for_ever() -> None:
    now = 0.0

    async def nobody() -> bool:
        return False

    is_over = ServedTime(nobody, lambda: now).patience(120.0)
    now = LONGEST
    assert not is_over()
    now += 1
    assert is_over()
