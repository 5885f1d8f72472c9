"""Errors of actions on dead letters."""

from __future__ import annotations

from gateway.errors import ApiError


class DeadLetterNotFound(ApiError):
    """There is no such dead letter"""

    code = "dead_letter_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class DeadLetterClosed(ApiError):
    """This dead letter was redriven already"""

    code = "dead_letter_closed"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class BackendNotAllowed(ApiError):
    """The tenant's stage does not allow this backend"""

    code = "backend_not_allowed"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class RedriveBlocked(ApiError):
    """This dead letter cannot be redriven as it is"""

    code = "redrive_blocked"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"
