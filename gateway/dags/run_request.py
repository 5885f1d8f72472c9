"""Requests about runs, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.dags.definition import DAG_NAME
from gateway.errors import InvalidRequest
from gateway.submission.requests import LABEL_KEY, LONGEST_LABEL, MOST_LABELS, PlaceId


class RunRequest(BaseModel):
    """A DAG run to start."""

    model_config = ConfigDict(extra="forbid")

    dag: Annotated[str, Field(max_length=100, pattern=DAG_NAME, description="Name of the DAG.")]
    version: Annotated[
        str | int | None, Field(description="Version number or label. Default: the version that new runs use.")
    ] = None
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Parameters of the run. Those that are left out get the defaults of the definition.",
    )
    project_id: PlaceId | None = None
    tenant_id: PlaceId | None = Field(
        None, description="Tenant of the run. Default: the project's tenant, else the caller's own tenant."
    )
    priority: Annotated[int, Field(ge=1, le=5, description="Priority from 1 (first) to 5 (last).")] = 3
    labels: Annotated[dict[str, str], Field(max_length=MOST_LABELS)] = Field(default_factory=dict)

    def check_labels(self) -> None:
        """Raises `InvalidRequest`."""
        if any(not LABEL_KEY.fullmatch(key) or len(value) > LONGEST_LABEL for key, value in self.labels.items()):
            message = "A label is 1 to 63 of a-z, 0-9 and . _ / - with at most 255 characters."
            raise InvalidRequest(message, field="labels")


class Approve(BaseModel):
    """An answer to an approval. Only the first answer counts."""

    model_config = ConfigDict(extra="forbid")

    approved: bool = Field(description="`true`: approve; `false`: reject, and the node fails.")
    comment: Annotated[str | None, Field(max_length=4000)] = None


class Skip(BaseModel):
    """A request to skip a node."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=4000, description="Why the node is skipped.")]
