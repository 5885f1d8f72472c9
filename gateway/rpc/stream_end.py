"""What a stream ends with that was closed from this side."""

from __future__ import annotations

from typing import NoReturn

from gateway.access.access import Access
from gateway.access.placement import Caller
from gateway.errors import Forbidden, ShuttingDown


async def say_why(access: Access, caller: Caller, authorization: str | None) -> NoReturn:
    """`caller`: as it was when the stream was opened.

    Raises `Unauthenticated` if its key is no longer valid, `Forbidden` if it has lost a right since, else
    `ShuttingDown`; also `DatabaseUnavailable`.
    """
    now = await access.authenticate(authorization)
    if not caller.standing <= now.standing:
        raise Forbidden("You have lost a right that this stream was opened with; what is left can be opened anew")
    raise ShuttingDown(retry_after=1)
