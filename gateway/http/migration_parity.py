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
    """Answers to a yes/no question where yes is bad."""

    asked: int = Field(description="Number of answers.")
    yes: int = Field(description="Number of these answers that are yes.")


class DurationBucket(BaseModel):
    """One bucket of a histogram. Each bucket is about a fifth wider than the one before."""

    below: float = Field(
        description="Upper bound in seconds, exclusive. The lower bound is that of the previous bucket."
    )
    count: int = Field(description="Number of durations in the bucket.")


class Durations(BaseModel):
    """A distribution of durations, in seconds. Quantiles are exact to about a fifth; null if there are no values."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    buckets: list[DurationBucket]


class ParitySide(BaseModel):
    """What ended on one backend before the move, or since."""

    when: Literal["before", "since"] = Field(
        description="`before`: in the baseline, before the move. `since`: since the move."
    )
    backend: str
    runs: int = Field(description="Number of runs.")
    lost: int = Field(description="Number of runs whose worker was lost. They count in no rate.")
    tasks: int = Field(description="Number of tasks that completed or failed for good.")
    attempts_per_task: float | None
    failed: ParityRate = Field(description="Tasks whose first run failed.")
    retried: ParityRate = Field(description="Finished tasks of which a run before the last one failed.")
    dead: ParityRate = Field(description="Finished tasks that failed for good.")
    run: Durations = Field(description="Durations of completed runs.")
    wait: Durations = Field(description="From the time when a task might begin to its first run.")
    total: Durations = Field(description="From the time when a task might begin to its completion.")
    late: Durations = Field(description="Only tasks of schedules: from the time of the schedule to the first run.")


class ParityStream(BaseModel):
    """One yes/no question, tested after each outcome."""

    stream: Stream
    before: ParityRate = Field(description="Answers before the move.")
    since: ParityRate = Field(description="Answers since the move.")
    evidence: float = Field(description="Evidence that the rate has become worse, as a power of ten.")
    evidence_needed: float = Field(description="Evidence at which the verdict is `regress`.")
    at_most: float = Field(description="The highest rate that the observations do not contradict.")
    tolerated: float = Field(description="The highest rate that still passes.")
    even_minutes: ParityRate = Field(description="Noise: the baseline's even minutes, to compare with its odd minutes.")
    odd_minutes: ParityRate = Field(description="Noise: the baseline's odd minutes.")
    others_before: ParityRate | None = Field(
        description="Noise: other tenants on Redis before the move, in the same minutes. Null unless the caller "
        "is an administrator."
    )
    others_since: ParityRate | None = Field(
        description="Noise: other tenants on Redis since the move, in the same minutes. Null unless the caller "
        "is an administrator."
    )


class ParityOfType(BaseModel):
    """The comparison for one task type."""

    task_type: str
    verdict: ParityVerdict
    reasons: list[str]
    sides: list[ParitySide]
    streams: list[ParityStream]


class ParityReport(BaseModel):
    """The comparison of a tenant's tasks on Temporal with its tasks on Redis before, at one moment. Times are those
    of the database."""

    at: datetime
    tenant_id: str
    stage: Stage
    verdict: ParityVerdict = Field(
        description="The tenant passes only if all its task types pass. Only `pass` allows a move to continue."
    )
    reasons: list[str] = Field(description="Reasons for the verdict. Each line says what to do.")
    since: datetime | None = Field(description="When the tenant moved. Null: it never did.")
    moved_by: int | None = Field(description="Ledger entry of the move.")
    baseline_from: datetime | None = Field(description="Begin of the baseline on Redis.")
    behind_seconds: float = Field(description="Age in seconds of the oldest outcome that is not counted yet.")
    types: list[ParityOfType]


class NewGate(BaseModel):
    """A comparison of durations that is made once."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: str = Field(min_length=1, max_length=200)
    task_type: str = Field(min_length=1, max_length=200)
    samples: int = Field(
        ge=FEWEST, le=MOST, description="Number of completed tasks to compare on each side. The first request fixes it."
    )


class GateMeasure(BaseModel):
    """The comparison of one kind of duration."""

    name: str = Field(description="`run`, `wait` or `total`.")
    before: float = Field(description="Median before the move, in seconds.")
    since: float = Field(description="Median since the move, in seconds.")
    longer: float = Field(description="Share of all pairs in which the task since the move took longer, from 0 to 1.")
    p_value: float = Field(description="p-value of the one-sided Mann-Whitney test.")


class GateAnswer(BaseModel):
    """The result of a gate."""

    tenant_id: str
    task_type: str
    samples: int
    verdict: ParityVerdict
    reasons: list[str]
    measures: list[GateMeasure] = Field(description="Empty until there are enough tasks.")


@router.get("", response_model=ParityReport, responses=problem_errors(403, 404))
async def get_parity(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, max_length=200, description="The tenant.")],
    since: Annotated[
        Moment | None, Query(description="Compare from this time on. Default: from the tenant's last move.")
    ] = None,
) -> Response:
    """Compare how a tenant's tasks do on Temporal with how they did on Redis before, by task type.

    Figures of other tenants are visible only to administrators.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    report = await gateway.parity.report(caller, tenant_id, since=since)
    return json_answer(document(report, with_others=caller.is_admin))


@router.get(
    "/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`parity`: the report, at once and after each change",
            "content": event_stream(parity=ParityReport),
        },
        **problem_errors(403, 404),
    },
)
async def stream_parity(
    request: Request, tenant_id: Annotated[str, Query(min_length=1, max_length=200, description="The tenant.")]
) -> Response:
    """Follow a tenant's parity since its last move, as Server-Sent Events. A task that ended is counted within five
    seconds."""
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
    """Compare durations before and since the last move, once. The first request fixes the number of tasks.

    Needs SciPy on the gateway (`taskgate[parity]`). For administrators.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.parity_gate.ask(caller, gate.tenant_id, gate.task_type, gate.samples))
