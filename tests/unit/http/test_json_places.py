"""Where the items of a list stand in a body."""

from __future__ import annotations

import pytest

from gateway.http.json_places import places_of_items


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b'{"a": [1, "x", {"a": [2]}, [], null]}', [b"1", b'"x"', b'{"a": [2]}', b"[]", b"null"]),
        (b'{"a":[]}', []),
        (b"{}", []),
        (b'{"b": [0], "a" :\t[ 1 ,\n2 ] , "c": {"a": [3]}}\n', [b"1", b"2"]),
        (
            b'{"a": ["\xc3\xa9]\\"", 1e400, 12345678901234567890]}',
            [b'"\xc3\xa9]\\""', b"1e400", b"12345678901234567890"],
        ),
        (b'{"a": [1], "a": [2]}', [b"2"]),
        (b'{"\\u0061": [1]}', [b"1"]),
        (b'\xef\xbb\xbf{"a": [1]}', [b"1"]),
    ],
)
def test_each_item_is_found(body: bytes, items: list[bytes]) -> None:
    assert [body[start:end] for start, end in places_of_items(body, "a")] == items
