"""What every request passes before anything else looks at it.

Plain ASGI, because it runs for every request: it tells the gateway's own paths from the upstream's, refuses text that
cannot be stored and bodies that are too large, and answers what nobody foresaw.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge
from gateway.http.problems import error_answer, invalid_answer

log = logging.getLogger(__name__)

LEGACY_API = "/api/v1"
TASKS_API = "/api/v1/tasks"


class Guards:
    """The outermost layer of the application.

    `is_own(method, path)` says of a path under /api/v1 whether the gateway serves it; all others there go to
    `passthrough`, without any of the checks. /api/v1/tasks belongs to the gateway with everything beneath it.
    Bodies are at most `max_body_bytes`; the paths of `larger_bodies` have limits of their own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_own: Callable[[str, str], bool],
        passthrough: ASGIApp,
        max_body_bytes: int,
        larger_bodies: Mapping[str, int],
    ) -> None:
        self._app = app
        self._is_own = is_own
        self._passthrough = passthrough
        self._max_body_bytes = max_body_bytes
        self._larger_bodies = larger_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if _is_under(path, LEGACY_API) and not _is_under(path, TASKS_API) and not self._is_own(scope["method"], path):
            await _run(self._passthrough, scope, receive, send, is_own=False)
            return
        if (place := _unsound_text(scope)) is not None:
            error = {"type": "string_unsound", "loc": [place], "msg": "NUL characters and invalid UTF-8 are refused"}
            await invalid_answer(path, [error])(scope, receive, send)
            return
        limit = scope["taskgate.body_limit"] = self._larger_bodies.get(path, self._max_body_bytes)
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if length is None:
            receive = _counted(receive, limit)
        elif not length.isdigit() or int(length) > limit:
            await _too_large(path)(scope, receive, send)
            return
        await _run(self._app, scope, receive, send)


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, is_own: bool = True) -> None:
    """Run the application, and answer 413 and 500 for what it raises."""
    started = False

    async def watched_send(message: Message) -> None:
        nonlocal started
        started = True
        if is_own and message.get("status") == 307:
            _make_relative(message)
        await send(message)

    try:
        await app(scope, receive, watched_send)
    except ClientDisconnect:
        return
    except BodyTooLarge:
        if not started:
            await _too_large(scope["path"])(scope, receive, send)
    except Exception as error:  # noqa: BLE001 (the last resort)
        error_id = uuid.uuid4().hex
        # Without the message of the error: it may repeat what a client sent.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("unforeseen %s, error_id %s\n%s", type(error).__name__, error_id, frames)
        if not started:
            answer = error_answer(scope["path"], 500, "Internal error", code="internal", error_id=error_id)
            await answer(scope, receive, send)


def _too_large(path: str) -> ASGIApp:
    return error_answer(path, BodyTooLarge.http_status, BodyTooLarge().message, code=BodyTooLarge.code)


def _counted(receive: Receive, limit: int) -> Receive:
    """For bodies that do not announce their length. Raises `BodyTooLarge` with the first byte beyond `limit`."""
    size = 0

    async def counting_receive() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise BodyTooLarge
        return message

    return counting_receive


def _make_relative(message: Message) -> None:
    """Slash redirects without scheme and host, which a proxy in front knows better."""
    message["headers"] = [
        (name, _without_server(value) if name == b"location" else value) for name, value in message["headers"]
    ]


def _without_server(location: bytes) -> bytes:
    _, separator, rest = location.partition(b"://")
    # One slash: two would name a server.
    return b"/" + rest.partition(b"/")[2].lstrip(b"/") if separator else location


def _unsound_text(scope: Scope) -> str | None:
    """`path` or `query` where it holds a NUL character or invalid UTF-8 (such as an encoded surrogate)."""
    for place, raw in (("path", scope.get("raw_path") or b""), ("query", scope["query_string"])):
        if b"%" in raw or not raw.isascii():
            text = unquote_to_bytes(raw)
            if b"\0" in text:
                return place
            try:
                text.decode()
            except UnicodeDecodeError:
                return place
    return None


def _is_under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")
