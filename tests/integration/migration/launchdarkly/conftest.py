"""A stand-in for LaunchDarkly's REST API: one flag, semantic patches, an audit log, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.migration.flags.launchdarkly_api import LaunchDarklyApi
from gateway.migration.flags.launchdarkly_store import LaunchDarklyStore
from gateway.migration.stages.requests import SetStage
from gateway.migration.stages.service import StageService
from gateway.routing.stages import Stage
from gateway.storage.database import Database

KEY, PROJECT, ENVIRONMENT, TOKEN = "task-backend", "default", "production", "api-stand-in"
SEMANTIC = "application/json; domain-model=launchdarkly.semanticpatch"


class LaunchDarklyRest:
    """Applies the instructions as they are documented, all or none; variations and rules have ids of its own."""

    def __init__(self) -> None:
        self.variations = [{"_id": f"variation-{stage}", "value": stage.value} for stage in Stage]
        self.there: dict[str, Any] = {
            "on": True,
            "version": 4,
            "salt": "s",
            "targets": [],
            "contextTargets": [],
            "rules": [],
            "prerequisites": [],
            "offVariation": 0,
            "fallthrough": {"variation": 0},
        }
        self.patches: list[dict[str, Any]] = []
        self.requests = 0
        self.failures: list[Response] = []
        """Answers to the next requests, instead of what they ask for."""
        self.broken: Response | None = None
        """The answer to every request, while it is set."""
        self.answers_patches: Response | None = None
        """The same, to patches only."""
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        """Happens after a patch was made, and before it is answered."""
        self.loses_answers = 0
        """So many patches are made and answered 500."""
        self.url = ""

    def app(self) -> Starlette:
        place = f"/api/v2/flags/{PROJECT}/{KEY}"
        return Starlette(
            routes=[
                Route(place, self._flag, methods=["GET", "PATCH"]),
                Route("/api/v2/auditlog", self._audit_log, methods=["GET"]),
            ]
        )

    def somebody_patches(self) -> None:
        """In LaunchDarkly's own pages."""
        self.there["version"] += 1
        self.there["contextTargets"].append({"contextKind": "tenant", "variation": 2, "values": ["umbrella"]})
        self.patches.append({"comment": "by hand", "instructions": []})

    def shown(self) -> dict[str, Any]:
        return {
            "key": KEY,
            "_version": 99,
            "variations": self.variations,
            "environments": {ENVIRONMENT: self.there},
        }

    def _refusal(self, request: Request) -> Response | None:
        self.requests += 1
        if request.headers.get("authorization") != TOKEN:
            return JSONResponse({"code": "unauthorized", "message": "Invalid access token"}, 401)
        if self.failures:
            return self.failures.pop(0)
        return self.broken

    async def _audit_log(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        assert request.query_params["spec"] == f"proj/{PROJECT}:env/{ENVIRONMENT}:flag/{KEY}"
        newest = list(reversed(self.patches))[: int(request.query_params["limit"])]
        items = [
            {
                "date": 1764322000000,
                "member": {"email": "grace@example.org"},
                "titleVerb": "changed the targeting",
                "comment": one["comment"],
            }
            for one in newest
        ]
        return JSONResponse({"items": items})

    async def _flag(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if request.method == "PATCH":
            assert request.headers["content-type"] == SEMANTIC
            if self.answers_patches is not None:
                return self.answers_patches
            patch = json.loads(await request.body())
            assert patch["environmentKey"] == ENVIRONMENT
            there = json.loads(json.dumps(self.there))
            for instruction in patch["instructions"]:
                self._apply(there, instruction)
            self.there = {**there, "version": there["version"] + 1}
            self.patches.append(patch)
            if self.before_answer is not None:
                await self.before_answer()
            if self.loses_answers:
                self.loses_answers -= 1
                return JSONResponse({"message": "internal"}, 500)
        return JSONResponse(self.shown())

    def _apply(self, there: dict[str, Any], instruction: dict[str, Any]) -> None:
        numbers = {variation["_id"]: number for number, variation in enumerate(self.variations)}

        def served() -> dict[str, Any]:
            if "variationId" in instruction:
                return {"variation": numbers[instruction["variationId"]]}
            weights = {numbers[key]: weight for key, weight in instruction["rolloutWeights"].items()}
            assert sum(weights.values()) == 100_000
            variations = [{"variation": number, "weight": weights[number]} for number in sorted(weights)]
            return {"rollout": {"variations": variations, "contextKind": instruction["rolloutContextKind"]}}

        match instruction["kind"]:
            case "updateFallthroughVariationOrRollout":
                there["fallthrough"] = served()
            case "addTargets":
                wanted = {"contextKind": instruction["contextKind"], "variation": numbers[instruction["variationId"]]}
                target = next((one for one in there["contextTargets"] if wanted.items() <= one.items()), None)
                if target is None:
                    there["contextTargets"].append(target := {**wanted, "values": []})
                assert not set(target["values"]) & set(instruction["values"])
                target["values"] += instruction["values"]
            case "removeTargets":
                number = numbers[instruction["variationId"]]
                [target] = [
                    one
                    for one in there["contextTargets"]
                    if (one["contextKind"], one["variation"]) == (instruction["contextKind"], number)
                ]
                for value in instruction["values"]:
                    target["values"].remove(value)
            case "addRule":
                rule = {"_id": f"rule-{there['version']}-{len(there['rules'])}-{instruction['description']}"}
                clauses = [{"_id": "c", **clause} for clause in instruction["clauses"]]
                rule |= {"description": instruction["description"], "clauses": clauses, **served()}
                keys = [one["_id"] for one in there["rules"]]
                at = keys.index(instruction["beforeRuleId"]) if "beforeRuleId" in instruction else len(keys)
                there["rules"].insert(at, rule)
            case "removeRule":
                [rule] = [one for one in there["rules"] if one["_id"] == instruction["ruleId"]]
                there["rules"].remove(rule)
            case kind:
                raise AssertionError(kind)


@pytest_asyncio.fixture
async def rest() -> AsyncIterator[LaunchDarklyRest]:
    """A stand-in on a port of its own."""
    stand_in = LaunchDarklyRest()
    config = uvicorn.Config(stand_in.app(), port=0, log_config=None, lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    serving = asyncio.create_task(server.main_loop())
    stand_in.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield stand_in
    server.should_exit = True
    await serving
    await server.shutdown()


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stages(database: Database, rest: Any, clock: Clock) -> StageService:
    return stages_of(database, rest.url, clock)


def stages_of(database: Database, url: str, clock: Clock, token: str = "api-stand-in", **options: str) -> StageService:
    places = {"project": "default", "environment": "production", **options}
    api = LaunchDarklyApi(url, token, flag_key=KEY, clock=clock, sleep=clock.sleep, **places)
    store = LaunchDarklyStore(database, api, KEY)
    return StageService(database, store, KEY, "LaunchDarkly", configured=frozenset({"redis", "temporal"}))


def asked(stage: str = "live", based_on: int = 4, **fields: Any) -> SetStage:
    fields = fields or {"tenant_id": "acme"}
    return SetStage(**fields, stage=stage, why="pilot", based_on=based_on, force=True)  # type: ignore[arg-type]


async def flips(database: Database) -> list[tuple[Any, ...]]:
    rows = await database.fetch("SELECT scope, before, after, why FROM taskgate.ledger ORDER BY id")
    return [tuple(row) for row in rows]
