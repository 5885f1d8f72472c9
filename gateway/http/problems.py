"""How errors are answered: `{"detail": …}` as legacy clients know it, RFC 9457 problem details under /gateway/v1."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from backends.errors import EngineUnavailable
from gateway.access.keys import MissingKey
from gateway.errors import ApiError, InvalidRequest

NEW_API = "/gateway/v1"
PROBLEM = "application/problem+json"
TYPE = "urn:taskgate:error:"

#: An answer about a bad request repeats what was sent; beyond this size (bytes) it leaves that out.
_LARGEST_ECHO = 64 * 1024

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 422: "invalid_request"}


def install(app: FastAPI) -> None:
    """Have every error of the application answered by this module (the unforeseen ones: `gateway.http.guards`)."""
    app.add_exception_handler(ApiError, _answer_own_error)
    app.add_exception_handler(EngineUnavailable, _answer_own_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)


def error_answer(
    path: str,
    status: int,
    detail: str,
    *,
    code: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    """The answer to a request for `path` that ended in an error; `more` are further members of the JSON object."""
    if path.startswith(NEW_API):
        code = code or _CODES.get(status, "internal" if status >= 500 else "request_refused")
        content = {**problem(status, detail, code), "instance": path, **more}
        return Response(_dump(content), status, headers, PROBLEM)
    return Response(_dump({"detail": detail, **more}), status, headers, "application/json")


def problem(status: int, detail: str, code: str, **more: Any) -> dict[str, Any]:
    """Problem details without `instance`."""
    title = code.replace("_", " ").capitalize()
    return {"type": TYPE + code, "title": title, "status": status, "detail": detail, **more}


def problem_of(error: ApiError) -> dict[str, Any]:
    """Problem details, as one of several in an answer."""
    return problem(error.http_status, error.message, error.code, **error.members)


def invalid_answer(path: str, errors: Sequence[Any]) -> Response:
    """422 with a list of errors in FastAPI's form."""
    errors = list(errors)
    if len(_dump(errors)) > _LARGEST_ECHO:
        errors = [{name: value for name, value in error.items() if name != "input"} for error in errors[:100]]
    if path.startswith(NEW_API):
        return error_answer(path, 422, InvalidRequest().message, code=InvalidRequest.code, errors=errors)
    return Response(_dump({"detail": errors}), 422, media_type="application/json")


async def _answer_own_error(request: Request, error: Exception) -> Response:
    path = request.scope["path"]
    if isinstance(error, EngineUnavailable):
        return error_answer(path, 503, error.message, code=error.code, headers={"Retry-After": "5"})
    assert isinstance(error, ApiError)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, MissingKey):
        headers["WWW-Authenticate"] = "Bearer"
    members = error.members if path.startswith(NEW_API) else {}
    return error_answer(path, error.http_status, error.message, code=error.code, headers=headers, **members)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail or HTTPStatus(error.status_code).phrase
    headers = dict(error.headers) if error.headers else None
    return error_answer(request.scope["path"], error.status_code, detail, headers=headers)


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid_answer(request.scope["path"], error.errors())


def _dump(content: Any) -> bytes:
    return orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    """Pydantic's errors repeat the input, which may be bytes, and their context may hold an exception."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
