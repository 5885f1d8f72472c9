"""What can be wrong with a request to a guardrail (root: `gateway.errors.ApiError`)."""

from __future__ import annotations

from gateway.errors import ApiError


class GuardrailRefused(ApiError):
    """The guardrails are not in that state; nothing was changed."""

    code = "guardrail_refused"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class MoveHeld(ApiError):
    """A guardrail holds this move forward, which `force` overrules; nothing was changed."""

    code = "move_held"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class MoveLocked(MoveHeld):
    """A guardrail is locked, or all are frozen: a person ends that before the move, and `force` does not help."""

    code = "move_locked"
