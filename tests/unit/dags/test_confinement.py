"""Costly expressions of many nodes in one step: the step ends in time."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.dags.batch import Batch
from gateway.dags.confinement import BUDGET, Confinement
from gateway.dags.node_start import Opener
from gateway.sandbox.pool import SandboxExceeded


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Exhausted:
    """A sandbox in which each call takes a second, and then too long; but for these nodes'."""

    def __init__(self, clock: Clock, *cheap: str) -> None:
        self._clock = clock
        self._cheap = cheap
        self.calls = 0

    async def run(self, _seconds: float, _function: object, _opener: object, requests: list[Any], _items: Any) -> Any:
        self.calls += 1
        self._clock.now += 1
        if all(name in self._cheap for name, *_ in requests):
            return [["o"]] * len(requests), Batch()
        raise SandboxExceeded("it takes longer than 2 s")


class Refusing:
    """In place of an `Opener`: notes what was refused, and has nodes without expressions."""

    def __init__(self, *plain: str) -> None:
        self.batch = Batch()
        self._plain = plain
        self.refused: dict[str, str] = {}

    def anew(self) -> Refusing:
        return self

    def evaluates(self, request: list[Any]) -> bool:
        return request[0] not in self._plain

    def refuse(self, request: list[Any], reason: str) -> list[Any]:
        self.refused[request[0]] = reason
        return ["f"]

    def open(self, _name: str) -> list[Any]:
        return ["o"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def confined(clock: Clock, *cheap: str) -> tuple[Confinement, Exhausted]:
    confinement = Confinement(clock=clock)
    sandbox = Exhausted(clock, *cheap)
    confinement._sandbox = cast(Any, sandbox)
    return confinement, sandbox


async def test_nodes_for_which_no_time_is_left_fail(clock: Clock) -> None:
    confinement, sandbox = confined(clock)
    opener = Refusing()
    began = clock.now
    answers, _ = await confinement.open(cast(Opener, opener), [[f"n{n}", "open"] for n in range(100)], {})
    assert answers == [["f"]] * 100
    assert clock.now - began <= BUDGET
    assert sandbox.calls == BUDGET
    assert opener.refused["n0"] == "its expressions: it takes longer than 2 s"
    assert opener.refused["n99"] == "its expressions: no time was left for them in this step"


async def test_nodes_without_expressions_need_no_time(clock: Clock) -> None:
    confinement, _ = confined(clock, "n0")
    opener = Refusing("n98")
    answers, _ = await confinement.open(cast(Opener, opener), [[f"n{n}", "open"] for n in range(100)], {})
    assert [number for number, answer in enumerate(answers) if answer == ["o"]] == [0, 98]
