"""The report of a failed run: text, type, stack, and whether and when to try again."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway.observability.error_text import message_of

#: How much of a stack is kept (characters), the innermost frames first of all.
LONGEST_STACK = 32 * 1024
#: Causes, and members of groups, that are included.
_MOST_LINKS = 10
#: Longest pause that an error may ask for.
LONGEST_DELAY = timedelta(days=1)

#: Task type (`*`: every) to names of exception classes, with or without their module.
ErrorNames = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed run. `told` is the part of its text that a log may show. `delay` is the pause that the error itself
    asks for, None: the policy's."""

    text: str
    told: str
    error_type: str
    stack: str
    final: bool
    delay: timedelta | None


def failure_of(error: BaseException, task_type: str, non_retryable: ErrorNames) -> Failure:
    """The report of a run that ended with this error."""
    return Failure(
        text=_encodable(text_of(error)),
        told=_encodable(text_of(error) if isinstance(error, asyncio.CancelledError) else message_of(error)),
        error_type=_encodable(type(error).__name__),
        stack=_encodable(stack_of(error)),
        final=_is_final(error, task_type, non_retryable),
        delay=_delay(error),
    )


def stack_of(error: BaseException) -> str:
    """Frames and source lines of the error and of its causes, bounded; no messages and no variables' values, which may
    repeat the payload.
    """
    parts: list[str] = []
    seen: set[int] = set()
    links: list[tuple[str, BaseException]] = [("", error)]
    while links and len(seen) < _MOST_LINKS:
        relation, link = links.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        parts.append(f"{relation}{type(link).__name__}:\n" + "".join(traceback.format_tb(link.__traceback__)))
        cause = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if cause is not None:
            links.append(("caused by ", cause))
        if isinstance(link, BaseExceptionGroup):
            links += (("which holds ", part) for part in reversed(link.exceptions))
    return _bounded("".join(parts))


def _bounded(stack: str) -> str:
    if len(stack) <= LONGEST_STACK:
        return stack
    head, mark = LONGEST_STACK // 4, "\n  …\n"
    return stack[:head] + mark + stack[head + len(mark) - LONGEST_STACK :]


def text_of(error: BaseException) -> str:
    """The text of `error_message`: the handler's own message, as the legacy worker stored it."""
    if isinstance(error, asyncio.CancelledError):
        return "Task was cancelled by its handler"
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - an error that cannot say what it is is still reported
        return type(error).__name__


def _encodable(text: str) -> str:
    """Text without lone surrogates, which a log, the wire and PostgreSQL cannot write."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_final(error: BaseException, task_type: str, non_retryable: ErrorNames) -> bool:
    """Whether another run would not help: the error says so, or the settings name its class or a base."""
    if _said(error, "non_retryable"):
        return True
    names = {*non_retryable.get("*", ()), *non_retryable.get(task_type, ())}
    return any(
        kind.__name__ in names or f"{kind.__module__}.{kind.__qualname__}" in names for kind in type(error).__mro__
    )


def _delay(error: BaseException) -> timedelta | None:
    """`retry_after` of the error, in seconds or as a `timedelta`; invalid values are ignored."""
    asked = _said(error, "retry_after")
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not math.isfinite(asked) or asked < 0:
        return None
    return min(timedelta(seconds=min(asked, LONGEST_DELAY.total_seconds())), LONGEST_DELAY)


def _said(error: BaseException, name: str) -> Any:
    """An attribute of a foreign error; None if there is none, or if reading it fails."""
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a property may raise anything
        return None
