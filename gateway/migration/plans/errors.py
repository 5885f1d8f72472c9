"""What can be wrong with a plan (root: `gateway.errors.ApiError`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.dags.errors import MOST_FAULTS, Fault
from gateway.errors import ApiError


class PlanInvalid(ApiError):
    """The plan is not valid."""

    code = "plan_invalid"
    http_status = 422
    grpc_status = "INVALID_ARGUMENT"

    def __init__(self, faults: Sequence[Fault]) -> None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"The plan is not valid: {faults[0]}: {faults[0].message}{more}")
        self.faults = list(faults[:MOST_FAULTS])

    def __reduce__(self) -> tuple[Any, ...]:
        """A child process raises it, too."""
        return PlanInvalid, (self.faults,)

    @property
    def members(self) -> dict[str, Any]:
        return {"faults": [fault.as_dict() for fault in self.faults]}


class PlanNotFound(ApiError):
    """There is no such plan."""

    code = "plan_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class PlanRefused(ApiError):
    """The plan is not in a state in which this is possible; nothing was changed."""

    code = "plan_refused"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class PlanStale(ApiError):
    """The plan was changed meanwhile; look again, then repeat."""

    code = "plan_stale"
    http_status = 409
    grpc_status = "ABORTED"
