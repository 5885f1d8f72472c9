"""Errors of callbacks."""

from __future__ import annotations

from gateway.errors import ApiError, InvalidRequest


class CallbackRefused(InvalidRequest):
    """The gateway does not send callbacks to this address."""

    code = "callback_refused"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, field="callback.url")


class TooManySecrets(ApiError):
    """The tenant has as many valid secrets as it may: wait until one expires, or end them all with an overlap of 0"""

    code = "too_many_secrets"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class DeliveryNotFound(ApiError):
    """There is no such callback"""

    code = "callback_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class DeliveryNotResendable(ApiError):
    """Only a callback that was given up or delivered can be sent again"""

    code = "callback_not_resendable"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"
