"""The OpenAPI document is true: no 500, no undocumented status, no answer that is not of its schema.

The requests are schemathesis's: its systematic ones, and random ones around the document, valid and invalid, the same
in every run. `TASKGATE_TEST_OPENAPI_EXAMPLES` (default 6) says how many random ones there are per operation and kind,
`TASKGATE_TEST_OPENAPI_SEED` which.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contracts.people import Household
from contracts.world import PATIENCE, World

pytestmark = pytest.mark.system

EXAMPLES = int(os.environ.get("TASKGATE_TEST_OPENAPI_EXAMPLES", "6"))
SEED = int(os.environ.get("TASKGATE_TEST_OPENAPI_SEED", "0"))
#: How long a stream is read that says nothing, as that of a list in which nothing changes.
STREAMED_SECONDS = 2.0

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Operations that need no key.
OPEN = {"GET /health", "GET /gateway/v1/ready", "GET /gateway/v1/started", "GET /api/v1/tasks/{task_id}/stream"}

STAGES = ("off", "live", "complete", "flipped")

#: Systematic requests of one operation at most: where an object is nested in an object, hundreds are alike.
MOST = 300
#: The owner sends every request, at one of the stages. What others are answered depends less on what is in it:
#: a stranger sends every second one, who has no key every fourth.
EVERY = {"owner": 1, "stranger": 2, "nobody": 4}


class Requests:
    """The requests of each stage, made once for all callers; those of one operation are spread over the stages."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schema = schemathesis.openapi.from_dict(document)
        # A stream may have no end; its first event says whether it is what the document promises.
        self._schema.config.max_stream_events = 1
        self._operations = [found.ok() for found in self._schema.get_all_operations()]
        self._systematic = [case for operation in self._operations for case in self._cover(operation)]
        self._of_stage: dict[str, list[Case]] = {}

    def at(self, stage: str) -> list[Case]:
        """Every fourth of the systematic ones, and random ones for every fourth operation: drawing takes longer."""
        if stage not in self._of_stage:
            share = STAGES.index(stage)
            drawn = [
                case
                for operation in self._operations[share :: len(STAGES)]
                for mode in GenerationMode
                for case in self._draw(operation.as_strategy(generation_mode=mode))
            ]
            self._of_stage[stage] = [*drawn, *self._systematic[share :: len(STAGES)]]
        return self._of_stage[stage]

    def _cover(self, operation: Any) -> list[Case]:
        cases = [
            case
            for mode in GenerationMode
            for case in self._schema.iter_coverage_cases(
                operation, generation_modes=[mode], generation_config=self._schema.config.generation
            )
        ]
        return cases[:: -(-len(cases) // MOST)] if cases else cases

    def _draw(self, cases: Any) -> list[Case]:
        drawn: list[Case] = []

        @hypothesis.seed(SEED)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=cases)
        def collect(case: Case) -> None:
            drawn.append(case)

        try:
            collect()
        except hypothesis.errors.Unsatisfiable:
            assert not drawn  # an operation without parameters has no invalid requests
        return drawn


@pytest.fixture(scope="session")
def all_requests(openapi_document: dict[str, Any]) -> Requests:
    return Requests(openapi_document)


class Ids:
    """Ids that exist, put into requests in turn, so that these get further than to `not found`."""

    def __init__(self, own: dict[str, list[str]], home: Household) -> None:
        self._own = own
        self._home = home
        self._turn = 0

    def put_into(self, case: Case) -> Case:
        """The request with ids that exist, or as it was, by turns."""
        self._turn += 1
        path, query, body = case.path_parameters, case.query, case.body
        # One that says how the body is sent is refused by the HTTP parser if that is not so: no request is made of it.
        headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "transfer-encoding"}
        if self._turn % 4 and "task_id" in (path or {}):
            # A stream of a task that waits would not end.
            usable = self._own["ended" if case.operation.path.endswith("/stream") else "all"]
            path = {**path, "task_id": usable[self._turn % len(usable)]}
        if self._turn % 2:
            query, body = self._replace(query), self._replace(body)
        return case.operation.Case(
            method=case.method,
            path_parameters=path,
            headers=headers,
            cookies=case.cookies,
            query=query,
            body=body,
            media_type=case.media_type,
        )

    def _replace(self, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = {"project_id": self._home.project_id, "tenant_id": self._home.tenant_id, "group_id": None}
        known["parent_task_id"] = self._own["ended"][0]
        return {name: known[name] if name in known and isinstance(old, str) else old for name, old in values.items()}


def is_streamed(case: Case) -> bool:
    """Whether the operation may answer with events."""
    answers = case.operation.definition.raw.get("responses", {}).values()
    return any("text/event-stream" in answer.get("content", {}) for answer in answers)


def send(cases: Iterator[Case], url: str, headers: dict[str, str], judge: Callable[[Case, Any], None]) -> list[str]:
    """What is wrong with the answers; on a thread of its own, because schemathesis blocks."""
    wrong = []
    with requests.Session() as session:
        session.trust_env = False  # proxies and .netrc would be looked up for each request
        for case in cases:
            try:
                limit = (PATIENCE, STREAMED_SECONDS) if is_streamed(case) else PATIENCE
                response = case.call(base_url=url, session=session, headers=headers, timeout=limit)
                judge(case, response)
            except (FailureGroup, AssertionError) as failure:
                reasons = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
                wrong.append(f"{case.as_curl_command(base_url=url)}\n  " + "\n  ".join(map(str, reasons)))
    return wrong


@pytest.mark.parametrize("caller", EVERY)
async def test_the_document_is_true(
    world: World, home: Household, stranger: Household, caller: str, all_requests: Requests
) -> None:
    ended = [await world.submit(home), await world.submit(home, "fatal")]
    waiting = [await world.submit(home, delay_seconds=3600) for _ in range(3)]
    for task_id in ended:
        await world.ended(task_id)
    await world.flip()
    ids = Ids({"ended": ended, "all": [*ended, *waiting]}, home)
    headers = {"owner": home.owner.headers, "stranger": stranger.owner.headers, "nobody": {}}[caller]
    cases = all_requests.at(world.stage)[:: EVERY[caller]]
    before = await world.database.fetchval("SELECT count(*) FROM task_logs")

    def judge(case: Case, response: Any) -> None:
        if case.method.upper() != case.operation.method.upper():
            # Under the legacy prefix other methods are the upstream's, and there is none.
            assert response.status_code in (401, 404, 405), f"{response.status_code} to a method that is not there"
            return
        case.validate_response(response, checks=CHECKS)
        if caller == "nobody" and case.operation.label not in OPEN:
            # What is no text at all, or is announced as too large, is refused before anything else is looked at.
            refused = {422} if "%" in response.request.url else set()
            refused |= {413} if len(response.request.body or b"") > world.gateway.settings.max_body_bytes else set()
            assert response.status_code in {401} | refused, f"{response.status_code} without a key"

    wrong = await asyncio.to_thread(send, map(ids.put_into, cases), world.url, headers, judge)
    assert not wrong, f"{len(wrong)} of {len(cases)} answers are wrong:\n" + "\n".join(wrong[:20])
    after = await world.database.fetchval("SELECT count(*) FROM task_logs")
    assert (after > before) == (caller != "nobody")
    if caller != "owner":
        for task_id in ended:
            assert (await world.row(task_id))["retry_count"] == 0, "somebody else's retry"
        for task_id in waiting:
            assert (await world.row(task_id))["stopped_at"] is None, "somebody else's stop"
