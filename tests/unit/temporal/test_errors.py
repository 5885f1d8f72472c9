"""gRPC errors in the words of the port: "unavailable" is said only when nothing can have been done."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from backends.errors import EngineError, EngineUnavailable, StartRefused, StartUncertain, WorkflowNotFound
from backends.temporal.errors import (
    AlreadyExists,
    AttributesUnknown,
    NamespaceMissing,
    Purpose,
    Unsupported,
    WrongState,
    lost,
    timed_out,
    translate,
    was_cut,
)

S = RPCStatusCode


def rpc_error(status: RPCStatusCode, message: str = "") -> RPCError:
    return RPCError(message, status, b"")


@pytest.mark.parametrize(
    ("status", "message", "raised"),
    [
        (S.UNAVAILABLE, "tcp connect error", EngineUnavailable),
        (S.UNAVAILABLE, "dns error", EngineUnavailable),
        (S.UNAVAILABLE, "Not enough hosts to serve the request", StartUncertain),
        (S.UNKNOWN, "transport error", StartUncertain),
        (S.CANCELLED, "Timeout expired", StartUncertain),
        (S.CANCELLED, "operation was canceled", StartUncertain),
        (S.DEADLINE_EXCEEDED, "context deadline exceeded", StartUncertain),
        (S.INTERNAL, "persistence is down", StartUncertain),
        (S.ABORTED, "", StartUncertain),
        (S.DATA_LOSS, "", StartUncertain),
        (S.INVALID_ARGUMENT, "input exceeds length limit", StartRefused),
        (S.INVALID_ARGUMENT, "Namespace x has no mapping defined for search attribute Y", AttributesUnknown),
        (S.RESOURCE_EXHAUSTED, "grpc: received message larger than max (6 vs. 4)", StartRefused),
        (S.RESOURCE_EXHAUSTED, "namespace rate limit exceeded", EngineUnavailable),
        (S.ALREADY_EXISTS, "Activity execution already started", AlreadyExists),
        (S.NOT_FOUND, "Namespace taskgate is not found.", NamespaceMissing),
        (S.PERMISSION_DENIED, "", EngineUnavailable),
        (S.UNAUTHENTICATED, "", EngineUnavailable),
        (S.FAILED_PRECONDITION, "namespace is deprecated", EngineUnavailable),
        (S.UNIMPLEMENTED, "Standalone activity is disabled", Unsupported),
    ],
)
def test_a_start(status: RPCStatusCode, message: str, raised: type[EngineError]) -> None:
    assert type(translate(rpc_error(status, message), Purpose.START)) is raised


@pytest.mark.parametrize(
    ("status", "message", "read", "write"),
    [
        (S.UNAVAILABLE, "tcp connect error", EngineUnavailable, EngineUnavailable),
        (S.UNKNOWN, "transport error", EngineUnavailable, EngineError),
        (S.CANCELLED, "Timeout expired", EngineUnavailable, EngineError),
        (S.NOT_FOUND, "activity not found for ID: x", WorkflowNotFound, WorkflowNotFound),
        (S.NOT_FOUND, "Namespace x is not found.", NamespaceMissing, NamespaceMissing),
        (S.FAILED_PRECONDITION, "activity is in terminal state", WrongState, WrongState),
        (S.INVALID_ARGUMENT, "bad query", EngineError, EngineError),
        (S.RESOURCE_EXHAUSTED, "rate limit", EngineUnavailable, EngineUnavailable),
    ],
)
def test_everything_else(
    status: RPCStatusCode, message: str, read: type[EngineError], write: type[EngineError]
) -> None:
    assert type(translate(rpc_error(status, message), Purpose.READ)) is read
    assert type(translate(rpc_error(status, message), Purpose.WRITE)) is write


@pytest.mark.parametrize("status", list(RPCStatusCode))
@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_status_has_a_translation(status: RPCStatusCode, purpose: Purpose) -> None:
    error = translate(rpc_error(status, "words of the server"), purpose)
    assert "words of the server" in error.message


def test_an_answer_that_did_not_come() -> None:
    assert type(lost("x", Purpose.START)) is StartUncertain
    assert type(lost("x", Purpose.READ)) is EngineUnavailable
    assert type(lost("x", Purpose.WRITE)) is EngineError


@pytest.mark.parametrize(
    ("status", "message", "cut", "late"),
    [
        (S.UNKNOWN, "transport error", True, False),
        (S.CANCELLED, "operation was canceled", True, False),
        (S.CANCELLED, "Timeout expired", False, True),
        (S.DEADLINE_EXCEEDED, "", False, True),
        (S.UNAVAILABLE, "tcp connect error", False, False),
        (S.INVALID_ARGUMENT, "", False, False),
    ],
)
def test_what_is_tried_again(status: RPCStatusCode, message: str, cut: bool, late: bool) -> None:
    error = rpc_error(status, message)
    assert (was_cut(error), timed_out(error)) == (cut, late)
