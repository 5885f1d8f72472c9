"""Errors of DAGs and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import ApiError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a definition.

    `place` is a JSON pointer into it; `line` and `column` (from 1) are known where it was given as YAML.
    """

    code: str
    place: str
    message: str
    line: int | None = None
    column: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "place": self.place,
            "message": self.message,
            "line": self.line,
            "column": self.column,
        }

    def __str__(self) -> str:
        where = self.place or "/"
        return f"line {self.line}, column {self.column} ({where})" if self.line else where


class DagInvalid(ApiError):
    """The DAG is not valid."""

    code = "dag_invalid"
    http_status = 422
    grpc_status = "INVALID_ARGUMENT"

    def __init__(self, faults: Sequence[Fault] = (), message: str | None = None) -> None:
        first = f"{faults[0]}: {faults[0].message}" if faults else ""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(message or f"The DAG is not valid: {first}{more}")
        self.faults = list(faults)
        self._message = message

    def __reduce__(self) -> tuple[Any, ...]:
        """A child process raises it, too."""
        return DagInvalid, (self.faults, self._message)

    @property
    def members(self) -> dict[str, Any]:
        return {"faults": [fault.as_dict() for fault in self.faults]}


#: Most faults in one answer; the check stops there.
MOST_FAULTS = 200


class Faults:
    """Collects what is wrong with one definition."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Raises `DagInvalid` when there are enough of them."""
        self._found.append(fault)
        if len(self._found) >= MOST_FAULTS:
            self.finish()

    def finish(self) -> None:
        """Raises `DagInvalid` when there is any."""
        if self._found:
            raise DagInvalid(self._found)

    def __len__(self) -> int:
        return len(self._found)


class DagNotFound(ApiError):
    """There is no such DAG, or no such version of it."""

    code = "dag_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class DagReserved(ApiError):
    """This name belongs to a built-in DAG; choose another."""

    code = "dag_name_reserved"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class DagChanged(ApiError):
    """Somebody else has changed this DAG meanwhile; nothing was overwritten."""

    code = "dag_changed"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class DagRunNotFound(ApiError):
    """There is no such run, or no such node in it."""

    code = "dag_run_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class DagBackendMissing(ApiError):
    """DAGs run on Temporal, and this tenant's tasks go to another backend."""

    code = "dag_needs_temporal"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class DagRunConflict(ApiError):
    """The run, or the node, is not in a state in which this is possible."""

    code = "dag_run_conflict"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class ExpressionFault(Exception):
    """An expression cannot be compiled, or has no value; the message is for its author."""

    def __init__(self, message: str, *, code: str = "expression") -> None:
        super().__init__(message)
        self.code = code
