"""What may be said of an error in a log: nothing in which somebody quotes a row, a parameter or a payload.

PostgreSQL shows whole rows in its details, and a value that it cannot read in the message itself; SQLAlchemy adds the
statement with its parameters, pydantic what it was given. Only names of classes are looked at here: no library is
imported for it.
"""

from __future__ import annotations

import re
import traceback
from typing import Any

from backends.errors import TaskgateError

#: SQLSTATEs of data that PostgreSQL, or its driver, cannot read (class 22): their messages quote it.
_QUOTES_VALUES = "22"
#: asyncio's words for what a task, or a callback, left behind: its error, its result and its arguments.
_LEFT_BEHIND = re.compile(r" (?:exception|result)=.*", re.DOTALL)
_CALLBACK = re.compile(r"(Exception in callback [^(\n]*).*", re.DOTALL)
#: How a traceback begins that a library has made part of a message.
_TRACEBACK = "Traceback (most recent call last)"


def message_of(error: BaseException) -> str:
    """The text of an error without what it quotes; its class where nothing is left of that."""
    return _words(error) or named(error)


def named(error: BaseException) -> str:
    """Its class, with PostgreSQL's SQLSTATE or Neo4j's code, and as much of its text as may be said."""
    code = getattr(error, "sqlstate", None) or _neo4j_code(error)
    name = type(error).__qualname__ + (f" ({code})" if isinstance(code, str) else "")
    words = _words(error)
    return f"{name}: {words}" if words else name


def _words(error: BaseException) -> str:
    libraries = _libraries(error)
    if "sqlalchemy" in libraries:
        cause = getattr(error, "orig", None) or error.__cause__
        return _words(cause) if isinstance(cause, BaseException) and cause is not error else ""
    if "asyncpg" in libraries:
        is_quoting = str(getattr(error, "sqlstate", None) or "").startswith(_QUOTES_VALUES)
        return "" if is_quoting or not error.args else str(error.args[0])
    if "pydantic_core" in libraries or _neo4j_code(error) is not None:
        return ""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot say what it is is still logged
        return ""


def _libraries(error: BaseException) -> set[str]:
    return {kind.__module__.partition(".")[0] for kind in type(error).__mro__}


def _neo4j_code(error: BaseException) -> str | None:
    """Of what Neo4j's server refuses, whose messages quote properties; its driver's own errors have none."""
    code = getattr(error, "code", None) if "neo4j" in _libraries(error) else None
    return code if isinstance(code, str) else None


def described(error: BaseException) -> str:
    """Class, place and causes of an error; of its texts our own, and PostgreSQL's without what they quote."""
    parts = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        is_told = isinstance(one, TaskgateError) or isinstance(getattr(one, "sqlstate", None), str)
        said = named(one) if is_told else type(one).__qualname__
        parts.append("".join(traceback.format_tb(one.__traceback__)) + said)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n".join(reversed(parts))


class _Told:
    """Stands for an error among the arguments of a message."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        return message_of(self._error)

    def __repr__(self) -> str:
        return named(self._error)


def without_quotes(value: Any) -> Any:
    """An argument of a message: itself, or what is told of it if it is an error."""
    return _Told(value) if isinstance(value, BaseException) else value


def told(logger: str, message: str) -> str:
    """The message of a library that has written an error into it before it came to us."""
    if logger == "asyncio":
        return _LEFT_BEHIND.sub(" …>", _CALLBACK.sub(r"\1", message))
    if _TRACEBACK in message:
        return f"{message.partition(_TRACEBACK)[0]}(a traceback with the text of its error)"
    return message
