"""How the methods of services are served, and within which bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import grpc

from gateway.rpc.wire.call import Call


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is served: once the client has closed its side, or, if not `whole`, has begun to send.

    An `unbroken` one is carried out to its end, whoever leaves meanwhile.
    """

    serve: Callable[[Call], Awaitable[None]]
    whole: bool = True
    unbroken: bool = False


async def _answer_unknown(call: Call) -> None:
    call.finish(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


#: Serves what is not there.
UNKNOWN: Final = Method(_answer_unknown, whole=False)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of a message; seconds of quiet before a ping, and for its answer."""

    message: int
    keepalive: float
    keepalive_timeout: float
