"""Slots shared by many queues: no more tasks than slots, and no queue without a poll."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from temporalio.worker import SlotMarkUsedContext, SlotPermit, SlotReleaseContext, SlotReserveContext

from workers.temporal.pool import pollers
from workers.temporal.slots import SharedSlots
from workers.testing.waiting import until

NEVER = 3600.0
AT_ONCE = 0.0
CONTEXT = cast(SlotReserveContext, SimpleNamespace(task_queue="q"))


def use(slots: SharedSlots, permit: SlotPermit) -> None:
    slots.mark_slot_used(cast(SlotMarkUsedContext, SimpleNamespace(permit=permit)))


def release(slots: SharedSlots, permit: SlotPermit) -> None:
    slots.release_slot(cast(SlotReleaseContext, SimpleNamespace(permit=permit)))


async def test_fresh_polls_count_until_they_are_parked() -> None:
    slots = SharedSlots(2, settle=NEVER)
    for _ in range(2):
        await slots.reserve_slot(CONTEXT)
    third = asyncio.create_task(slots.reserve_slot(CONTEXT))
    await until(lambda: slots.usage.waiting == 1)
    assert not third.done()
    third.cancel()
    await asyncio.wait([third])
    assert (slots.usage.fresh, slots.usage.waiting) == (2, 0)


async def test_polls_on_empty_queues_cost_nothing() -> None:
    """Thirty queues are polled with two slots."""
    slots = SharedSlots(2, settle=AT_ONCE)
    async with asyncio.timeout(10):
        await asyncio.gather(*(slots.reserve_slot(CONTEXT) for _ in range(30)))
    await until(lambda: slots.usage.fresh == 0)
    assert slots.usage.used == 0


async def test_no_poll_begins_while_every_slot_is_used() -> None:
    slots = SharedSlots(1, settle=AT_ONCE)
    first = await slots.reserve_slot(CONTEXT)
    use(slots, first)
    second = asyncio.create_task(slots.reserve_slot(CONTEXT))
    await until(lambda: slots.usage.waiting == 1)
    assert not second.done()
    release(slots, first)
    async with asyncio.timeout(10):
        await second
    assert slots.usage.used == 0


async def test_those_who_waited_longest_go_first() -> None:
    slots = SharedSlots(1, settle=NEVER)
    held = await slots.reserve_slot(CONTEXT)
    order: list[int] = []

    async def poll(number: int) -> None:
        permit = await slots.reserve_slot(CONTEXT)
        order.append(number)
        release(slots, permit)

    polls = [asyncio.create_task(poll(number)) for number in range(5)]
    await until(lambda: slots.usage.waiting == 5)
    release(slots, held)
    async with asyncio.timeout(10):
        await asyncio.gather(*polls)
    assert order == [0, 1, 2, 3, 4]


async def test_a_poll_that_is_given_up_leaves_its_turn_to_others() -> None:
    slots = SharedSlots(1, settle=NEVER)
    held = await slots.reserve_slot(CONTEXT)
    gone, patient = (asyncio.create_task(slots.reserve_slot(CONTEXT)) for _ in range(2))
    await until(lambda: slots.usage.waiting == 2)
    gone.cancel()
    release(slots, held)
    async with asyncio.timeout(10):
        await patient
    assert slots.usage.fresh == 1


async def test_a_turn_that_comes_with_the_giving_up_is_not_lost() -> None:
    slots = SharedSlots(1, settle=NEVER)
    held = await slots.reserve_slot(CONTEXT)
    gone = asyncio.create_task(slots.reserve_slot(CONTEXT))
    await until(lambda: slots.usage.waiting == 1)
    release(slots, held)
    await until(lambda: slots.usage.waiting == 0)
    gone.cancel()
    await asyncio.wait([gone])
    if not gone.cancelled():
        release(slots, gone.result())
    assert (slots.usage.used, slots.usage.fresh) == (0, 0)


async def test_the_sdk_releases_on_threads_of_its_own() -> None:
    slots = SharedSlots(1, settle=NEVER)
    held = await slots.reserve_slot(CONTEXT)
    await asyncio.to_thread(use, slots, held)
    assert slots.usage.used == 1
    turn = asyncio.create_task(slots.reserve_slot(CONTEXT))
    await until(lambda: slots.usage.waiting == 1)
    await asyncio.to_thread(release, slots, held)
    async with asyncio.timeout(10):
        await turn


async def test_a_permit_that_was_never_used_can_be_given_back() -> None:
    slots = SharedSlots(1, settle=NEVER)
    release(slots, await slots.reserve_slot(CONTEXT))
    assert (slots.usage.used, slots.usage.fresh) == (0, 0)


async def test_a_task_too_many_waits_for_a_slot() -> None:
    """A parked poll may bring a task when all slots are taken."""
    slots = SharedSlots(1)
    async with slots.admission(NEVER) as first:
        assert first
        async with slots.admission(AT_ONCE) as second:
            assert not second
    async with slots.admission(AT_ONCE) as third:
        assert third


async def test_closed_slots_start_no_polls() -> None:
    slots = SharedSlots(2, settle=AT_ONCE, quiet=AT_ONCE)
    held = await slots.reserve_slot(CONTEXT)
    use(slots, held)
    await slots.close()
    late = asyncio.create_task(slots.reserve_slot(CONTEXT))
    release(slots, held)
    await until(lambda: slots.usage.waiting == 1)
    assert not late.done()
    late.cancel()
    await asyncio.wait([late])


async def test_no_slot_is_taken_for_eager_activities() -> None:
    assert SharedSlots(1).try_reserve_slot(cast(Any, CONTEXT)) is None


def test_more_polls_where_slots_are_many_and_queues_few() -> None:
    assert [pollers(slots, 10) for slots in (1, 8, 12, 100)] == [2, 2, 3, 5]
    assert [pollers(100, queues) for queues in (0, 40, 60, 100, 1000)] == [5, 5, 3, 2, 1]


async def test_the_end_of_polls_is_known() -> None:
    """A poll ends when it brings a task, or without one, parked or not."""
    slots = SharedSlots(3, settle=AT_ONCE)
    fresh, parked, used = [await slots.reserve_slot(CONTEXT) for _ in range(3)]
    await until(lambda: slots.usage.fresh == 0)
    ended = asyncio.create_task(slots.polls_ended())
    release(slots, fresh)
    release(slots, parked)
    await asyncio.wait([ended], timeout=0.01)
    assert not ended.done()
    use(slots, used)
    async with asyncio.timeout(10):
        await ended
    release(slots, used)
    async with asyncio.timeout(10):
        await slots.polls_ended()
