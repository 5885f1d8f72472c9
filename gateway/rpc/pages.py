"""Pages of lists: how large they are, and the tokens that say where a list continues.

Tokens are opaque to clients, and of no use to a caller who may not see what is listed.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

import orjson
from google.protobuf.message import Message
from taskgate.v1 import ListRequest

from gateway.errors import InvalidRequest
from gateway.rpc.failures import invalid
from gateway.tasks.queries.task_log import Position
from gateway.tasks.queries.task_row import TaskRow

#: Fields of the request that say what is listed, and so belong to a token.
_FILTERS = ("status", "task_type", "entity_id", "entity_type", "search")

_LONGEST = 2000

#: A page is cut here (bytes): clients refuse answers of more than 4 MB unless told otherwise.
_PAGE_BYTES = 3 * 1024 * 1024

_R = TypeVar("_R")
_M = TypeVar("_M", bound=Message)


def token_after(row: TaskRow, request: ListRequest) -> str:
    """The token of the page that follows `row` in the list that `request` asks for."""
    at = None if row.created_at is None else row.created_at.isoformat()
    return urlsafe_b64encode(orjson.dumps([_digest(request), at, row.id])).decode().rstrip("=")


def position_of(request: ListRequest) -> Position | None:
    """Where the requested page begins; None: with the newest task.

    Raises `InvalidFields` for a token that is none, or that belongs to a list with other filters.
    """
    token = request.page_token
    if not token:
        return None
    try:
        if len(token) > _LONGEST:
            raise ValueError
        digest, at, task_id = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if not isinstance(task_id, str) or "\0" in task_id:
            raise ValueError
        created_at = None if at is None else datetime.fromisoformat(at)
        if created_at is not None:
            if created_at.tzinfo is None:
                raise ValueError
            created_at = created_at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise invalid("page_token", "not a token of this API") from None
    if digest != _digest(request):
        raise invalid("page_token", "belongs to a list with other filters")
    return Position(created_at, task_id)


def _digest(request: ListRequest) -> str:
    filters = [getattr(request, name) for name in _FILTERS]
    return hashlib.sha256(orjson.dumps(filters)).hexdigest()[:16]


def size_of(page_size: int, *, default: int, largest: int) -> int:
    """How many rows a page has. Raises `InvalidFields`."""
    if page_size < 0:
        raise invalid("page_size", "must not be negative")
    return min(page_size or default, largest)


def fitting(messages: Iterable[_M]) -> list[_M]:
    """The first of these, as far as one answer has room for them; one at least, if there is any."""
    found: list[_M] = []
    room = _PAGE_BYTES
    for message in messages:
        room -= message.ByteSize()
        if room < 0 and found:
            break
        found.append(message)
    return found


def page_of(
    rows: Sequence[_R], shown: Callable[[_R], _M], token_after: Callable[[_R], str], *, more: bool
) -> tuple[list[_M], str]:
    """The messages of a page's rows, as far as one answer has room for them, and the token of the next page.

    `more`: there are further rows after these. Without any, the token is empty.
    """
    messages = fitting(shown(row) for row in rows)
    more = more or len(messages) < len(rows)
    return messages, token_after(rows[len(messages) - 1]) if more and messages else ""


@contextmanager
def own_token() -> Iterator[None]:
    """What the service layer calls a cursor is a page token here."""
    try:
        yield
    except InvalidRequest as error:
        if error.field == "cursor":
            raise invalid("page_token", "not a token of this API") from None
        raise
