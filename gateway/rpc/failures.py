"""Errors as `google.rpc.Status`: the one error tree (`gateway.errors`), in the words of gRPC.

Each carries an `ErrorInfo` whose reason is the error's `code` in capitals; what is worth repeating carries a
`RetryInfo`, what is wrong with a request a `BadRequest`; tasks of which it is not known whether they were accepted are
`ResourceInfo`s.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from backends.errors import EngineUnavailable
from gateway.dags.errors import DagInvalid
from gateway.errors import ApiError, IdempotencyMismatch, InvalidRequest, OutcomeUnknown

log = logging.getLogger(__name__)

DOMAIN = "taskgate"
DETAILS_KEY = "grpc-status-details-bin"

#: Clients refuse answers whose metadata exceeds some 8 KB, so what a client sent is repeated only up to here.
_MOST_VIOLATIONS = 8
_LONGEST_FIELD = 120
_LONGEST_TEXT = 300
_MOST_RESOURCES = 50

#: Whole seconds after which a call that needs an engine is worth repeating.
_ENGINE_RETRY_AFTER = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request; `field` is its path, e.g. `task.payload.tags[3]`."""

    field: str
    description: str


class InvalidFields(InvalidRequest):
    """The request is not valid."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        first = violations[0]
        super().__init__(f"{_cut(first.field, _LONGEST_FIELD)}: {first.description}", field=first.field)
        self.violations = tuple(violations)


def invalid(field: str, description: str) -> InvalidFields:
    """The error for a request of which one field is not valid."""
    return InvalidFields([Violation(field, description)])


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call is answered that ended in an error."""

    code: grpc.StatusCode
    message: str
    details: bytes
    """A serialised `google.rpc.Status`, for the trailing metadata `grpc-status-details-bin`."""


def failure_of(error: Exception) -> Failure:
    """The answer for an error. An unexpected one is logged, and answered only with the id of the log entry."""
    if isinstance(error, ApiError):
        known = {
            name: _cut(str(value), _LONGEST_FIELD)
            for name, value in error.members.items()
            if isinstance(value, str | int)
        }
        return _failure(error.grpc_status, error.code, error.message, _details_of(error), error.retry_after, **known)
    if isinstance(error, EngineUnavailable):
        return _failure("UNAVAILABLE", error.code, error.message, [], _ENGINE_RETRY_AFTER)
    error_id = uuid.uuid4().hex
    # Without the message of the error: it may repeat what a client sent.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("unforeseen %s, error_id %s\n%s", type(error).__name__, error_id, frames)
    return _failure("INTERNAL", "internal", "Internal error", [], None, errorId=error_id)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
    """End the call with the answer for an error; raises, as `context.abort` does."""
    failure = failure_of(error)
    await context.abort(failure.code, failure.message, (*context.trailing_metadata(), (DETAILS_KEY, failure.details)))


def _details_of(error: ApiError) -> list[Message]:
    if isinstance(error, OutcomeUnknown):
        named = error.task_ids[:_MOST_RESOURCES]
        return [ResourceInfo(resource_type="task", resource_name=task_id) for task_id in named]
    if isinstance(error, InvalidFields):
        violations = error.violations
    elif isinstance(error, InvalidRequest) and error.field is not None:
        violations = (Violation(error.field, error.message),)
    elif isinstance(error, DagInvalid) and error.faults:
        violations = tuple(Violation("document", f"{fault}: {fault.message}") for fault in error.faults)
    elif isinstance(error, IdempotencyMismatch):
        violations = (Violation("idempotency_key", error.message),)
    else:
        return []
    bad = BadRequest()
    for violation in violations[:_MOST_VIOLATIONS]:
        bad.field_violations.add(
            field=_cut(violation.field, _LONGEST_FIELD), description=_cut(violation.description, _LONGEST_TEXT)
        )
    return [bad]


def _failure(
    status: str, code: str, message: str, details: list[Message], retry_after: int | None, **metadata: str
) -> Failure:
    message = _cut(message, _LONGEST_TEXT)
    grpc_code = grpc.StatusCode[status]
    answer = Status(code=grpc_code.value[0], message=message)
    answer.details.add().Pack(ErrorInfo(reason=code.upper(), domain=DOMAIN, metadata=metadata))
    if retry_after is not None:
        details = [*details, RetryInfo(retry_delay=Duration(seconds=retry_after))]
    for detail in details:
        answer.details.add().Pack(detail)
    return Failure(grpc_code, message, answer.SerializeToString())


def _cut(text: str, longest: int) -> str:
    """Text of at most `longest` characters that travels as protobuf and as a header."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"
