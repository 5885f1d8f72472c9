"""The cookie of a session: which requests it counts for.

A browser sends it with every request to this host, whatever page asked for it, and ports of one host are one site to
it. So the cookie counts only for requests of our own pages, and for one that changes something only with a token that
no other page can read. For all other requests it is as if there was none.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.sessions import proves_origin
from gateway.errors import ApiError, Forbidden
from gateway.http.problems import NEW_API, error_answer

CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_PATH: Final = f"{NEW_API}/session"
#: In the scope of a request whose cookie counts: the session's token.
SESSION_TOKEN: Final = "taskgate.session_token"

_NAME, _SECURE_NAME = "taskgate_session", "__Host-taskgate_session"
_READING = frozenset(("GET", "HEAD", "OPTIONS"))


class CsrfTokenMissing(ApiError):
    """A request with a session's cookie that changes something needs the token of its session in X-CSRF-Token"""

    code = "csrf_token_missing"
    http_status = 403
    grpc_status = "PERMISSION_DENIED"


class SessionCookies:
    """Outside of CORS: what a cookie counts for is answered to our own pages only.

    The cookie itself goes no further, neither to endpoints nor to the upstream.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers = Headers(scope=scope)
        is_own = _is_same_origin(headers)
        if scope["path"].startswith(SESSION_PATH) and is_own is False:
            return _refusal(scope, Forbidden("Sessions are for the console's own pages"))(scope, receive, send)
        token = None if "cookie" not in headers else _take(scope, headers)
        proof = headers.get(CSRF_HEADER, "")
        if token is None or "authorization" in headers or not (is_own or (is_own is None and proof)):
            return self._app(scope, receive, send)
        if scope["method"] not in _READING and not proves_origin(token, proof):
            return _refusal(scope, CsrfTokenMissing())(scope, receive, send)
        scope[SESSION_TOKEN] = token
        # Then nothing further in takes it for a page of another origin.
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"origin"]

        async def send_uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        return self._app(scope, receive, send_uncached)


def set_cookie(answer: Response, scope: Scope, token: str, seconds: float) -> None:
    """Have the browser keep the session until it ends."""
    answer.set_cookie(
        _name(scope), token, int(seconds), path="/", secure=_is_secure(scope), httponly=True, samesite="strict"
    )


def clear_cookie(answer: Response, scope: Scope) -> None:
    """Have the browser forget the session."""
    answer.delete_cookie(_name(scope), path="/", secure=_is_secure(scope), httponly=True, samesite="strict")


def _is_secure(scope: Scope) -> bool:
    return bool(scope.get("scheme") == "https")


def _name(scope: Scope) -> str:
    """Over https browsers let no other host or path of this site set the cookie."""
    return _SECURE_NAME if _is_secure(scope) else _NAME


def _take(scope: Scope, headers: Headers) -> str | None:
    """The session's token, which the request has no longer."""
    kept, token = [], None
    for text in headers.getlist("cookie"):
        for one in text.split(";"):
            name, _, value = one.strip().partition("=")
            if name == _name(scope):
                token = value
            elif name not in (_NAME, _SECURE_NAME):
                kept.append(one.strip())
    others = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
    cookie = [(b"cookie", "; ".join(kept).encode("latin-1"))] if kept else []
    scope["headers"] = others + cookie
    return token


def _is_same_origin(headers: Headers) -> bool | None:
    """Whether a page of our own asked; None: the browser does not say.

    Of a page of another origin it would say so, if that sets a header of its own.

    `Sec-Fetch-Site` is the browser's own word, and right behind proxies that change the host; it is sent only where the
    connection is secure or local.
    """
    sites = headers.getlist("sec-fetch-site")
    if sites:
        return sites == ["same-origin"]
    origins = headers.getlist("origin")
    if not origins:
        return None
    return len(origins) == 1 and origins[0].partition("://")[2] == headers.get("host")


def _refusal(scope: Scope, error: ApiError) -> Response:
    return error_answer(scope["path"], error.http_status, error.message, code=error.code)
