"""What is kept of a failed run, and what of it is not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from workers.failure import LONGEST_DELAY, LONGEST_STACK, Failure, failure_of
from workers.handlers.payload import InvalidPayload
from workers.runner import UnknownTaskType

#: Never spelt out, because a stack repeats source lines.
SECRET = "".join(("hunt", "er2"))


def fail_with(error: BaseException, non_retryable: Any = None) -> Failure:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001
        return failure_of(raised, "add_episode", non_retryable or {})


def test_of_what_postgresql_quotes_a_log_shows_nothing() -> None:
    refused: Any = asyncpg.CheckViolationError("new row violates it")
    refused.__dict__["detail"] = f"Failing row contains ({SECRET})."
    failure = fail_with(refused)
    assert failure.text == f"new row violates it\nDETAIL:  Failing row contains ({SECRET})."
    assert failure.told == "new row violates it"
    assert fail_with(ValueError(SECRET)).told == SECRET, "of a handler's own words it shows all"


class Limited(Exception):
    def __init__(self, retry_after: Any) -> None:
        super().__init__("slow down")
        self.retry_after = retry_after


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    @property
    def non_retryable(self) -> bool:
        raise RuntimeError("no answer")


def deep(levels: int, secret: str) -> None:
    if not levels:
        raise ValueError("bottom")
    deep(levels - 1, secret)


def wide(secret: str, levels: int) -> None:
    """Alternates with itself by name, so that the frames are not folded into one line."""
    exec(
        "\n".join(f"def f{n}(s): f{n - 1}(s)" for n in range(1, levels)),
        (names := {"f0": lambda s: deep(0, s)}),
    )
    names[f"f{levels - 1}"](secret)


def test_the_stack_names_frames_and_no_values() -> None:
    with pytest.raises(ValueError, match="bottom") as raised:
        deep(3, SECRET)
    failure = failure_of(raised.value, "x", {})
    assert failure.error_type == "ValueError"
    assert failure.text == "bottom"
    assert failure.stack.count("in deep") >= 3
    assert SECRET not in failure.stack
    assert "bottom" not in failure.stack.replace('raise ValueError("bottom")', "")


def test_causes_and_groups_are_followed_without_their_messages() -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise ExceptionGroup("both", [ValueError(SECRET), TypeError(SECRET)]) from cause
    except ExceptionGroup as error:
        stack = failure_of(error, "x", {}).stack
    assert "caused by KeyError" in stack
    assert "which holds ValueError" in stack
    assert "which holds TypeError" in stack
    assert SECRET not in stack


def test_a_stack_is_bounded_and_keeps_both_ends() -> None:
    with pytest.raises(ValueError, match="bottom") as raised:
        wide("x", 900)
    stack = failure_of(raised.value, "x", {}).stack
    assert len(stack) == LONGEST_STACK
    assert stack.startswith("ValueError:")
    assert "in deep" in stack[-200:]


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert failure_of(first, "x", {}).stack.count("ValueError") == 2


@pytest.mark.parametrize(
    ("error", "names", "final"),
    [
        (ValueError(), {}, False),
        (InvalidPayload("x"), {}, True),
        (UnknownTaskType("x"), {}, True),
        (ValueError(), {"add_episode": ["ValueError"]}, True),
        (UnicodeDecodeError("utf8", b"", 0, 1, ""), {"add_episode": ["ValueError"]}, True),
        (ValueError(), {"*": ["builtins.ValueError"]}, True),
        (ValueError(), {"other": ["ValueError"]}, False),
        (ValueError(), {"*": ["KeyError"]}, False),
        (Broken(), {}, False),
    ],
)
def test_what_is_not_worth_another_run(error: Exception, names: dict[str, list[str]], final: bool) -> None:
    assert fail_with(error, names).final is final


@pytest.mark.parametrize(
    ("asked", "delay"),
    [
        (2.5, timedelta(seconds=2.5)),
        (0, timedelta(0)),
        (timedelta(minutes=1), timedelta(minutes=1)),
        (10**12, LONGEST_DELAY),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("5", None),
        (None, None),
    ],
)
def test_an_error_may_ask_for_its_own_pause(asked: Any, delay: timedelta | None) -> None:
    assert fail_with(Limited(asked)).delay == delay


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("boom"), "boom"),
        (RuntimeError(), "RuntimeError"),
        (TimeoutError(), "TimeoutError"),
        (asyncio.CancelledError(), "Task was cancelled by its handler"),
        (Broken(), "Broken"),
        (RuntimeError("half \ud800 a pair"), "half \\ud800 a pair"),
    ],
)
def test_the_text(error: BaseException, text: str) -> None:
    assert fail_with(error).text == text
