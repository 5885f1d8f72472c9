"""Requests about DAGs, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.access.admission import Admission
from gateway.dags.definition import DAG_NAME
from gateway.errors import InvalidRequest

DagName = Annotated[str, Field(max_length=100, pattern=DAG_NAME)]
#: Versions are 32-bit numbers.
MOST_VERSION = 2**31 - 1
Label = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z][A-Za-z0-9._-]*$")]


def tenant_of(admission: Admission) -> str:
    """The tenant whose DAGs are meant. Raises `InvalidRequest`."""
    if admission.placement.tenant_id is None:
        raise InvalidRequest("You belong to no tenant; DAGs belong to one.", field="tenant_id")
    return admission.placement.tenant_id
