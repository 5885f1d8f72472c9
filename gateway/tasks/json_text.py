"""Reads a JSON text once, and refuses what could not be stored, sent on, or told back unchanged.

orjson itself refuses malformed text, invalid UTF-8, lone surrogates, NaN and Infinity, raw control characters, and
more than 1,024 levels. For everything else the bytes are searched first, which is cheap; only a body in which
something was found is walked through.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, NoReturn, TypeAlias

import orjson

from gateway.tasks.payload import may_hold_big_integers

_BOM = b"\xef\xbb\xbf"
_NUL = b"\\u0000"
_ESCAPED_COLONS = (b"\\u003a", b"\\u003A")
#: Repeated fields that are named at most.
_MOST_REPEATED = 100
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


class Refused(json.JSONDecodeError):
    """It is JSON, but cannot be taken; `msg` says why."""


class TooDeep(Refused):
    """It is nested too deep."""


def decode_json(body: bytes, *, max_depth: int) -> Any:
    """The value of a JSON text.

    Raises `json.JSONDecodeError` (FastAPI answers it 422) for text that is no JSON, and its `Refused` for JSON with NUL
    characters, with more than `max_depth` levels (`TooDeep`), or with integers beyond 64 bits.
    """
    value = decode_checked(body)
    if body.count(b"[") + body.count(b"{") > max_depth and _is_deeper(value, max_depth):
        raise TooDeep(f"nested deeper than {max_depth} levels", "", 0)
    if _NUL in body and _has_nul(value):
        refuse("NUL characters cannot be stored")
    if may_hold_big_integers(body):
        # orjson's floats would change them silently.
        json.loads(body.removeprefix(_BOM), parse_int=_parse_int)
    return value


def decode_checked(body: bytes | memoryview) -> Any:
    """The value of a JSON text that `decode_json` has let through, elsewhere. Raises `json.JSONDecodeError`."""
    return orjson.loads(body[len(_BOM) :] if body[: len(_BOM)] == _BOM else body)


#: Where a field stands in a JSON value: names of fields and places in lists.
Path: TypeAlias = tuple[str | int, ...]


def repeated_fields(body: bytes, value: Any) -> list[Path]:
    """Fields that an object of a JSON text has more than once, the first hundred; `value` is what was made of it."""
    # A field that got lost took its colon with it. Only an escaped colon, or more levels than orjson writes, hide that.
    if not any(colon in body for colon in _ESCAPED_COLONS):
        with contextlib.suppress(orjson.JSONEncodeError):
            if body.count(b":") == orjson.dumps(value).count(b":"):
                return []
    repeated = False

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated = repeated or len(found) < len(pairs)
        return found

    text = body.removeprefix(_BOM)
    json.loads(text, object_pairs_hook=note)
    return _paths(json.loads(text, object_pairs_hook=_Object)) if repeated else []


class _Object:
    """An object with all of its fields."""

    def __init__(self, fields: list[tuple[str, Any]]) -> None:
        self.fields = fields


def _paths(value: Any) -> list[Path]:
    found: dict[Path, None] = {}
    rest: list[tuple[Path, Any]] = [((), value)]
    while rest and len(found) < _MOST_REPEATED:
        path, item = rest.pop()
        if isinstance(item, list):
            rest.extend(
                ((*path, place), inner) for place, inner in enumerate(item) if isinstance(inner, _Object | list)
            )
        elif isinstance(item, _Object):
            seen: set[str] = set()
            for name, inner in item.fields:
                if name in seen:
                    found[*path, name] = None
                seen.add(name)
                if isinstance(inner, _Object | list):
                    rest.append(((*path, name), inner))
    return sorted(found, key=lambda path: [(isinstance(part, str), part) for part in path])[:_MOST_REPEATED]


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether arrays and objects are nested in more than `limit` levels."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _has_nul(value: Any) -> bool:
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            rest.extend(item.keys())
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return False


def _parse_int(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else _LARGEST + 1
    if not _SMALLEST <= number <= _LARGEST:
        refuse("integer beyond 64 bits")
    return number


def refuse(why: str) -> NoReturn:
    """Raises `Refused`."""
    raise Refused(why, "", 0)
