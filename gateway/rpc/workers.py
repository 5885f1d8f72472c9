"""`taskgate.v1.WorkerService`: the fleet, for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from taskgate.v1 import (
    DrainWorkerRequest,
    DrainWorkerResponse,
    GetScaleRequest,
    GetScaleResponse,
    GetWorkerRequest,
    GetWorkerResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    Worker,
)

from gateway.fleet.drain_request import DrainRequest
from gateway.fleet.scale_document import document
from gateway.fleet.signals import read_signals
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import fitting, own_token, size_of
from gateway.storage.paging import cursor_in, parts_of

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.WorkerService"
_LIST = "workers"


class WorkerService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._unbroken = unbroken
        self._access = gateway.access
        self._fleet = gateway.fleet
        self._database = gateway.database

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListWorkers": calls.unary(ListWorkersRequest, self.list),
            "GetWorker": calls.unary(GetWorkerRequest, self.get),
            "DrainWorker": calls.unary(DrainWorkerRequest, self.drain),
            "GetScale": calls.unary(GetScaleRequest, self.scale),
        }

    async def list(self, authorization: str | None, request: ListWorkersRequest) -> ListWorkersResponse:
        """A page of the fleet."""
        asked = facts_of(request)
        size = size_of(request.page_size, default=1000, largest=1000)
        with own_token():
            offset = parts_of(request.page_token, _LIST, int)[0] if request.page_token else 0
        await self._access.authenticate(authorization)
        kind = asked.get("kind", "worker")
        found = await self._fleet.members(
            kind=None if kind == "all" else kind,
            pool=asked.get("pool"),
            backend=asked.get("backend"),
            gone=request.gone,
            limit=size + 1,
            offset=offset,
        )
        workers = fitting(fill(Worker(), asdict(member)) for member in found[:size])
        token = cursor_in(_LIST, offset + len(workers)) if len(found) > len(workers) else ""
        return ListWorkersResponse(workers=workers, next_page_token=token)

    async def get(self, authorization: str | None, request: GetWorkerRequest) -> GetWorkerResponse:
        """One process and the tasks that it runs."""
        process_id = facts_of(request).get("process_id", "")
        await self._access.authenticate(authorization)
        member = asdict(await self._fleet.member(process_id))
        running = [{**task, "running": task["seconds"]} for task in member["running"]]
        return fill(GetWorkerResponse(), {"worker": member, "running": running})

    async def drain(self, authorization: str | None, request: DrainWorkerRequest) -> DrainWorkerResponse:
        """Have one take no more tasks, and end."""
        facts = facts_of(request)
        process_id = facts.pop("process_id", "")
        asked = checked(DrainRequest, facts)
        caller = await self._access.authenticate(authorization)
        member = await self._unbroken.run(self._fleet.drain(process_id, by=caller.user_id, why=asked.why))
        return fill(DrainWorkerResponse(), {"worker": asdict(member)})

    async def scale(self, authorization: str | None, request: GetScaleRequest) -> GetScaleResponse:
        """Autoscaling signals."""
        await self._access.authenticate(authorization)
        facts = document(await read_signals(self._database))
        for one in (*facts["signals"], *facts["pools"]):
            one["load"] = dict(one)
        return fill(GetScaleResponse(), facts)
