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
    """An error as legacy clients know it."""

    detail: str


class InvalidField(BaseModel):
    """One thing that is wrong with a request."""

    type: str
    loc: list[str | int]
    msg: str
    input: JsonValue = None
    ctx: dict[str, Any] | None = None


class InvalidDetail(BaseModel):
    """What is wrong with a request."""

    detail: list[InvalidField] | str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="Stable: `urn:taskgate:error:<code>`")
    title: str
    status: int
    detail: str
    instance: str
    errors: list[InvalidField] | None = Field(None, description="What is wrong with each field (422)")
    error_id: str | None = Field(None, description="Stands in the gateway's log, too (500)")


_WHY = {
    400: "Not possible in the state the task is in",
    401: "No key, or not a valid one",
    403: "The caller has no access to what it names",
    404: "There is no such thing, or the caller may not see it",
    405: "This path has other methods",
    409: "Not possible as things stand, e.g. an active task has this `unique_key`",
    413: "The body is larger than the limit",
    422: "The request is not valid, or its Idempotency-Key was used with another one",
    429: "A quota is used up; `Retry-After` says when to try again",
    500: "An unexpected error in the gateway; `error_id` in the answer finds it in the gateway's log",
    502: "The task, or a server that is needed here, failed",
    501: "A part is not installed where the gateway runs; `detail` names it",
    503: "A server that is needed here is away; `Retry-After` says when to try again",
    504: "It took too long",
}
_RETRY_AFTER = {
    "headers": {"Retry-After": {"description": "Whole seconds", "schema": {"type": "integer", "minimum": 0}}}
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
