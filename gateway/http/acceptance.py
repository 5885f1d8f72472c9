"""The last step of every endpoint that creates tasks: hand them to intake, and answer, also when asked again.

A client that sends an `Idempotency-Key` gets the answer of its first request for each further one with that key,
marked `Idempotency-Replayed: true`, and no second task.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.placement import Caller
from gateway.errors import ApiError
from gateway.http.route import KeyedRoute, gateway_of
from gateway.submission.idempotency import LONGEST_KEY, Idempotency, Replay, check_idempotency_key, may_have_passed
from gateway.submission.intake import Beside
from gateway.submission.new_task import NewTask

#: The digest of a larger body is made in a thread.
LARGE_BYTES = 1024 * 1024

#: For `openapi_extra` of an endpoint that creates tasks.
IDEMPOTENCY_PARAMETER = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Makes the request safe to repeat: a repeated request with the same key gets the first "
            "answer and creates nothing a second time. Remembered for `TASKGATE_IDEMPOTENCY_HOURS`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"},
        }
    ]
}


class RepeatableRoute(KeyedRoute):
    """An endpoint whose requests are judged by the present, too: one that was accepted is not refused when repeated."""

    async def first_answer(self, request: Request, refused: ApiError) -> Response | None:
        if "idempotency-key" not in request.headers or not may_have_passed(refused):
            return None
        gateway = gateway_of(request)
        caller = await gateway.access.authenticate(request.headers.get("authorization"))
        idempotency = await read_idempotency(request, caller, refused.http_status, b"")
        replay = None if idempotency is None else await gateway.intake.first_answer(idempotency)
        return None if replay is None else replayed(replay)


async def accept(
    request: Request,
    caller: Caller,
    tasks: Sequence[NewTask],
    answer: dict[str, Any],
    *,
    status: int = 200,
    beside: Beside | None = None,
) -> Response:
    """Submit the tasks and answer with `answer`.

    Raises `InvalidRequest` (Idempotency-Key out of form), `IdempotencyMismatch`, `DatabaseUnavailable`.
    """
    content = orjson.dumps(answer)
    idempotency = await read_idempotency(request, caller, status, content)
    replay = await gateway_of(request).intake.submit(tasks, idempotency=idempotency, beside=beside)
    return json_answer(content, status) if replay is None else replayed(replay)


async def read_idempotency(request: Request, caller: Caller, status: int, answer: bytes) -> Idempotency | None:
    """What is to be remembered of this request; None without an Idempotency-Key. Raises `InvalidRequest`."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    check_idempotency_key(key)
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.scope["path"].encode(), request.scope["query_string"]):
        digest.update(part + b"\0")
    body = await request.body()
    if len(body) > LARGE_BYTES:
        await asyncio.to_thread(digest.update, body)
    else:
        digest.update(body)
    return Idempotency(caller.repeats_as, key, digest.hexdigest(), status, answer.decode())


def replayed(replay: Replay) -> Response:
    """The stored answer, marked as such."""
    return json_answer(replay.answer.encode(), replay.status, {"Idempotency-Replayed": "true"})


def json_answer(content: bytes | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; rendered by orjson, without FastAPI's validation of what the endpoint made itself."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return Response(body, status, headers, "application/json")
