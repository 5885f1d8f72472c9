"""`/gateway/v1/dags`: definitions of DAGs and their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.admission import Admission
from gateway.dags.checking import Source
from gateway.dags.definition import json_schema
from gateway.dags.difference import difference
from gateway.dags.errors import DagInvalid
from gateway.dags.requests import MOST_VERSION, DagName, Label, tenant_of
from gateway.dags.store import shown
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.tasks.payload import JsonValue

router = APIRouter(prefix="/gateway/v1/dags", tags=["dags"], route_class=KeyedRoute)

Name = Annotated[DagName, Path(description="Name of the DAG.")]
Tenant = Annotated[
    str | None, Query(min_length=1, description="Tenant whose DAGs are meant. Default: the caller's own tenant.")
]
AnyTypes = Annotated[bool, Query(description="Accept task types for which no worker has a handler, too.")]
Version = Annotated[
    str | None, Query(max_length=100, description="Version number or label. Default: the version that new runs use.")
]

_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


class DagFault(BaseModel):
    """One error in a definition."""

    code: str = Field(description="Stable identifier of the kind of error.")
    place: str = Field(description="Where the error is, as a JSON pointer.")
    message: str
    line: int | None
    column: int | None


class DagCheck(BaseModel):
    """The result of a check. `faults` holds all errors; it is empty if the definition is valid."""

    valid: bool
    faults: list[DagFault]
    nodes: int | None = Field(None, description="Number of nodes, including those of inner DAGs.")
    needs: dict[str, list[str]] | None = Field(None, description="For each node, the nodes that it waits for.")


class DagSummary(BaseModel):
    """A DAG, or one version of it."""

    name: str
    version: int
    latest: int | None = None
    label: str | None = None
    description: str | None = None
    digest: str | None = None
    nodes: int
    built_in: bool = False
    is_current: bool | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    changed_at: datetime | None = None


class DagList(BaseModel):
    """The DAGs of a tenant, and the built-in ones."""

    dags: list[DagSummary]
    task_types: list[str] = Field(
        description="Task types that a node may use: those for which a worker of the last 30 days had a handler."
    )


class DagVersions(BaseModel):
    """Versions, newest first."""

    versions: list[DagSummary]


class DagDocument(BaseModel):
    """One version of a DAG."""

    name: str
    version: int
    label: str | None
    built_in: bool
    digest: str = Field(description="Digest of the definition: the same for the same definition.")
    created_by: str | None
    created_at: datetime | None
    definition: dict[str, Any]
    source: str | None = Field(description="The text that was applied.")
    needs: dict[str, list[str]] = Field(description="For each node, the nodes that it waits for.")
    subs: dict[str, str] = Field(description="For each node that runs an inner DAG, that DAG as `name@version`.")
    nodes: int = Field(description="Number of nodes, including those of inner DAGs.")
    is_new: bool | None = Field(
        None, description="Whether this request created the version. Only in the response to `PUT`."
    )


class DagChange(BaseModel):
    """One difference between two versions."""

    op: Literal["add", "remove", "replace"]
    place: str = Field(description="Where it is, as a JSON pointer.")
    before: JsonValue
    after: JsonValue


class DagDifference(BaseModel):
    """The differences between two versions."""

    name: str
    before: int
    after: int
    changes: list[DagChange]


class Rollback(BaseModel):
    """The version that new runs use from now on."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str | int, Field(description="Version number or label.")]


@router.get("/schema", responses=problem_errors())
async def get_dag_schema(request: Request) -> dict[str, Any]:
    """Return the JSON Schema of DAG definitions."""
    await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_schema()


@router.post("/validate", response_model=DagCheck, responses=problem_errors(403), openapi_extra=_DOCUMENT)
async def validate_dag(request: Request, tenant_id: Tenant = None, any_types: AnyTypes = False) -> Response:
    """Check a definition (YAML or JSON), and report all errors with their places. Nothing is stored."""
    admission = await admit(request, tenant_id)
    try:
        source = await _source(request)
        checked = await gateway_of(request).dags.check(tenant_of(admission), source, any_types=any_types)
    except DagInvalid as error:
        return json_answer({"valid": False, "faults": [fault.as_dict() for fault in error.faults]})
    return json_answer({"valid": True, "faults": [], "nodes": checked.nodes, "needs": checked.needs})


