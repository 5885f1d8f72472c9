"""LaunchDarkly's REST API, as far as a flag is read and patched through it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final

import httpx

from gateway.migration.flags.errors import FlagStoreRefuses, FlagStoreUnavailable
from gateway.routing.flag_document import Json
from gateway.secret_files import Secret, text_of

#: Seconds that an answer may take; attempts of a request that LaunchDarkly failed at, and the pause after the first.
PATIENCE: Final = 10.0
ATTEMPTS: Final = 3
FIRST_PAUSE: Final = 0.5
#: Seconds without a request after an answer 429 that names none, and at the most.
PAUSE_WHEN_BUSY: Final = 10
LONGEST_PAUSE: Final = 3600
_SEMANTIC = "application/json; domain-model=launchdarkly.semanticpatch"
EMERGENCY: Final = "nothing was changed; in an emergency an override stands above the flag"


class PatchUncertain(Exception):
    """LaunchDarkly failed at a patch: it may have been made or not."""


class PatchConflict(Exception):
    """LaunchDarkly refuses a patch for what somebody else changes there (409)."""


class LaunchDarklyApi:
    """Requests about one flag in one environment.

    After an answer 429 no request is sent before the time that it names. `clock` is in seconds of any origin.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        project: str,
        environment: str,
        flag_key: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.environment = environment
        self._place = f"flag {flag_key!r} in project {project!r}, environment {environment!r}"
        self._path = f"/api/v2/flags/{project}/{flag_key}"
        self._resource = f"proj/{project}:env/{environment}:flag/{flag_key}"
        self._url = url
        self._token = token
        self._clock = clock
        self._sleep = sleep
        self._busy_until = clock()

    async def flag(self) -> Json:
        """The flag as LaunchDarkly shows it. Raises `FlagStoreRefuses`, `FlagStoreUnavailable`."""
        return await self._read(self._path, {"env": self.environment})

    async def audit_log(self, limit: int) -> list[Json]:
        """The newest changes of the flag, the newest first. Raises as `flag`."""
        found = await self._read("/api/v2/auditlog", {"spec": self._resource, "limit": str(min(limit, 20))})
        return list(found.get("items") or [])

    async def patch(self, instructions: list[dict[str, Any]], comment: str) -> Json:
        """Change the flag; it as it is then. Raises `PatchUncertain`, `PatchConflict`, and as `flag`."""
        body = {"environmentKey": self.environment, "comment": comment, "instructions": instructions}
        try:
            answer = await self._send("PATCH", self._path, json=body, headers={"Content-Type": _SEMANTIC})
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _unavailable(f"cannot be reached ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise PatchUncertain(type(error).__name__) from error
        if answer.is_server_error:
            raise PatchUncertain(f"it answered {answer.status_code}")
        if answer.status_code == httpx.codes.CONFLICT:
            raise PatchConflict(_message(answer))
        return self._sound(answer)

    async def pause(self, attempt: int) -> None:
        """Before the next attempt; the first is number 0."""
        await self._sleep(FIRST_PAUSE * 2**attempt)

    async def _read(self, path: str, query: Mapping[str, str]) -> Json:
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self.pause(attempt - 1)
            try:
                answer = await self._send("GET", path, params=query)
            except httpx.TransportError as error:
                why = f"cannot be reached ({type(error).__name__})"
                continue
            if not answer.is_server_error:
                return self._sound(answer)
            why = f"answers {answer.status_code}"
        raise _unavailable(why)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        if (left := self._busy_until - self._clock()) > 0:
            raise _busy(left)
        headers = {"Authorization": text_of(self._token), **options.pop("headers", {})}
        async with httpx.AsyncClient(base_url=self._url, timeout=PATIENCE, verify=_authorities()) as http:
            answer = await http.request(method, path, headers=headers, **options)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause = _pause_of(answer)
            self._busy_until = self._clock() + pause
            raise _busy(pause)
        return answer

    def _sound(self, answer: httpx.Response) -> Json:
        match answer.status_code:
            case 401 | 403:
                raise FlagStoreRefuses(
                    f"LaunchDarkly does not let the API token do this ({answer.status_code}: {_message(answer)}):"
                    " TASKGATE_LAUNCHDARKLY_API_TOKEN"
                )
            case 404:
                raise FlagStoreRefuses(f"LaunchDarkly has no {self._place}")
            case status if status >= 300:
                raise FlagStoreRefuses(f"LaunchDarkly refuses this ({status}): {_message(answer)}")
        try:
            found: Json = answer.json()
        except ValueError:
            raise FlagStoreUnavailable(f"what answers at {self._url} is not LaunchDarkly") from None
        return found


@cache
def _authorities() -> ssl.SSLContext:
    """Those that are trusted: to read them takes 50 ms, in which the event loop stands."""
    return httpx.create_ssl_context()


def _unavailable(why: str) -> FlagStoreUnavailable:
    return FlagStoreUnavailable(f"LaunchDarkly's API {why}; {EMERGENCY}", retry_after=PAUSE_WHEN_BUSY)


def _busy(seconds: float) -> FlagStoreUnavailable:
    whole = max(1, round(seconds))
    return FlagStoreUnavailable(
        f"LaunchDarkly takes no more requests for {whole} s (429); {EMERGENCY}", retry_after=whole
    )


def _pause_of(answer: httpx.Response) -> float:
    """`Retry-After` in seconds, or `X-Ratelimit-Reset` in milliseconds since 1970, as far as they can be read."""
    try:
        if after := answer.headers.get("Retry-After"):
            seconds = float(after)
        else:
            seconds = float(answer.headers["X-Ratelimit-Reset"]) / 1000 - time.time()
    except (KeyError, ValueError):
        return PAUSE_WHEN_BUSY
    return min(max(seconds, 1), LONGEST_PAUSE)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return "it does not say why"
