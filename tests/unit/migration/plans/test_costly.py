"""Plans made to cost much: each is refused, and the loop of whoever asks hardly feels it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from contracts.heartbeat import largest_hold
from contracts.least import least
from gateway.access.placement import Tier
from gateway.dags.errors import MOST_FAULTS
from gateway.errors import InvalidRequest
from gateway.migration.plans.checking import PlanChecker, Read, Written
from gateway.migration.plans.document import MOST_WAVES
from gateway.migration.plans.errors import PlanInvalid
from gateway.migration.plans.validation import World
from gateway.sandbox.checks import CHECK_MEGABYTES
from gateway.sandbox.pool import Sandbox

pytestmark = pytest.mark.system

LONGEST_HOLD = 0.05
WORLD = World(datetime(2026, 11, 28, 12, tzinfo=UTC), {"acme": Tier.STANDARD}, {})
HEAD = b"name: spring\nwhy: the move\n"
FINE = HEAD + b"waves: [{tenants: [acme]}]"
ROW = b"[" * 30 + b"]" * 30 + b","
NESTED = b"[" + ROW * (250_000 // len(ROW)) + b"0]"

#: As many tenants as there is room for.
LARGE = (HEAD + b"waves:\n").decode() + "".join(
    f"- {{tenants: [{','.join(f't{1250 * wave + n}' for n in range(1_250))}]}}\n" for wave in range(MOST_WAVES)
)

WORST = {
    "nested lists": HEAD + b"waves: " + NESTED,
    "an unknown field of nested lists": HEAD + b"waves: [{tenants: [acme]}]\nextra: " + NESTED,
    "tenants that nobody knows": HEAD + b"waves: [{tenants: [" + b",".join(b"t%d" % n for n in range(10_000)) + b"]}]",
    "tenants in every wave": HEAD
    + b"waves: ["
    + b",".join([b"{tenants: [" + b",".join([b"acme"] * 1_900) + b"]}"] * 100)
    + b"]",
}


@pytest_asyncio.fixture(scope="module")
async def checker() -> AsyncIterator[PlanChecker]:
    sandbox = Sandbox(processes=1, megabytes=CHECK_MEGABYTES, preload=("gateway.migration.plans.checking",))
    checker = PlanChecker(sandbox)
    await checker.read(Written(FINE))  # its process is there
    yield checker
    await sandbox.close()


async def checked(checker: PlanChecker, text: bytes) -> None:
    read = await checker.read(Written(text))
    await checker.check(read.text, WORLD, None)


@pytest.mark.parametrize("name", WORST)
async def test_it_is_refused_and_holds_nobody(checker: PlanChecker, name: str) -> None:
    async def hold() -> float:
        checking = asyncio.ensure_future(checked(checker, WORST[name]))
        held = await largest_hold(checking)
        with pytest.raises(PlanInvalid) as invalid:
            await checking
        assert 0 < len(invalid.value.faults) <= MOST_FAULTS
        return held

    assert await least(hold, LONGEST_HOLD, tries=5) < LONGEST_HOLD


async def test_a_large_stored_plan_holds_nobody_and_is_read_once(checker: PlanChecker) -> None:
    """On the loop it would take most of a second."""

    async def hold() -> float:
        text = f"{LARGE}# {secrets.token_hex(4)}\n"  # one that is not remembered
        reading = asyncio.ensure_future(checker.stored(text))
        held = await largest_hold(reading)
        assert len((await reading).waves) == MOST_WAVES
        assert await checker.stored(text) is await reading
        return held

    assert await least(hold, LONGEST_HOLD, tries=5) < LONGEST_HOLD


async def test_json_is_read_and_written_anew(checker: PlanChecker) -> None:
    plan = rb'{"name": "spring", "why": "a \/ b", "waves": [{"tenants": ["acme"]}]}'
    read = await checker.read(Written(plan, is_json=True))
    assert isinstance(read, Read)
    assert read.plan.why == "a / b"
    assert (await checker.check(read.text, WORLD, "spring")).waves == [["acme"]]


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (b"[" * 900 + b"]" * 900, "too_deep"),
        (b'{"name": "spring", "why": "a", "why": "b", "waves": [{"tenants": ["acme"]}]}', "duplicate_key"),
        (rb'{"name": "spring", "why": "a\u0000", "waves": [{"tenants": ["acme"]}]}', "syntax"),
        (b'{"name": "spring", "why": "w", "waves": [{"percent": 18446744073709551616}]}', "syntax"),
    ],
    ids=["nested", "given twice", "NUL", "a large integer"],
)
@pytest.mark.parametrize("is_json", [True, False])
async def test_json_is_refused_for_what_yaml_is_refused_for(
    checker: PlanChecker, plan: bytes, code: str, *, is_json: bool
) -> None:
    with pytest.raises(PlanInvalid) as invalid:
        await checker.read(Written(plan, is_json=is_json))
    assert code in {fault.code for fault in invalid.value.faults}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (Written(b"{", is_json=True), "The plan is not JSON"),
        (Written(b"\xff"), "not UTF-8"),
        (Written.of("\ud800"), "not UTF-8"),
        (Written(b"a" * 1_000_001), "1000000 bytes at most"),
    ],
)
async def test_what_is_no_text_of_a_plan_is_said(checker: PlanChecker, written: Written, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await checker.read(written)
