"""The branch of the error tree that rehearsals raise."""

from __future__ import annotations

from gateway.errors import InvalidRequest


class UnknownReason(InvalidRequest):
    """There is no such reason"""

    code = "unknown_reason"
