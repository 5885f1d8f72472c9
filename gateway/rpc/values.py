"""`google.protobuf.Struct` and JSON: what a client sends becomes what is stored, and back."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from gateway.rpc.failures import invalid

#: A level of JSON is up to three levels of messages, and most protobuf implementations refuse more than 100 of those.
DEEPEST_ANSWER = 24

#: Up to here every integer is a double of its own.
_EXACT = 2**53

_NUL = "NUL characters cannot be stored"


class Room:
    """How many more values are allowed: parsed, each takes many times its few bytes on the wire."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most

    def take(self, count: int, at: str) -> None:
        """Raises `InvalidFields`."""
        self._left -= count
        if self._left < 0:
            raise invalid(at, f"more than {self._most} values")


def to_json(struct: Struct, *, max_depth: int, at: str, room: Room | None = None) -> dict[str, Any]:
    """The JSON object that a struct stands for; whole numbers up to 2^53 become integers.

    Raises `InvalidFields`, naming the place beneath `at`, for what JSON or PostgreSQL cannot hold, and for more
    values than there is room for.
    """
    return _object(struct, max_depth - 1, at, room)


def _object(struct: Struct, depth: int, at: str, room: Room | None) -> dict[str, Any]:
    if depth < 0:
        raise invalid(at, "nested too deep")
    found: dict[str, Any] = {}
    fields = struct.fields
    if room is not None:
        room.take(len(fields), at)
    for key in fields:
        if "\0" in key:
            raise invalid(at, _NUL)
        found[key] = _plain(fields[key], depth, at, key, room)
    return found


def plain_of(value: Value, *, max_depth: int, at: str) -> Any:
    """As `to_json`, for any JSON value."""
    return _plain(value, max_depth, "", at, None)


def _plain(value: Value, depth: int, at: str, key: str | int, room: Room | None) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        if "\0" in text:
            raise invalid(_path(at, key), _NUL)
        return text
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise invalid(_path(at, key), "not a number that JSON can hold")
        return int(number) if number.is_integer() and -_EXACT <= number <= _EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "null_value":
        return None
    if kind == "struct_value":
        return _object(value.struct_value, depth - 1, _path(at, key), room)
    if kind == "list_value":
        if depth <= 0:
            raise invalid(_path(at, key), "nested too deep")
        place, values = _path(at, key), value.list_value.values
        if room is not None:
            room.take(len(values), place)
        return [_plain(item, depth - 1, place, index, room) for index, item in enumerate(values)]
    raise invalid(_path(at, key), "a value without a kind")


def _path(at: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{at}[{key}]"
    return f"{at}.{key}" if at else key


def read_json(text: str | None) -> Any:
    """The value of a JSON text that PostgreSQL holds; None without a text, for what is no JSON, and for what nests too
    deep to be read."""
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # PostgreSQL's json also holds lone surrogates, numbers beyond a double, and nests deeper than orjson reads.
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None


def from_json_text(text: str, struct: Struct) -> None:
    """Fill `struct` from the text of a JSON object; text that is no JSON object leaves it empty.

    What a struct cannot carry is carried as a string: levels beneath `DEEPEST_ANSWER` as their JSON, numbers beyond a
    double as `Infinity`. Lone surrogates, which no protobuf string may hold, become question marks.
    """
    found = read_json(text)
    if isinstance(found, dict):
        _fill_object(found, struct, DEEPEST_ANSWER - 1)


def put_plain(found: Any, value: Value | Struct) -> None:
    """Fill a value with any JSON, or a struct with a JSON object, as `from_json_text` does."""
    if isinstance(value, Value):
        _fill(found, value, DEEPEST_ANSWER - 1)
    elif isinstance(found, dict):
        _fill_object(found, value, DEEPEST_ANSWER - 1)


def _fill_object(found: dict[str, Any], struct: Struct, depth: int) -> None:
    fields = struct.fields
    for key, item in found.items():
        _fill(item, fields[sound(key)], depth)


def _fill_list(found: list[Any], values: ListValue, depth: int) -> None:
    add = values.values.add
    for item in found:
        _fill(item, add(), depth)


def _fill(item: Any, value: Value, depth: int) -> None:
    if isinstance(item, str):
        value.string_value = sound(item)
    elif item is None:
        value.null_value = 0  # type: ignore[assignment]
    elif isinstance(item, bool):
        value.bool_value = item
    elif isinstance(item, int | float):
        _fill_number(item, value)
    elif depth <= 0:
        value.string_value = _json_text(item)
    elif isinstance(item, dict):
        # An empty object is an object, too.
        value.struct_value.SetInParent()
        _fill_object(item, value.struct_value, depth - 1)
    else:
        value.list_value.SetInParent()
        _fill_list(item, value.list_value, depth - 1)


def _fill_number(item: int | float, value: Value) -> None:
    try:
        number = float(item)
    except OverflowError:
        number = math.inf if item > 0 else -math.inf
    if math.isfinite(number):
        value.number_value = number
    else:
        # As protobuf's own JSON spells them; JSON itself has no such numbers, and readers of a Struct refuse them.
        value.string_value = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _json_text(item: Any) -> str:
    try:
        return json.dumps(item, separators=(",", ":"))
    except RecursionError:
        return ""


def sound(text: str) -> str:
    """Text that a protobuf string may hold: lone surrogates become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
