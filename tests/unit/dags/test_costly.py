"""Definitions made to cost much: each is refused within its limits, and no process but the sandbox's feels it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.heartbeat import largest_hold
from contracts.least import least
from gateway.dags.checking import Checker, Source
from gateway.dags.errors import MOST_FAULTS, DagInvalid
from gateway.dags.limits import Limits
from gateway.errors import TooMuchHeld
from gateway.sandbox.checks import CHECK_SECONDS
from gateway.sandbox.pool import SandboxLost

#: The loop of whoever asks is never held for longer than this (seconds), whatever is checked.
LONGEST_HOLD = 0.05


def merge_keys_that_double() -> str:
    lines = ["a0: &a0 {k: 1, l: 2}"]
    lines += [f"a{n}: &a{n} {{<<: *a{n - 1}, <<: *a{n - 1}}}" for n in range(1, 18)]
    return "\n".join(lines)


def misspelt_needs() -> str:
    names = [f"a_rather_long_name_of_a_node_{n:04}" for n in range(1000)]
    nodes = [f"  {name}: {{type: t}}" for name in names]
    wrong = ", ".join(f"a_rather_long_name_of_a_mode_{n:04}" for n in range(400))
    return "nodes:\n" + "\n".join(nodes) + f"\n  last: {{type: t, needs: [{wrong}]}}"


def many_expressions() -> str:
    inputs = ", ".join(f'k{n}: "${{params.x + {n}}}"' for n in range(60_000))
    return f"params: {{x: {{type: integer}}}}\nnodes: {{a: {{type: t, input: {{{inputs}}}}}}}"


WORST = {
    "nested lists": ("[" * 50_000, "too_deep"),
    "nested lists of a node": ("nodes: {a: {type: t, input: {x: " + "[" * 5_000 + "]" * 5_000 + "}}}", "too_deep"),
    "nested maps": ("{a: " * 50_000, "too_deep"),
    "nested blocks": ("\n".join(" " * n + "a:" for n in range(2_000)), "too_deep"),
    "quotes in a condition": ("nodes: {a: {type: t, when: '" + '"' * 60_000 + "'}}", "expression"),
    "merge keys that double": (merge_keys_that_double(), "duplicate_key"),
    "misspelt needs": (misspelt_needs(), "unknown_reference"),
    "many expressions": (many_expressions(), "limit"),
    "open holes": ("nodes: {a: {type: t, input: {x: '" + "${" * 500_000 + "'}}}", "limit"),
    "open holes with texts": ("nodes: {a: {type: t, input: {x: '" + '${"' * 300_000 + "'}}}", None),
}


@pytest_asyncio.fixture
async def checker() -> AsyncIterator[Checker]:
    checker = Checker(Limits(), processes=1)
    await checker.check(Source(b"nodes: {a: {type: t}}"), None, {}, None)  # its process is there
    yield checker
    await checker.close()


@pytest.mark.parametrize("name", WORST)
async def test_it_is_refused_in_time_and_holds_nobody(checker: Checker, name: str) -> None:
    text, code = WORST[name]
    source = Source(text.encode())

    async def hold() -> float:
        began = time.monotonic()
        checking = asyncio.ensure_future(checker.check(source, None, {}, None))
        held = await largest_hold(checking)
        with pytest.raises(DagInvalid) as invalid:
            await checking
        assert time.monotonic() - began < CHECK_SECONDS + 2
        assert len(invalid.value.faults) <= MOST_FAULTS
        assert code is None or invalid.value.faults[0].code == code
        return held

    assert await least(hold, LONGEST_HOLD, tries=5) < LONGEST_HOLD


async def test_a_check_that_takes_too_long_is_ended_and_the_next_one_works(
    checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sandbox.checks.CHECK_SECONDS", 0.05)
    monkeypatch.setattr("gateway.sandbox.pool.WAIT", 200)  # a busy machine may give it little of its time
    with pytest.raises(DagInvalid, match=r"takes longer than 0\.05 s"):
        await checker.check(Source(misspelt_needs().encode()), None, {}, None)
    monkeypatch.undo()
    checked = await checker.check(Source(b"nodes: {a: {type: t}}"), None, {}, None)
    assert checked.nodes == 1


async def test_a_process_that_is_lost_is_no_fault_of_the_definition(
    checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise SandboxLost

    monkeypatch.setattr(checker._sandbox, "run", lost)
    with pytest.raises(TooMuchHeld, match="The process that looks at requests was lost") as refused:
        await checker.check(Source(b"nodes: {a: {type: t}}"), None, {}, None)
    assert refused.value.retry_after == 1
