"""What OpenAPI says about errors, so that no status an endpoint may answer is undocumented."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from gateway.http.problems import PROBLEM
from gateway.tasks.payload import JsonValue

Responses = dict[int | str, dict[str, Any]]

#: Where the document holds the schema of a model. `gateway.http.openapi` adds those that FastAPI does not know.
REFERENCE = "#/components/schemas/{model}"


class Detail(BaseModel):
    """An error, in the format of the legacy API."""

    detail: str


class InvalidField(BaseModel):
    """One validation error."""

    type: str = Field(description="Kind of the error, for example `missing` or `string_too_short`.")
    loc: list[str | int] = Field(description='Where the error is, for example `["body", "priority"]`.')
    msg: str = Field(description="The error in words.")
    input: JsonValue = Field(
        None, description="The value that was sent. Left out when the answer would become too large."
    )
    ctx: dict[str, Any] | None = Field(
        None, description="Details of the error, for example the limit that was exceeded."
    )


class InvalidDetail(BaseModel):
    """Validation errors, in the format of the legacy API."""

    detail: list[InvalidField] | str


class Problem(BaseModel):
    """An error as problem details (RFC 9457)."""

    type: str = Field(description="Stable identifier of the kind of error: `urn:taskgate:error:<code>`.")
    title: str = Field(description="Name of the kind of error.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="What went wrong, in words.")
    instance: str = Field(description="Path of the request.")
    errors: list[InvalidField] | None = Field(
        None, description="Validation errors, one for each invalid field. Only with status 422."
    )
    error_id: str | None = Field(None, description="ID of this error in the gateway's log. Only with status 500.")


_WHY = {
    400: "The state of the task does not allow this",
    401: "The API key is missing or not valid",
    403: "The caller may not access this resource",
    404: "The resource does not exist, or the caller may not see it",
    405: "The path does not support this method",
    409: "Conflict with the current state, e.g. an active task already has this `unique_key`",
    413: "The request body is too large",
    422: "The request is not valid, or its `Idempotency-Key` was already used with another request",
    429: "A quota or another limit is exceeded; `Retry-After` says when to try again",
    500: "Unexpected error in the gateway; `error_id` identifies it in the gateway's log",
    502: "The task failed, or a server that the gateway depends on failed",
    501: "An optional component is not installed on the gateway; `detail` names it",
    503: "A server that the gateway depends on is unavailable; `Retry-After` says when to try again",
    504: "Timeout: the operation did not finish in time",
}
_RETRY_AFTER = {
    "headers": {
        "Retry-After": {
            "description": "Seconds to wait before trying again",
            "schema": {"type": "integer", "minimum": 0},
        }
    }
}


def legacy_errors(*statuses: int) -> Responses:
    """Documentation of `{"detail": …}` answers; 401, 413, 422, 500 and 503 are always among them."""
    return {
        status: {"model": InvalidDetail if status == 422 else Detail, "description": _WHY[status], **_extra(status)}
        for status in sorted({401, 413, 422, 500, 503, *statuses})
    }


def problem_errors(*statuses: int) -> Responses:
    """Documentation of problem details; 401, 413, 422, 500 and 503 are always among them."""
    return {
        status: {"description": _WHY[status], "content": {PROBLEM: {"schema": _reference(Problem)}}, **_extra(status)}
        for status in sorted({401, 413, 422, 500, 503, *statuses})
    }


def event_stream(**events: type[BaseModel]) -> dict[str, Any]:
    """Documentation of a stream of Server-Sent Events (`itemSchema`, as OpenAPI 3.2 has it): each event's data. A
    `schema` beside it would be about the list of all events."""
    items = [
        {
            "type": "object",
            "properties": {
                "event": {"const": name},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": _reference(data),
                },
            },
            "required": ["event", "data"],
        }
        for name, data in events.items()
    ]
    return {"text/event-stream": {"itemSchema": {"oneOf": items}}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _extra(status: int) -> dict[str, Any]:
    return _RETRY_AFTER if status in (429, 503) else {}
