"""How many tasks a process runs at once."""

from __future__ import annotations

import pytest

from workers import slots
from workers.slots import FixedSlots, MachineLoad, ResourceSlots, slots_of


class Load:
    """A machine as the test wants it."""

    def __init__(self, memory: float = 0.1, cpu: float = 0.1) -> None:
        self._memory, self._cpu = memory, cpu

    def memory(self) -> float:
        return self._memory

    def cpu(self) -> float:
        return self._cpu


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("workers.slots.time.monotonic", lambda: now[0])
    return now


def test_a_fixed_number() -> None:
    fixed = FixedSlots(2)
    assert [fixed.has_room(used) for used in (0, 1, 2, 3)] == [True, True, False, False]


def test_a_machine_with_room_takes_one_after_the_other(clock: list[float]) -> None:
    auto = ResourceSlots(3, Load())
    assert auto.has_room(0)
    assert not auto.has_room(1), "the first has only just begun"
    clock[0] += 2 * slots.RAMP_SECONDS
    assert auto.has_room(1)
    clock[0] += 1
    assert not auto.has_room(3), "the limit"


@pytest.mark.parametrize("load", [Load(memory=0.9), Load(cpu=0.95)])
def test_a_full_machine_takes_one_at_least(clock: list[float], load: Load) -> None:
    auto = ResourceSlots(10, load)
    clock[0] += 1
    assert auto.has_room(0)
    clock[0] += 1
    assert not auto.has_room(1)


def test_this_machine_says_something_sensible() -> None:
    load = MachineLoad()
    assert 0 < load.memory() < 1
    assert 0 <= load.cpu() <= 1


@pytest.mark.parametrize("text", ["0", "-1", "many", "", "1.5"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="auto"):
        slots_of(text, 20)


def test_auto_goes_no_further_than_the_setting() -> None:
    assert slots_of("auto", 20).limit == 20
    assert slots_of("7", 20).limit == 7


def test_no_more_begin_than_claims_bear() -> None:
    fixed = FixedSlots(20)
    assert fixed.may_begin(3)
    fixed.claimed(0.006)
    for _ in range(200):
        fixed.may_begin(19)
        fixed.claimed(0.06)
    assert fixed.has_room(19)
    assert (fixed.may_begin(0), fixed.may_begin(1)) == (True, False)


def test_what_is_inside_its_handler_holds_nobody_up() -> None:
    fixed, told = FixedSlots(20), []
    fixed.on_room = lambda: told.append(1)
    fixed.claimed(0.006)
    for _ in range(200):
        fixed.may_begin(19)
        fixed.claimed(0.06)
    with fixed.inside(), fixed.inside():
        assert fixed.may_begin(2)
    assert (fixed.may_begin(2), len(told)) == (False, 2)
