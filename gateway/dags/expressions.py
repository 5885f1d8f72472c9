"""Expressions of DAGs: Google's Common Expression Language, which cannot loop, call out or change anything.

The library checks types, stops after 10,000 iterations and limits nesting. What it does not bound is memory, so an
expression that could multiply its data more than `MOST_GROWTH` times is refused when it is compiled, and what comes out
is counted while it is converted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from gateway.dags.errors import ExpressionFault

#: How many times larger than its data a value could become.
MOST_GROWTH = 256
#: Parts (numbers, texts, members…) of a value.
MOST_PARTS = 200_000

_STRING = re.compile(r"""[rR]?("{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.DOTALL)
_MACRO = re.compile(r"\.\s*(map|filter|all|exists|exists_one|transformList|transformMap|transformMapEntry)\s*\(")
_NODE = re.compile(r"(?<![\w.])nodes\s*\.\s*([A-Za-z][A-Za-z0-9_]*)")
_PARAM = re.compile(r"(?<![\w.])params\s*\.\s*([A-Za-z][A-Za-z0-9_]*)")
_HOLE = re.compile(
    r"\$\{((?:[^{}\"']|\{[^{}]{0,4000}\}|\"(?:\\.|[^\"\\]){0,4000}\"|'(?:\\.|[^'\\]){0,4000}'){0,4000}+)\}"
)
_ERROR_HEAD = re.compile(r"^(INVALID_ARGUMENT: )?(ERROR: <input>:)?")

_T = cel.Type
TYPES: dict[str, Any] = {
    "string": _T.STRING,
    "integer": _T.INT,
    "number": _T.DOUBLE,
    "boolean": _T.BOOL,
    "list": _T.List(_T.DYN),
    "object": _T.Map(_T.STRING, _T.DYN),
    "any": _T.DYN,
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression that may be evaluated; `kind` is the name of its type as far as it is known (`DYN`: it is not)."""

    source: str
    kind: str
    program: Any


def nodes_in(expression: str) -> set[str]:
    """The nodes whose results an expression uses."""
    return set(_NODE.findall(_STRING.sub("''", expression)))


def params_in(expression: str) -> set[str]:
    """The parameters that an expression uses."""
    return set(_PARAM.findall(_STRING.sub("''", expression)))


def holes(text: str) -> list[str]:
    """The expressions in a text."""
    return [found.strip() for found in _HOLE.findall(text)]


def is_whole(text: str) -> bool:
    """Whether a text is one expression and nothing else."""
    return _HOLE.fullmatch(text.strip()) is not None


def compile_expression(source: str, variables: Mapping[str, str], *, longest: int) -> Compiled:
    """Check an expression against the variables there are: their names, and the keys of their types in `TYPES`.

    Raises `ExpressionFault`, which says what is wrong.
    """
    if len(source) > longest:
        raise ExpressionFault(f"an expression may have {longest} characters, this one has {len(source)}")
    if not source.strip():
        raise ExpressionFault("the expression is empty")
    if "\0" in source or not _is_text(source):
        raise ExpressionFault("the expression is not text")
    _check_growth(source)
    return _compile(source, tuple(sorted(variables.items())))


@lru_cache(maxsize=256)
def _compile(source: str, variables: tuple[tuple[str, str], ...]) -> Compiled:
    try:
        program = cel.NewEnv(variables={name: TYPES[kind] for name, kind in variables}).compile(source)
    except RuntimeError as error:
        raise ExpressionFault(_readable(str(error))) from None
    return Compiled(source, program.return_type().name(), program)


def evaluate(compiled: Compiled, data: Mapping[str, Any]) -> Any:
    """The value as JSON. Raises `ExpressionFault`, and `MemoryError` where memory is bounded."""
    try:
        value = compiled.program.eval(data=dict(data))
        if value.type().name() in ("ERROR", "*error*"):
            raise ExpressionFault(_readable(str(value.value())), code="expression_value")
        return _plain(value, [MOST_PARTS])
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:
        if "bad_alloc" in str(error):
            raise MemoryError from None
        raise ExpressionFault(_readable(str(error)), code="expression_value") from None


def render(value: Any, evaluate_one: Any) -> Any:
    """A value with each expression in it replaced by `evaluate_one(expression)`."""
    if isinstance(value, str):
        if is_whole(value):
            return evaluate_one(holes(value)[0])
        return _HOLE.sub(lambda hole: _as_text(evaluate_one(hole.group(1).strip())), value)
    if isinstance(value, dict):
        return {key: render(member, evaluate_one) for key, member in value.items()}
    if isinstance(value, list):
        return [render(member, evaluate_one) for member in value]
    return value


def _as_text(value: Any) -> str:
    import orjson

    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _check_growth(source: str) -> None:
    bare = _STRING.sub("''", source)
    macros, sums = len(_MACRO.findall(bare)), bare.count("+")
    growth = (sums / macros + 1) ** macros if macros else sums + 1
    if growth > MOST_GROWTH:
        raise ExpressionFault(
            f"the expression could make its data {growth:.0f} times larger (more than {MOST_GROWTH}): "
            "use fewer `+` and fewer macros in it"
        )


def _plain(value: Any, budget: list[int]) -> Any:
    """A CEL value as JSON; `budget` counts down the parts that are left."""
    budget[0] -= 1
    if budget[0] < 0:
        raise ExpressionFault(f"the value has more than {MOST_PARTS} parts", code="expression_value")
    inner = value.value() if hasattr(value, "plain_value") else value
    if isinstance(inner, str):
        budget[0] -= len(inner) // 64
        return inner
    if inner is None or isinstance(inner, bool | int | float):
        return inner
    if isinstance(inner, datetime):
        return inner.isoformat()
    if isinstance(inner, timedelta):
        return inner.total_seconds()
    if isinstance(inner, bytes):
        return inner.decode("utf-8", "replace")
    if isinstance(inner, Mapping):
        return {str(_plain(key, budget)): _plain(member, budget) for key, member in inner.items()}
    if isinstance(inner, list | tuple):
        return [_plain(member, budget) for member in inner]
    raise ExpressionFault(f"a value of type {type(inner).__name__} cannot be used here", code="expression_value")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(message: str) -> str:
    """The library's message without its own marks, one line."""
    first = _ERROR_HEAD.sub("", message.strip()).splitlines()
    text = re.sub(r"\s*\[[A-Z_]+\]$", "", first[0] if first else "it cannot be evaluated")
    text = re.sub(r"^\d+:(\d+): ", r"character \1: ", text)
    return text.replace("Iteration budget exceeded", "it goes through more than 10,000 items").strip()
