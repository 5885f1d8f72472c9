"""The wait helpers of tests: what they return, and what they say of what did not come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workers.testing.waiting import eventually, until, works


def giving(*values: Any) -> Callable[[], Any]:
    """Gives these one after the other, then the last again and again; an error is raised."""
    left = list(values)

    async def call() -> Any:
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, Exception):
            raise value
        return value

    return call


async def test_eventually_returns_the_first_value_that_holds() -> None:
    assert await eventually(giving(0, 1, 2, 3), lambda value: value > 1, pause=0) == 2


async def test_what_does_not_come_is_told_with_the_last_value() -> None:
    with pytest.raises(TimeoutError, match=r"not within 0.01 s; the last that was seen: \[\]"):
        await eventually(giving([]), within=0.01, pause=0)
    with pytest.raises(TimeoutError):
        await until(lambda: False, within=0.01, pause=0)


async def test_works_returns_what_came_without_the_failure() -> None:
    assert await works(giving(OSError(1), KeyError(2), 3), (OSError, KeyError), pause=0) == 3


async def test_what_never_works_is_told_with_the_last_failure() -> None:
    with pytest.raises(TimeoutError, match=r"not within 0.01 s; the last failure: OSError\(7\)"):
        await works(giving(OSError(7)), OSError, within=0.01, pause=0)


async def test_another_failure_is_raised_at_once() -> None:
    with pytest.raises(KeyError):
        await works(giving(OSError(1), KeyError(2), 3), OSError, pause=0)
