"""`taskgate.v1.DagService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, Field
from taskgate.v1 import (
    ApplyDagRequest,
    ApplyDagResponse,
    CompareDagVersionsRequest,
    CompareDagVersionsResponse,
    Dag,
    DagDocument,
    DagSummary,
    GetDagRequest,
    GetDagResponse,
    GetDagSchemaRequest,
    GetDagSchemaResponse,
    ListDagsRequest,
    ListDagsResponse,
    ListDagVersionsRequest,
    ListDagVersionsResponse,
    RetireDagRequest,
    RetireDagResponse,
    RollBackDagRequest,
    RollBackDagResponse,
    ValidateDagRequest,
    ValidateDagResponse,
)

from gateway.access.admission import Admission
from gateway.dags.checking import Source
from gateway.dags.definition import json_schema
from gateway.dags.difference import difference
from gateway.dags.document import DEEPEST
from gateway.dags.errors import DagInvalid
from gateway.dags.requests import MOST_VERSION, DagName, Label, tenant_of
from gateway.dags.store import DagVersion, shown
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.failures import invalid
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.values import to_json

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.DagService"

_Version = Annotated[str, Field(max_length=100)]


class _Asked(BaseModel):
    """What requests about a DAG say."""

    name: DagName
    version: _Version | None = None
    before: _Version | None = None
    after: _Version | None = None
    label: Label | None = None
    base: Annotated[int, Field(ge=0, le=MOST_VERSION)] | None = None


class DagService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._dags = gateway.dags
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "GetDagSchema": calls.unary(GetDagSchemaRequest, self.schema),
            "ValidateDag": calls.unary(ValidateDagRequest, self.validate),
            "ApplyDag": calls.unary(ApplyDagRequest, self.apply),
            "ListDags": calls.unary(ListDagsRequest, self.list),
            "GetDag": calls.unary(GetDagRequest, self.get),
            "RetireDag": calls.unary(RetireDagRequest, self.retire),
            "ListDagVersions": calls.unary(ListDagVersionsRequest, self.versions),
            "CompareDagVersions": calls.unary(CompareDagVersionsRequest, self.compare),
            "RollBackDag": calls.unary(RollBackDagRequest, self.roll_back),
        }

    async def schema(self, authorization: str | None, request: GetDagSchemaRequest) -> GetDagSchemaResponse:
        """The JSON Schema of a definition."""
        await self._access.authenticate(authorization)
        return GetDagSchemaResponse(schema=orjson.dumps(json_schema()).decode())

    async def validate(self, authorization: str | None, request: ValidateDagRequest) -> ValidateDagResponse:
        """Everything that is wrong with a definition."""
        tenant_id = await self._tenant(authorization, facts_of(request, skip=("document",)))
        try:
            source = self._source(request.document)
            found = await self._dags.check(tenant_id, source, any_types=request.any_types)
        except DagInvalid as error:
            return fill(ValidateDagResponse(), {"faults": [fault.as_dict() for fault in error.faults]})
        return fill(ValidateDagResponse(), {"valid": True, "nodes": found.nodes, "needs": _needs(found.needs)})

    async def apply(self, authorization: str | None, request: ApplyDagRequest) -> ApplyDagResponse:
        """Use a definition from now on."""
        facts = facts_of(request, skip=("document",))
        asked = checked(_Asked, {"name": "", **facts})
        admission = await self._access.admit(authorization, tenant_id=facts.get("tenant_id"), project_id=None)
        source = self._source(request.document)
        work = self._dags.apply(
            tenant_of(admission),
            asked.name,
            source,
            by=admission.caller.user_id,
            label=asked.label,
            any_types=request.any_types,
            base=asked.base,
        )
        version, is_new = await self._unbroken.run(work)
        return ApplyDagResponse(dag=_dag(version), is_new=is_new)

    async def list(self, authorization: str | None, request: ListDagsRequest) -> ListDagsResponse:
        """The DAGs of a tenant, and the built-in ones."""
        tenant_id = await self._tenant(authorization, facts_of(request))
        dags = [fill(DagSummary(), dag) for dag in await self._dags.list_dags(tenant_id)]
        return ListDagsResponse(dags=dags, task_types=sorted(await self._dags.known_types()))

    async def get(self, authorization: str | None, request: GetDagRequest) -> GetDagResponse:
        """One version."""
        asked, tenant_id = await self._asked(authorization, facts_of(request))
        return GetDagResponse(dag=_dag(await self._dags.get(tenant_id, asked.name, asked.version)))

    async def retire(self, authorization: str | None, request: RetireDagRequest) -> RetireDagResponse:
        """Take a DAG out."""
        asked, admission = await self._admitted(authorization, facts_of(request))
        work = self._dags.retire(tenant_of(admission), asked.name, by=admission.caller.user_id)
        await self._unbroken.run(work)
        return RetireDagResponse()

    async def versions(self, authorization: str | None, request: ListDagVersionsRequest) -> ListDagVersionsResponse:
        """The latest versions."""
        asked, tenant_id = await self._asked(authorization, facts_of(request))
        found = await self._dags.versions(tenant_id, asked.name)
        return ListDagVersionsResponse(versions=[fill(DagSummary(), version) for version in found])

    async def compare(
        self, authorization: str | None, request: CompareDagVersionsRequest
    ) -> CompareDagVersionsResponse:
        """What changed between two versions."""
        asked, tenant_id = await self._asked(authorization, {"before": "", **facts_of(request)})
        old = await self._dags.get(tenant_id, asked.name, asked.before)
        new = await self._dags.get(tenant_id, asked.name, asked.after)
        changes = difference(old.definition, new.definition)
        return fill(CompareDagVersionsResponse(), {"before": old.version, "after": new.version, "changes": changes})

    async def roll_back(self, authorization: str | None, request: RollBackDagRequest) -> RollBackDagResponse:
        """Use an earlier version again."""
        asked, admission = await self._admitted(authorization, facts_of(request))
        by = admission.caller.user_id
        work = self._dags.roll_back(tenant_of(admission), asked.name, asked.version or "", by=by)
        version = await self._unbroken.run(work)
        return RollBackDagResponse(dag=_dag(version))

    async def _asked(self, authorization: str | None, facts: Mapping[str, Any]) -> tuple[_Asked, str]:
        asked, admission = await self._admitted(authorization, facts)
        return asked, tenant_of(admission)

    async def _admitted(self, authorization: str | None, facts: Mapping[str, Any]) -> tuple[_Asked, Admission]:
        asked = checked(_Asked, {"name": "", **facts})
        return asked, await self._access.admit(authorization, tenant_id=facts.get("tenant_id"), project_id=None)

    async def _tenant(self, authorization: str | None, facts: Mapping[str, Any]) -> str:
        return tenant_of(await self._access.admit(authorization, tenant_id=facts.get("tenant_id"), project_id=None))

    def _source(self, document: DagDocument) -> Source:
        """The definition. Raises `InvalidFields`."""
        form = document.WhichOneof("form")
        if form == "text":
            return Source(document.text.encode("utf-8", "surrogatepass"))
        if form == "data":
            return Source(orjson.dumps(to_json(document.data, max_depth=DEEPEST, at="document.data")), is_json=True)
        raise invalid("document", "is required, as text or as data")


def _dag(version: DagVersion) -> Dag:
    facts = shown(version)
    return fill(Dag(), {**facts, "needs": _needs(facts["needs"])})


def _needs(needs: Mapping[str, Any]) -> dict[str, Any]:
    return {node: {"nodes": others} for node, others in needs.items()}
