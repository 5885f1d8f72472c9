"""`/gateway/v1/migration/parity`: how a tenant's tasks fare since its move, against its own past."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from gateway.errors import ShuttingDown
from gateway.http.acceptance import json_answer
from gateway.http.events import EventStream, event, keepalive
from gateway.http.openapi_errors import event_stream, problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.parity.documents import document
from gateway.migration.parity.eprocess import Stream
from gateway.migration.parity.gate import FEWEST, MOST
from gateway.migration.parity.judgement import ParityVerdict
from gateway.migration.parity.parity import Report
from gateway.moment import Moment
from gateway.routing.stages import Stage

router = APIRouter(prefix="/gateway/v1/migration/parity", tags=["migration"], route_class=KeyedRoute)


class ParityRate(BaseModel):
    """Answers to a yes/no question of which a yes is bad."""

    asked: int
    yes: int


class DurationBucket(BaseModel):
    """Durations below this, and not below the bucket before; a bucket is a fifth wider than the one before."""

    below: float = Field(description="Seconds")
    count: int


class Durations(BaseModel):
    """A distribution of seconds; quantiles are known within a fifth, null: there are none."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    buckets: list[DurationBucket]


class ParitySide(BaseModel):
    """What ended on one backend, before the move or since."""

    when: Literal["before", "since"]
    backend: str
    runs: int
    lost: int = Field(description="Runs whose worker was lost; they count in no rate")
    tasks: int = Field(description="Completed, or failed for good")
    attempts_per_task: float | None
    failed: ParityRate = Field(description="Of first runs")
    retried: ParityRate = Field(description="Of tasks that are over: a run failed before the last one")
    dead: ParityRate = Field(description="Of tasks that are over: failed for good")
    run: Durations = Field(description="Completed runs")
    wait: Durations = Field(description="From when a task might begin to its first run")
    total: Durations = Field(description="From when a task might begin to its completion")
    late: Durations = Field(description="Of schedules' tasks: from the time of the schedule to the first run")


class ParityStream(BaseModel):
    """One yes/no question, tested after each outcome."""

    stream: Stream
    before: ParityRate
    since: ParityRate
    evidence: float = Field(description="That it became worse, as a power of ten")
    evidence_needed: float
    at_most: float = Field(description="The highest rate that what was seen does not contradict")
    tolerated: float = Field(description="The highest rate that passes")
    even_minutes: ParityRate = Field(description="Noise: the baseline's even minutes, against the odd ones")
    odd_minutes: ParityRate
    others_before: ParityRate | None = Field(
        description="Noise: others on Redis, in the same minutes; for administrators"
    )
    others_since: ParityRate | None


class ParityOfType(BaseModel):
    """One task type."""

    task_type: str
    verdict: ParityVerdict
    reasons: list[str]
    sides: list[ParitySide]
    streams: list[ParityStream]


class ParityReport(BaseModel):
    """A tenant at one moment. Times are the database's."""

    at: datetime
    tenant_id: str
    stage: Stage
    verdict: ParityVerdict = Field(
        description="Only `pass` lets a move go on; `inconclusive` holds, `no_data` never passes"
    )
    reasons: list[str] = Field(description="Each a line that says what to do")
    since: datetime | None = Field(description="When it moved; null: it never did")
    moved_by: int | None = Field(description="The entry of the ledger")
    baseline_from: datetime | None
    behind_seconds: float = Field(description="Age of what has ended and is not counted yet")
    types: list[ParityOfType]


class NewGate(BaseModel):
    """A comparison that is made once."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: str = Field(min_length=1, max_length=200)
    task_type: str = Field(min_length=1, max_length=200)
    samples: int = Field(ge=FEWEST, le=MOST, description="Completed tasks on each side")


class GateMeasure(BaseModel):
    """One duration: medians, and how the two distributions differ."""

    name: str = Field(description="`run`, `wait` or `total`")
    before: float = Field(description="Median, seconds")
    since: float
    longer: float = Field(description="The part of all pairs in which the task since the move took longer")
    p_value: float = Field(description="Mann-Whitney, one-sided")


class GateAnswer(BaseModel):
    """What came of it; `measures` is empty until there are enough tasks."""

    tenant_id: str
    task_type: str
    samples: int
    verdict: ParityVerdict
    reasons: list[str]
    measures: list[GateMeasure]


@router.get("", response_model=ParityReport, responses=problem_errors(403, 404))
async def get_parity(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, max_length=200, description="Of this tenant")],
    since: Annotated[
        Moment | None, Query(description="Compare from this time on; left out: from its last move")
    ] = None,
) -> Response:
    """Whether a tenant's tasks fare as well on Temporal as they did on Redis, by task type, beside the noise."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    report = await gateway.parity.report(caller, tenant_id, since=since)
    return json_answer(document(report, with_others=caller.is_admin))


@router.get(
    "/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {"description": "`parity`, at once and after each change", "content": event_stream(parity=ParityReport)},
        **problem_errors(403, 404),
    },
)
async def stream_parity(
    request: Request, tenant_id: Annotated[str, Query(min_length=1, max_length=200, description="Of this tenant")]
) -> Response:
    """Follow a tenant's parity since its last move: what ends is in it within five seconds."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    subscription = (await gateway.parity_watch.subscribe(caller, tenant_id)).open()
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    reports = gateway.parity_watch.follow(subscription, quiet=gateway.settings.stream_keepalive_seconds)
    return EventStream(gateway, _events(reports, with_others=caller.is_admin), subscription, caller)


async def _events(reports: AsyncIterator[Report | None], *, with_others: bool) -> AsyncIterator[ServerSentEvent]:
    async for report in reports:
        yield keepalive() if report is None else event("parity", document(report, with_others=with_others))


@router.post("/gate", response_model=GateAnswer, responses=problem_errors(403, 404, 409, 501))
async def ask_parity_gate(request: Request, gate: NewGate) -> Response:
    """Compare durations before and since the last move, once. The first who asks fixes the number of tasks.

    Needs SciPy where the gateway runs (`taskgate[parity]`). For administrators.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.parity_gate.ask(caller, gate.tenant_id, gate.task_type, gate.samples))
