"""Temporal's gRPC errors in the words of the port: one table, and the few messages that decide.

What the client of temporalio 1.35 says (tried with a proxy that refuses, cuts and mutes connections):

- nobody listens, or the name does not resolve: `UNAVAILABLE` with "tcp connect error" or "dns error"; the request
  never left. When even the first connection fails, `RuntimeError("Failed client connect: …")`.
- the connection is cut under way: `UNKNOWN` "transport error" or `CANCELLED`; the server may have acted.
- no answer in time: `CANCELLED` "Timeout expired"; the server may have acted.
- `UNAVAILABLE` with any other text was sent by the server, perhaps after its store had taken the change.
"""

from __future__ import annotations

from enum import Enum

from temporalio.service import RPCError, RPCStatusCode

from backends.errors import EngineError, EngineUnavailable, StartRefused, StartUncertain, WorkflowNotFound

_NEVER_SENT = ("tcp connect error", "dns error")
_REFUSED = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED)
_KEY = "Has TASKGATE_TEMPORAL_API_KEY run out, and may it use this namespace (docs/connections.md)?"
_CUT = (RPCStatusCode.UNKNOWN, RPCStatusCode.CANCELLED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.INTERNAL)
_TOO_LARGE = ("larger than max", "exceeds size limit", "exceeds length limit")


class Purpose(Enum):
    """The purpose of a call, which decides what a lost answer means."""

    READ = "read"
    """Changes nothing, so a lost answer only means that the engine is unavailable."""
    WRITE = "write"
    START = "start"


class AlreadyExists(EngineError):
    """There is, or was, an execution of this id."""

    code = "already_exists"


class WrongState(EngineError):
    """The execution is in no state for this (ended, or already asked to stop)."""

    code = "wrong_state"


class Unsupported(EngineError):
    """This Temporal server does not have that call."""

    code = "unsupported"


class NamespaceMissing(EngineUnavailable):
    """The namespace does not exist in Temporal: create it, as docs/install.md says."""


class AttributesUnknown(StartRefused):
    """The namespace does not have our search attributes."""


#: status → (raised for a start, raised otherwise). A status that is missing leaves open what was done.
_TABLE: dict[RPCStatusCode, tuple[type[EngineError], type[EngineError]]] = {
    RPCStatusCode.INVALID_ARGUMENT: (StartRefused, EngineError),
    RPCStatusCode.ALREADY_EXISTS: (AlreadyExists, AlreadyExists),
    RPCStatusCode.NOT_FOUND: (EngineUnavailable, WorkflowNotFound),
    RPCStatusCode.FAILED_PRECONDITION: (EngineUnavailable, WrongState),
    RPCStatusCode.PERMISSION_DENIED: (EngineUnavailable, EngineUnavailable),
    RPCStatusCode.UNAUTHENTICATED: (EngineUnavailable, EngineUnavailable),
    RPCStatusCode.RESOURCE_EXHAUSTED: (EngineUnavailable, EngineUnavailable),
    RPCStatusCode.UNIMPLEMENTED: (Unsupported, Unsupported),
}


def is_namespace_missing(error: RPCError) -> bool:
    return error.status is RPCStatusCode.NOT_FOUND and error.message.startswith("Namespace")


def timed_out(error: RPCError) -> bool:
    """No answer in time: the connection itself may be dead without either end having noticed."""
    return error.status is RPCStatusCode.DEADLINE_EXCEEDED or "Timeout expired" in error.message


def was_cut(error: RPCError) -> bool:
    """The connection ended under the call, which may or may not have arrived."""
    return error.status in _CUT and not timed_out(error) and not never_sent(error)


def never_sent(error: RPCError) -> bool:
    return error.status is RPCStatusCode.UNAVAILABLE and error.message.startswith(_NEVER_SENT)


def not_connected(address: str, error: Exception) -> EngineUnavailable:
    """The error for a first call that failed: the client puts its answer into a text."""
    text = str(error)
    if "code: PermissionDenied" in text or "code: Unauthenticated" in text:
        return EngineUnavailable(f"Temporal at {address} refuses the connection. {_KEY}")
    return EngineUnavailable(f"Temporal at {address} cannot be reached: {text}")


def translate(error: RPCError, purpose: Purpose) -> EngineError:
    """The port's error for one gRPC error."""
    text = f"Temporal: {error.message}"
    if is_namespace_missing(error):
        return NamespaceMissing(f"{text} Create it with `temporal operator namespace create` (docs/install.md).")
    if never_sent(error):
        return EngineUnavailable(text)
    if error.status in _REFUSED:
        text = f"{text} {_KEY}"
    if error.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in error.message:
        return AttributesUnknown(text)
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED and any(part in error.message for part in _TOO_LARGE):
        return StartRefused(text) if purpose is Purpose.START else EngineError(text)
    known = _TABLE.get(error.status)
    if known is None:
        return lost(text, purpose)
    for_start, otherwise = known
    return (for_start if purpose is Purpose.START else otherwise)(text)


def lost(text: str, purpose: Purpose) -> EngineError:
    """The error for an answer that did not come."""
    match purpose:
        case Purpose.START:
            return StartUncertain(text)
        case Purpose.READ:
            return EngineUnavailable(text)
        case Purpose.WRITE:
            return EngineError(f"{text} (it may or may not have been done)")
