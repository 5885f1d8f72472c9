"""What can be wrong with the record (root: `gateway.errors.ApiError`)."""

from __future__ import annotations

from gateway.errors import ApiError


class LedgerUnwritable(ApiError):
    """The ledger cannot be written; the change is refused."""

    code = "ledger_unwritable"
    http_status = 503
    grpc_status = "UNAVAILABLE"