@router.get("", response_model=DagList, responses=problem_errors(403))
async def list_dags(request: Request, tenant_id: Tenant = None) -> Response:
    """List the DAGs of a tenant, and the built-in ones."""
    admission = await admit(request, tenant_id)
    dags = gateway_of(request).dags
    found = await dags.list_dags(tenant_of(admission))
    return json_answer({"dags": found, "task_types": sorted(await dags.known_types())})


@router.put(
    "/{name}",
    response_model=DagDocument,
    responses={201: {"model": DagDocument, "description": "A new version was created"}, **problem_errors(403, 409)},
    openapi_extra=_DOCUMENT,
)
async def apply_dag(
    request: Request,
    name: Name,
    tenant_id: Tenant = None,
    label: Annotated[
        Label | None, Query(description="Label of the new version, by which it can be named later.")
    ] = None,
    any_types: AnyTypes = False,
    base: Annotated[
        int | None,
        Query(
            ge=0,
            le=MOST_VERSION,
            description="Number of the version that the definition is based on; 0: there is none yet. If another "
            "version is in use, the request is refused. Default: no check.",
        ),
    ] = None,
) -> Response:
    """Store a definition (YAML or JSON) as a new version, which new runs then use. Runs that have started keep their
    version.

    If the definition has not changed, no new version is created. Status 409 `dag_changed`: the version in use is not
    `base`.
    """
    admission = await admit(request, tenant_id)
    version, is_new = await gateway_of(request).dags.apply(
        tenant_of(admission),
        name,
        await _source(request),
        by=admission.caller.user_id,
        label=label,
        any_types=any_types,
        base=base,
    )
    return json_answer(shown(version) | {"is_new": is_new}, 201 if is_new else 200)


@router.get("/{name}", response_model=DagDocument, responses=problem_errors(403, 404))
async def get_dag(request: Request, name: Name, tenant_id: Tenant = None, version: Version = None) -> Response:
    """Return one version of a DAG."""
    admission = await admit(request, tenant_id)
    return json_answer(shown(await gateway_of(request).dags.get(tenant_of(admission), name, version)))


@router.delete("/{name}", status_code=204, responses=problem_errors(403, 404))
async def retire_dag(request: Request, name: Name, tenant_id: Tenant = None) -> Response:
    """Retire a DAG: no new runs can start. Its versions and runs stay; a new version or a rollback brings it back."""
    admission = await admit(request, tenant_id)
    await gateway_of(request).dags.retire(tenant_of(admission), name, by=admission.caller.user_id)
    return Response(status_code=204)


@router.get("/{name}/versions", response_model=DagVersions, responses=problem_errors(403, 404))
async def list_dag_versions(request: Request, name: Name, tenant_id: Tenant = None) -> Response:
    """List the newest 200 versions of a DAG, newest first."""
    admission = await admit(request, tenant_id)
    return json_answer({"versions": await gateway_of(request).dags.versions(tenant_of(admission), name)})


@router.get("/{name}/diff", response_model=DagDifference, responses=problem_errors(403, 404))
async def compare_dag_versions(
    request: Request,
    name: Name,
    before: Annotated[str, Query(max_length=100, description="Version number or label.")],
    tenant_id: Tenant = None,
    after: Version = None,
) -> Response:
    """Return the differences between two versions of a DAG."""
    admission = await admit(request, tenant_id)
    dags = gateway_of(request).dags
    old = await dags.get(tenant_of(admission), name, before)
    new = await dags.get(tenant_of(admission), name, after)
    changes = difference(old.definition, new.definition)
    return json_answer({"name": name, "before": old.version, "after": new.version, "changes": changes})


@router.post("/{name}/rollback", response_model=DagDocument, responses=problem_errors(403, 404))
async def roll_back_dag(
    request: Request, name: Name, rollback: Annotated[Rollback, Body()], tenant_id: Tenant = None
) -> Response:
    """Make an earlier version of a DAG the one that new runs use."""
    admission = await admit(request, tenant_id)
    by = admission.caller.user_id
    version = await gateway_of(request).dags.roll_back(tenant_of(admission), name, str(rollback.version), by=by)
    return json_answer(shown(version))


async def admit(request: Request, tenant_id: str | None, project_id: str | None = None) -> Admission:
    """The caller and its tenant."""
    authorization = request.headers.get("authorization")
    return await gateway_of(request).access.admit(authorization, tenant_id=tenant_id, project_id=project_id)


async def _source(request: Request) -> Source:
    """The definition in the body."""
    return Source(await request.body(), is_json="json" in request.headers.get("content-type", ""))
