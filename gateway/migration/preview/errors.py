"""What can be wrong with a preview (root: `gateway.errors.ApiError`)."""

from __future__ import annotations

from gateway.errors import ApiError


class PreviewRefused(ApiError):
    """The proposed change cannot be made, so there is nothing to preview."""

    code = "preview_refused"
    http_status = 422
    grpc_status = "INVALID_ARGUMENT"


class NothingRecorded(ApiError):
    """No task was recorded in this time: ask for more hours."""

    code = "nothing_recorded"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class PreviewTooLarge(ApiError):
    """The preview needs more time or memory than it may have: ask for fewer hours."""

    code = "preview_too_large"
    http_status = 422
    grpc_status = "OUT_OF_RANGE"


class PreviewBusy(ApiError):
    """This gateway works at another preview: ask again later."""

    code = "preview_busy"
    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"
