"""Errors as google.rpc.Status."""

from __future__ import annotations

import logging
import re

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

import gateway.errors
from backends.errors import EngineUnavailable
from gateway.dags.errors import DagInvalid, Fault
from gateway.errors import ApiError, DatabaseUnavailable, QuotaExceeded
from gateway.migration.flags.errors import StageVersionStale
from gateway.migration.plans.errors import PlanInvalid
from gateway.rpc.failures import InvalidFields, Violation, failure_of, invalid

KINDS = (ErrorInfo, BadRequest, RetryInfo)


def details_of(error: Exception) -> tuple[grpc.StatusCode, str, dict[type, object]]:
    failure = failure_of(error)
    status = Status.FromString(failure.details)
    assert (status.code, status.message) == (failure.code.value[0], failure.message)
    found: dict[type, object] = {}
    for detail in status.details:
        kind = next(kind for kind in KINDS if detail.Is(kind.DESCRIPTOR))
        found[kind] = kind()
        detail.Unpack(found[kind])
    return failure.code, failure.message, found


def subclasses(cls: type[ApiError]) -> list[type[ApiError]]:
    return [cls, *(inner for sub in cls.__subclasses__() for inner in subclasses(sub))]


def made(kind: type[ApiError]) -> ApiError:
    if issubclass(kind, QuotaExceeded):
        return kind("tasks_per_day", 5, retry_after=60)
    if issubclass(kind, StageVersionStale):
        return kind("the flag", 1, 2)
    return kind([Fault("x", "/", "wrong")]) if issubclass(kind, DagInvalid | PlanInvalid) else kind()


@pytest.mark.parametrize(
    "kind", [kind for kind in subclasses(ApiError) if kind is not InvalidFields], ids=lambda kind: kind.__name__
)
def test_every_error_of_the_tree_has_an_answer(kind: type[ApiError]) -> None:
    error = made(kind)
    code, message, details = details_of(error)
    info = details[ErrorInfo]
    assert isinstance(info, ErrorInfo)
    assert code is grpc.StatusCode[kind.grpc_status]
    assert message == error.message
    assert (info.reason, info.domain) == (kind.code.upper(), "taskgate")
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", info.reason)


def test_the_tree_says_the_same_over_http_and_grpc() -> None:
    """gRPC's codes and HTTP's statuses belong together (google.rpc.Code)."""
    expected = {
        "UNAUTHENTICATED": {401},
        "PERMISSION_DENIED": {403},
        "NOT_FOUND": {404},
        "INVALID_ARGUMENT": {400, 422},
        "FAILED_PRECONDITION": {400, 409},
        "ABORTED": {409},
        "ALREADY_EXISTS": {409},
        "RESOURCE_EXHAUSTED": {409, 413, 429},
        "UNAVAILABLE": {502, 503, 504},
        "UNIMPLEMENTED": {501},
        "DEADLINE_EXCEEDED": {504},
        "INTERNAL": {500},
    }
    own = [kind for kind in subclasses(ApiError) if kind.__module__ == gateway.errors.__name__]
    assert [kind for kind in own if kind.http_status not in expected[kind.grpc_status]] == []


def test_a_quota_says_when_to_try_again() -> None:
    code, _, details = details_of(QuotaExceeded("tasks_per_day", 5, retry_after=7))
    retry, info = details[RetryInfo], details[ErrorInfo]
    assert isinstance(retry, RetryInfo)
    assert isinstance(info, ErrorInfo)
    assert dict(info.metadata) == {"quota": "tasks_per_day", "limit": "5"}
    assert (code, retry.retry_delay.seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 7)


@pytest.mark.parametrize("error", [EngineUnavailable(), DatabaseUnavailable(retry_after=2)])
def test_what_is_away_is_worth_a_repetition(error: Exception) -> None:
    code, _, details = details_of(error)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert RetryInfo in details


def test_an_error_nobody_foresaw_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        code, message, details = details_of(ValueError("ms_sk_secret"))
    info = details[ErrorInfo]
    assert isinstance(info, ErrorInfo)
    assert (code, message) == (grpc.StatusCode.INTERNAL, "Internal error")
    assert info.metadata["errorId"] in caplog.text
    assert "ms_sk_secret" not in caplog.text


def test_what_a_client_sent_is_repeated_only_so_far() -> None:
    """Clients refuse answers whose metadata exceeds 8 KB."""
    many = InvalidFields([Violation("task." + "ü" * 5000, "\ud800" * 5000) for _ in range(500)])
    failure = failure_of(many)
    assert len(failure.details) < 6000
    assert len(failure.message.encode()) < 2000
    assert len(failure_of(invalid("x" * 10**6, "y" * 10**6)).details) < 2000
