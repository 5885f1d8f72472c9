"""Where the items of a list stand in a JSON text that was found to be sound."""

from __future__ import annotations

import json
import re

_SPACE = re.compile(r"[ \t\n\r]*")
#: A number stays a text: what it means is not asked here.
_READ = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


def places_of_items(body: bytes, name: str) -> list[tuple[int, int]]:
    """First byte, and byte after the last, of each item of the list `name` in the object that `body` is.

    Of several members with that name the last counts, as it does for orjson.
    """
    text = body.decode("latin-1")  # a character for each byte; what is not ASCII only stands in strings
    places: list[tuple[int, int]] = []
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        member, at = _READ(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        if member == name and text[at] == "[":
            places, at = _items(text, at)
        else:
            _, at = _READ(text, at)
        at = _after_comma(text, at)
    return places


def _items(text: str, at: int) -> tuple[list[tuple[int, int]], int]:
    places = []
    at = _after_space(text, at + 1)
    while text[at] != "]":
        start = at
        _, at = _READ(text, start)
        places.append((start, at))
        at = _after_comma(text, at)
    return places, at + 1


def _after_comma(text: str, at: int) -> int:
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
