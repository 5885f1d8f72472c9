"""What becomes of a task for which a worker has no handler."""

from __future__ import annotations

from workers.redis_queue.other_types import OtherTypes


class Fleet:
    """Which types other workers have, and a clock."""

    def __init__(self) -> None:
        self.served: set[str] = set()
        self.now = 0.0

    async def is_served(self, task_type: str) -> bool:
        return task_type in self.served


def make(fleet: Fleet) -> OtherTypes:
    return OtherTypes({"own"}, fleet.is_served, grace=60.0, clock=lambda: fleet.now)


async def test_its_own_types_are_not_left() -> None:
    fleet = Fleet()
    fleet.served = {"own"}
    assert not await make(fleet).are_left("own")


async def test_a_type_of_others_is_left_for_as_long_as_they_live() -> None:
    fleet = Fleet()
    fleet.served = {"other"}
    types = make(fleet)
    for fleet.now in (0.0, 59.0, 1_000.0):
        assert await types.are_left("other")


async def test_a_type_that_nobody_has_is_run_after_the_grace() -> None:
    fleet = Fleet()
    types = make(fleet)
    left = []
    for fleet.now in (0.0, 30.0, 59.9, 60.0, 1_000.0):
        left.append(await types.are_left("other"))
    assert left == [True, True, True, False, False]


async def test_the_grace_begins_anew_when_somebody_had_it() -> None:
    fleet = Fleet()
    types = make(fleet)
    assert await types.are_left("other")
    fleet.now, fleet.served = 50.0, {"other"}
    assert await types.are_left("other")
    fleet.now, fleet.served = 100.0, set()
    assert await types.are_left("other")
    fleet.now = 160.0
    assert not await types.are_left("other")
