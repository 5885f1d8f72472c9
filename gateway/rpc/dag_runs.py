"""`taskgate.v1.DagRunService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, Field
from taskgate.v1 import (
    ApproveDagNodeRequest,
    ApproveDagNodeResponse,
    CancelDagRunRequest,
    CancelDagRunResponse,
    DagRun,
    GetDagNodeResultRequest,
    GetDagNodeResultResponse,
    GetDagRunRequest,
    GetDagRunResponse,
    ListDagRunsRequest,
    ListDagRunsResponse,
    PreviewDagRunRequest,
    PreviewDagRunResponse,
    RetryDagRunRequest,
    RetryDagRunResponse,
    SendDagSignalRequest,
    SendDagSignalResponse,
    SkipDagNodeRequest,
    SkipDagNodeResponse,
    StartDagRunRequest,
    StartDagRunResponse,
    WatchDagRunRequest,
    WatchDagRunResponse,
)

from gateway.access.admission import Admission
from gateway.access.placement import Caller
from gateway.dags.definition import IDENTIFIER
from gateway.dags.following import follow
from gateway.dags.run_document import LIST, STATES_OF, summary
from gateway.dags.run_request import Approve, RunRequest, Skip
from gateway.dags.store import DagVersion
from gateway.errors import ApiError, ShuttingDown
from gateway.rpc.calls import KeyedCalls, Method, Send, Unbroken
from gateway.rpc.failures import invalid
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import own_token, page_of, size_of
from gateway.rpc.requests import storable
from gateway.rpc.stream_end import say_why
from gateway.rpc.submissions import Submitter, checked_key
from gateway.rpc.values import read_json
from gateway.storage.paging import Place
from gateway.submission.idempotency import Idempotency
from gateway.submission.new_task import NewTask

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.DagRunService"

_ACCEPTED = 202


class _Signal(BaseModel):
    """The name of a signal."""

    name: Annotated[str, Field(pattern=IDENTIFIER)]


class DagRunService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._runs = gateway.dag_runs
        self._documents = gateway.run_documents
        self._watch = gateway.run_watch
        self._submitter = Submitter(gateway, unbroken)
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "StartDagRun": calls.unary(StartDagRunRequest, self.start),
            "PreviewDagRun": calls.unary(PreviewDagRunRequest, self.preview),
            "GetDagRun": calls.unary(GetDagRunRequest, self.get),
            "CancelDagRun": calls.unary(CancelDagRunRequest, self.cancel),
            "RetryDagRun": calls.unary(RetryDagRunRequest, self.retry),
            "ListDagRuns": calls.unary(ListDagRunsRequest, self.list),
            "ApproveDagNode": calls.unary(ApproveDagNodeRequest, self.approve),
            "SkipDagNode": calls.unary(SkipDagNodeRequest, self.skip),
            "SendDagSignal": calls.unary(SendDagSignalRequest, self.signal),
            "GetDagNodeResult": calls.unary(GetDagNodeResultRequest, self.result),
            "WatchDagRun": calls.streaming(WatchDagRunRequest, self.watch),
        }

    async def start(self, authorization: str | None, request: StartDagRunRequest) -> StartDagRunResponse:
        """Start a run."""
        facts = facts_of(request)
        key = checked_key(request.idempotency_key) if request.HasField("idempotency_key") else None
        facts.pop("idempotency_key", None)
        asked = checked(RunRequest, {"dag": request.dag, **facts})
        digest = hashlib.sha256(b"StartDagRun\0" + orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()
        try:
            admission, task, dag, params = await self._plan(authorization, asked)
        except ApiError as refused:
            _, first = await self._submitter.first_answer(authorization, key, digest, refused)
            return StartDagRunResponse(**orjson.loads(first.answer), replayed=True)
        idempotency = None
        if key is not None:
            answer = orjson.dumps({"run_id": task.task_id, "version": dag.version}).decode()
            idempotency = Idempotency(admission.caller.repeats_as, key, digest, _ACCEPTED, answer)
        replay = await self._unbroken.run(self._runs.start(task, dag, params, idempotency=idempotency))
        if replay is None:
            return StartDagRunResponse(run_id=task.task_id, version=dag.version)
        return StartDagRunResponse(**orjson.loads(replay.answer), replayed=True)

    async def preview(self, authorization: str | None, request: PreviewDagRunRequest) -> PreviewDagRunResponse:
        """What a run would be."""
        asked = checked(RunRequest, {"dag": request.dag, **facts_of(request)})
        _, _, dag, params = await self._plan(authorization, asked)
        answer = {"dag": dag.name, "version": dag.version, "params": params, "nodes": dag.plan["nodes"]}
        return fill(PreviewDagRunResponse(), answer)

    async def _plan(
        self, authorization: str | None, asked: RunRequest
    ) -> tuple[Admission, NewTask, DagVersion, dict[str, Any]]:
        admission = await self._access.admit(authorization, tenant_id=asked.tenant_id, project_id=asked.project_id)
        return admission, *await self._runs.plan(admission, asked)

    async def get(self, authorization: str | None, request: GetDagRunRequest) -> GetDagRunResponse:
        """The state of a run."""
        run_id = storable(request.run_id, "run_id")
        caller = await self._access.authenticate(authorization)
        document = await self._documents.get(run_id, caller, items=not request.without_items)
        return fill(GetDagRunResponse(), {**document, "run": document})

    async def cancel(self, authorization: str | None, request: CancelDagRunRequest) -> CancelDagRunResponse:
        """Stop a run."""
        run_id = storable(request.run_id, "run_id")
        caller = await self._access.authenticate(authorization)
        await self._unbroken.run(self._runs.cancel(run_id, caller))
        return CancelDagRunResponse(run=await self._summary(run_id, caller))

    async def retry(self, authorization: str | None, request: RetryDagRunRequest) -> RetryDagRunResponse:
        """Go on with a run."""
        run_id = storable(request.run_id, "run_id")
        caller = await self._access.authenticate(authorization)
        await self._unbroken.run(self._runs.retry(run_id, caller))
        return RetryDagRunResponse(run=await self._summary(run_id, caller))

    async def list(self, authorization: str | None, request: ListDagRunsRequest) -> ListDagRunsResponse:
        """A page, newest first."""
        size = size_of(request.page_size, default=50, largest=500)
        facts = facts_of(request)
        status = facts.get("status")
        if status is not None and status not in STATES_OF:
            raise invalid("status", "not a status of a run")
        caller = await self._access.authenticate(authorization)
        with own_token():
            place = Place.of(request.page_token, LIST)
        rows = await self._runs.list_runs(
            caller,
            name=facts.get("dag"),
            states=None if status is None else STATES_OF[status],
            inside=request.inside,
            after=None if place is None else (place.at, place.id),
            limit=size + 1,
        )
        runs, token = page_of(
            rows[:size],
            lambda row: fill(DagRun(), summary(row)),
            lambda row: Place(row["created_at"], row["run_id"]).cursor_in(LIST),
            more=len(rows) > size,
        )
        return ListDagRunsResponse(runs=runs, next_page_token=token)

    async def approve(self, authorization: str | None, request: ApproveDagNodeRequest) -> ApproveDagNodeResponse:
        """Approve or reject."""
        facts = facts_of(request)
        run_id, path = facts.pop("run_id", ""), facts.pop("path", "")
        asked = checked(Approve, facts)
        caller = await self._access.authenticate(authorization)
        work = self._runs.approve(run_id, path, caller, approved=asked.approved, comment=asked.comment)
        await self._unbroken.run(work)
        return ApproveDagNodeResponse(run=await self._summary(run_id, caller))

    async def skip(self, authorization: str | None, request: SkipDagNodeRequest) -> SkipDagNodeResponse:
        """Have a node count as done."""
        facts = facts_of(request)
        reason = checked(Skip, {"reason": facts.get("reason", "")}).reason
        run_id, path = facts.get("run_id", ""), facts.get("path", "")
        caller = await self._access.authenticate(authorization)
        await self._unbroken.run(self._runs.skip(run_id, path, reason, caller))
        return SkipDagNodeResponse(run=await self._summary(run_id, caller))

    async def signal(self, authorization: str | None, request: SendDagSignalRequest) -> SendDagSignalResponse:
        """Send a signal."""
        facts = facts_of(request)
        name = checked(_Signal, {"name": "", **facts}).name
        caller = await self._access.authenticate(authorization)
        work = self._runs.signal(facts.get("run_id", ""), name, facts.get("payload"), caller)
        return SendDagSignalResponse(nodes=await self._unbroken.run(work))

    async def result(self, authorization: str | None, request: GetDagNodeResultRequest) -> GetDagNodeResultResponse:
        """The result of a node."""
        facts = facts_of(request)
        caller = await self._access.authenticate(authorization)
        row = await self._runs.result(facts.get("run_id", ""), facts.get("path", ""), caller)
        return fill(GetDagNodeResultResponse(), {**row, "result": read_json(row["result"])})

    async def watch(self, authorization: str | None, request: WatchDagRunRequest, send: Send) -> None:
        """Send the state of a run, then what changes of it, to its end."""
        run_id = storable(request.run_id, "run_id")
        caller = await self._access.authenticate(authorization)
        subscription = self._watch.subscribe(run_id).open()
        try:
            state = await self._documents.get(run_id, caller)
            if subscription.is_closed:
                raise ShuttingDown(retry_after=1)
            await send(_changed({"run": state, "nodes": state["nodes"]}))
            with self._access.watch_key(caller, subscription.close):
                async for change in follow(subscription, self._runs, self._documents, caller, state):
                    if change is None or change[0] == "end":
                        continue
                    name, data = change
                    await send(_changed({"run": data} if name == "run" else data))
            if subscription.is_closed:
                await say_why(self._access, caller, authorization)
        finally:
            subscription.close()

    async def _summary(self, run_id: str, caller: Caller) -> DagRun:
        return fill(DagRun(), summary(await self._runs.row(run_id, caller)))


def _changed(facts: Mapping[str, Any]) -> bytes:
    return fill(WatchDagRunResponse(), facts).SerializeToString()
