"""Requests about runs, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.dags.definition import DAG_NAME
from gateway.errors import InvalidRequest
from gateway.submission.service import LABEL_KEY, LONGEST_LABEL, MOST_LABELS, PlaceId


class RunRequest(BaseModel):
    """A run to be started."""

    model_config = ConfigDict(extra="forbid")

    dag: Annotated[str, Field(max_length=100, pattern=DAG_NAME)]
    version: Annotated[str | int | None, Field(description="Number or label; default: the one in use")] = None
    params: dict[str, Any] = Field(default_factory=dict)
    project_id: PlaceId | None = None
    tenant_id: PlaceId | None = None
    priority: Annotated[int, Field(ge=1, le=5, description="1 is first")] = 3
    labels: Annotated[dict[str, str], Field(max_length=MOST_LABELS)] = Field(default_factory=dict)

    def check_labels(self) -> None:
        """Raises `InvalidRequest`."""
        if any(not LABEL_KEY.fullmatch(key) or len(value) > LONGEST_LABEL for key, value in self.labels.items()):
            message = "A label is 1 to 63 of a-z, 0-9 and . _ / - with at most 255 characters."
            raise InvalidRequest(message, field="labels")


class Approve(BaseModel):
    """An answer to an approval; the first one counts."""

    model_config = ConfigDict(extra="forbid")

    approved: bool
    comment: Annotated[str | None, Field(max_length=4000)] = None


class Skip(BaseModel):
    """Why a node is skipped."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=4000)]
