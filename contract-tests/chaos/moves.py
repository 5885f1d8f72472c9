"""The operator of the fault suite: moves tenants over the door of the gateways, and asks whether Redis may go."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime
from typing import Any

import httpx

from checker import Request
from clients import Clients
from gateway.routing.stages import Stage
from plans import Planner
from workers.testing.waiting import eventually, until
from world import TENANTS, World

_STAGES, _DRAIN = "/gateway/v1/migration/stages", "/gateway/v1/migration/drain"
_GUARDRAILS = "/gateway/v1/migration/guardrails"
#: Tasks that fail on Temporal only: so many run on Redis first, and so many are sent at once after the move.
BRITTLE, BASELINE, WORSE = "chaos_brittle", 40, 16
#: Longest wait until a tenant is taken back by its guardrail, and pause between two crowds for it (seconds).
BACK_SECONDS, WORSE_SECONDS = 150.0, 5.0
#: Tasks of a tenant at `shadow`, and longest wait until a probe was sent beside one (seconds).
REHEARSED, PROBE_SECONDS = 8, 60.0
#: Longest patience with one change, all repetitions together, while some gateway answers, and pause between two of them
#: (seconds).
PATIENCE, PAUSE_SECONDS = 120.0, 0.2
#: So many tasks shall wait in Redis before a rampdown; no more are sent for that than `CROWD`, each of so many ms, in
#: one group, whose tasks run one after the other. Without them short histories moved nothing: Redis was always empty.
QUEUED, CROWD, CROWD_MS = 5, 24, 800
#: Longest wait until they are there, until the first of them has moved, and until Redis may go (seconds).
QUEUED_SECONDS, MOVE_SECONDS, LEAVE_SECONDS = 10.0, 15.0, 20.0
#: How often that is said again before the end.
SAID_AGAIN = 4


class Moves:
    """Remembers each change, and each moment at which a drain said that Redis may be switched off."""

    def __init__(self, world: World, clients: Clients) -> None:
        self._world = world
        self._clients = clients
        self._http = httpx.AsyncClient(timeout=10)
        self._chance = random.Random(world.directory.name)
        self.changes: list[Request] = []
        self.safe: list[float] = []
        self.has_ramped_down = False
        self.is_guarded = False
        self.taken_back = 0
        self.guarded: str | None = None
        """The tenant that nobody else may move now."""
        self.planner = Planner(self)
        self._last = "none"
        """The last answer of a gateway, for whoever gives up."""

    async def close(self) -> None:
        await self._http.aclose()

    async def set_stage(self, tenant: str | None, stage: Stage) -> None:
        """Of a tenant, or of all others (None); repeated until a gateway has done it."""
        change, is_over = Request(time.monotonic()), self._world.served.patience(PATIENCE)
        self.changes.append(change)
        scope: dict[str, Any] = {"everything": True} if tenant is None else {"tenant_id": tenant}
        body = {**scope, "stage": stage.value, "why": "fault suite", "force": True}
        while not await self._is_set(body):
            if is_over():
                raise TimeoutError(f"stage {stage} was not set within {PATIENCE} s; the last answer: {self._last}")
            change.repeated = True
            await asyncio.sleep(PAUSE_SECONDS)
        change.answered = time.monotonic()

    async def _is_set(self, body: dict[str, Any]) -> bool:
        seen = await self.ask("GET", _STAGES)
        if seen is None or seen.is_error or not await self._let_go(seen.json()["overrides"]):
            return False
        answer = await self.ask("PUT", _STAGES, body | {"based_on": seen.json()["version"]})
        await self._end_holds(answer, body.get("tenant_id"))
        # 409: somebody else was faster, maybe this very change, whose answer was lost.
        if answer is None or answer.status_code in (httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE):
            return False
        if answer.is_error:
            raise RuntimeError(f"a stage was answered {answer.status_code}: {answer.text}")
        return True

    async def _let_go(self, overrides: list[dict[str, Any]]) -> bool:
        """Take away what guardrails hold, as an operator who moves a tenant again; False: not all of it yet."""
        for one in overrides:
            query = {"tenant_id": one["tenant_id"], "why": "fault suite", "based_on": one["version"]}
            cleared = await self.ask("DELETE", f"{_STAGES}/overrides", query=query)
            await self._end_holds(cleared, one["tenant_id"])
            if cleared is None or cleared.is_error:
                return False
        return True

    async def _end_holds(self, answer: httpx.Response | None, tenant: str | None) -> None:
        """End a freeze and the tenant's lock, if they are why a move was refused. The move is asked for again."""
        if answer is None or "move_locked" not in answer.text:
            return
        await self.ask("POST", f"{_GUARDRAILS}/unfreeze", {"why": "fault suite"})
        if tenant is not None:
            await self.ask("POST", f"{_GUARDRAILS}/unlock", {"tenant_id": tenant, "why": "fault suite"})

    async def be_taken_back(self, tenant: str) -> None:
        """Move a tenant whose tasks fail on Temporal only; its guardrail takes it back, and they run on Redis again.

        Once in a history: a second tenant would freeze all guardrails.
        """
        if self.is_guarded:
            return
        self.is_guarded, self.guarded = True, tenant
        try:
            async with self.planner.turn, asyncio.timeout(BACK_SECONDS):
                await self._be_taken_back(tenant)
        except TimeoutError:
            print(f"the guardrail of {tenant} took nothing back within {BACK_SECONDS:g} s", flush=True)
        finally:
            self.guarded = None

    async def _be_taken_back(self, tenant: str) -> None:
        projects, rows = self._world.projects[tenant], self._world.rows
        await self.set_stage(tenant, Stage.OFF)
        while await rows.guardrail_phase(tenant) == "armed":  # or it would go on with the baseline of an earlier move
            await asyncio.sleep(PAUSE_SECONDS)
        for project in projects:
            await self._clients.crowd(tenant, project, BASELINE // len(projects), 10, BRITTLE)
        while await rows.first_runs(tenant, BRITTLE) < BASELINE:
            await asyncio.sleep(PAUSE_SECONDS)
        await self.set_stage(tenant, Stage.LIVE)
        while await rows.guardrail_phase(tenant) != "armed":  # what ends before does not count
            await asyncio.sleep(PAUSE_SECONDS)
        while not self.taken_back:
            await self._clients.crowd(tenant, projects[0], WORSE, 10, BRITTLE)
            deadline = time.monotonic() + WORSE_SECONDS
            while not self.taken_back and time.monotonic() < deadline:
                await asyncio.sleep(PAUSE_SECONDS)
                self.taken_back = await rows.rolled_back()
        await self._clients.crowd(tenant, projects[0], WORSE, 10, BRITTLE)

    async def be_rehearsed(self, tenant: str) -> None:
        """With tasks beside which probes go to Temporal; returns when one has, unless faults keep it from that."""
        await self.set_stage(tenant, Stage.SHADOW)
        await self._clients.crowd(tenant, self._world.projects[tenant][0], REHEARSED, 10)
        with contextlib.suppress(TimeoutError):
            await eventually(
                self._world.rows.rehearsed, lambda counts: counts[1], within=PROBE_SECONDS, pause=PAUSE_SECONDS
            )

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, Any] | None = None
    ) -> httpx.Response | None:
        """None: no gateway answered."""
        headers = {"Authorization": f"Bearer {self._world.keys['TASKGATE_ADMIN_KEY']}"}
        url = self._chance.choice(self._world.gateway_urls) + path
        try:
            answer = await self._http.request(method, url, headers=headers, json=body, params=query)
        except httpx.TransportError as error:
            self._last = f"{method} {url}: {type(error).__name__}"
            return None
        self._last = f"{method} {url}: {answer.status_code}" + (f" {answer.text}" if answer.is_error else "")
        return answer

    async def fill_redis(self, tenant: str) -> None:
        """Put the tenant at `off`, and send tasks until enough of them wait in Redis."""
        await self.set_stage(tenant, Stage.OFF)
        project, deadline = self._chance.choice(self._world.projects[tenant]), time.monotonic() + QUEUED_SECONDS
        sent = 0
        while await self._world.rows.waits_in_redis(tenant) < QUEUED and time.monotonic() < deadline:
            if sent < CROWD:
                await self._clients.crowd(tenant, project, QUEUED + 1, CROWD_MS)
                sent += QUEUED + 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def ramp_down(self, tenant: str) -> None:
        """With tasks in Redis that must move; returns when some have, unless faults keep them there.

        Plans move everybody away from Redis, so they wait as long as no rampdown has moved anything.
        """
        self.has_ramped_down = True
        if self._world.count_moved():
            await self._ramp_down(tenant)
        else:
            async with self.planner.turn:
                await self._ramp_down(tenant)

    async def _ramp_down(self, tenant: str) -> None:
        await self.fill_redis(tenant)
        before = self._world.count_moved()
        await self.set_stage(tenant, Stage.RAMPDOWN)
        with contextlib.suppress(TimeoutError):
            await until(lambda: self._world.count_moved() > before, within=MOVE_SECONDS, pause=PAUSE_SECONDS)

    async def everybody_leaves(self) -> None:
        """All at `complete`, until Redis may be switched off, or faults keep it from that for too long."""
        for tenant in (*TENANTS, None):
            await self.set_stage(tenant, Stage.COMPLETE)
        before = len(self.safe)
        with contextlib.suppress(TimeoutError):
            await until(lambda: len(self.safe) > before, within=LEAVE_SECONDS, pause=PAUSE_SECONDS)
            # Meanwhile a task that still ran on Redis would show that it is false.
            await until(lambda: len(self.safe) > before + SAID_AGAIN, within=LEAVE_SECONDS, pause=PAUSE_SECONDS)

    async def watch_drain_forever(self) -> None:
        while True:
            answer = await self.ask("GET", _DRAIN)
            if answer is not None and answer.is_success:
                report = answer.json()
                if report["verdict"] == "safe_to_switch_off":
                    age = datetime.now(UTC) - datetime.fromisoformat(report["at"])
                    self.safe.append(time.monotonic() - age.total_seconds())
            await asyncio.sleep(PAUSE_SECONDS)
