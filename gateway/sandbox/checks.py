"""Checks of input in a child process: input that is too costly is refused; if the child is lost, a retry may work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from gateway.errors import ApiError, TooMuchHeld
from gateway.sandbox.pool import Sandbox, SandboxExceeded, SandboxLost

P = ParamSpec("P")
T = TypeVar("T")

#: Processor time of one check (seconds), and memory of a child that checks (megabytes).
CHECK_SECONDS: Final = 10.0
CHECK_MEGABYTES: Final = 1024


async def check_apart(
    sandbox: Sandbox,
    refusal: Callable[[SandboxExceeded], ApiError],
    function: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """What the function returns or raises in a child.

    Raises `TooMuchHeld` if its child is lost, and the `refusal` if it exceeds a limit.
    """
    try:
        return await sandbox.run(CHECK_SECONDS, function, *args, **kwargs)
    except SandboxLost:
        raise TooMuchHeld(SandboxLost.TOLD, retry_after=1) from None
    except SandboxExceeded as error:
        raise refusal(error) from None
