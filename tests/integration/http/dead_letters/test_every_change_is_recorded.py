"""Each endpoint that changes something leaves an entry of the record, or is excluded here with the reason.

It stands beside the tests of dead letters, whose fixtures make tasks that failed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.access.keys import create_key, hash_key
from gateway.access.verbs import ENDPOINTS, METHODS, Verb
from gateway.migration.ledger.verification import verify
from gateway.storage.database import Database

API = "/gateway/v1"
ONE_TASK = "it is about a single task, or a single run, whose history is its own rows"
#: What changes something and leaves no entry, and why.
EXCLUDED = {
    **{endpoint: "a submission of tasks" for endpoint, verb in ENDPOINTS.items() if verb is Verb.SUBMIT},
    "POST /api/v1/tasks/{task_id}/retry": ONE_TASK,
    "POST /api/v1/tasks/{task_id}/stop": ONE_TASK,
    "POST /api/v1/tasks/{task_id}/cancel": ONE_TASK,
    f"POST {API}/tasks/{{task_id}}/run-at": ONE_TASK,
    f"POST {API}/dag-runs/{{run_id}}/cancel": ONE_TASK,
    f"POST {API}/dag-runs/{{run_id}}/retry": ONE_TASK,
    f"POST {API}/dag-runs/{{run_id}}/nodes/{{path}}/approve": ONE_TASK,
    f"POST {API}/dag-runs/{{run_id}}/nodes/{{path}}/skip": ONE_TASK,
    f"POST {API}/dag-runs/{{run_id}}/signals/{{name}}": ONE_TASK,
    f"POST {API}/schedules/{{schedule_id}}/run": ONE_TASK,
    f"POST {API}/dags/validate": "nothing is changed",
    f"POST {API}/migration/plans/validate": "nothing is changed",
    f"POST {API}/migration/plans/dry-run": "nothing is changed",
    f"POST {API}/migration/preview": "nothing is changed",
    f"POST {API}/dag-runs/preview": "nothing is changed",
}
CHANGING = {endpoint for endpoint in ENDPOINTS if not endpoint.startswith("GET ")} - EXCLUDED.keys()
YAML = {"Content-Type": "application/yaml"}
PLAN = "name: spring\nwhy: the move\nbake: '0'\ngates: {approval: true}\nwaves: [{name: pilot, tenants: [t-ann]}]\n"
SCHEDULE = {"name": "nightly", "specs": [{"cron": "0 3 * * *"}], "action": {"type": "probe", "tenant_id": "t-ann"}}


class Walk:
    """Asks an administrator's questions, and looks at what each leaves behind."""

    def __init__(self, client: httpx.AsyncClient, database: Database) -> None:
        self._client = client
        self._db = database
        self.walked: set[str] = set()

    async def ask(self, endpoint: str, action: str, path: str | None = None, **options: Any) -> Any:
        """Ask, and expect an entry about it; the answer."""
        method, template = endpoint.split()
        last = await self._db.fetchval("SELECT COALESCE(max(id), 0) FROM taskgate.ledger")
        answer = await self._client.request(method, path or template, **options)
        assert answer.is_success, (endpoint, answer.text)
        rows = await self._db.fetch("SELECT kind, who, source FROM taskgate.ledger WHERE id > $1", last)
        assert action in {row["kind"] for row in rows}, endpoint
        assert {row["who"] for row in rows if row["kind"] == action} == {"root"}, endpoint
        self.walked.add(endpoint)
        return answer.json() if answer.content else None


@pytest.fixture
async def walk(serve: Any, admin: dict[str, str], database: Database) -> AsyncIterator[Walk]:
    async with serve() as (client, _):
        client.headers.update(admin)
        yield Walk(client, database)


async def test_every_endpoint_that_changes_something(walk: Walk, fail_task: Any, database: Database) -> None:
    await keys_and_tenants(walk)
    await definitions(walk)
    await dead_letters_and_callbacks(walk, fail_task, database)
    await the_move(walk, database)
    assert walk.walked == CHANGING
    assert (await verify(database)).breaks == []


def test_every_method_does_what_an_endpoint_does(face_pairs: dict[str, str]) -> None:
    """gRPC has no use cases of its own: whatever it changes, some endpoint here changes in the same way."""
    reading = {method for endpoint, method in face_pairs.items() if endpoint.startswith("GET ")}
    same = {face_pairs[endpoint] for endpoint in CHANGING | EXCLUDED.keys() if endpoint in face_pairs}
    assert METHODS.keys() - reading <= same


@pytest.fixture
def face_pairs() -> dict[str, str]:
    """Endpoints, and the names of the methods that do the same, as the comparison of the faces lists them."""
    import ast
    from pathlib import Path

    text = (Path(__file__).parents[2] / "rpc" / "test_faces.py").read_text(encoding="utf-8")
    same = next(
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SAME"
    )
    return {endpoint: method.partition("/")[2] for endpoint, method in ast.literal_eval(same).items()}


async def keys_and_tenants(walk: Walk) -> None:
    new = {"name": "x", "scope": "read", "tenant_id": "t-ann"}
    made = await walk.ask(f"POST {API}/keys", "key.create", json=new)
    key = f"{API}/keys/{made['key_id']}"
    await walk.ask(f"POST {API}/keys/{{key_id}}/rotate", "key.rotate", f"{key}/rotate", json={})
    await walk.ask(f"DELETE {API}/keys/{{key_id}}", "key.revoke", key)
    await walk.ask(f"POST {API}/session", "session.create")
    await walk.ask(f"DELETE {API}/session", "session.delete", params={"everywhere": "true"})
    tenant = f"{API}/tenants/t-ann"
    await walk.ask(f"PUT {API}/tenants/{{tenant_id}}", "tenant.tier", tenant, json={"tier": "vip"})
    await walk.ask(f"PUT {API}/tenants/{{tenant_id}}", "tenant.weight", tenant, json={"weight": 2})
    quotas = f"{tenant}/quotas"
    await walk.ask(f"PUT {API}/tenants/{{tenant_id}}/quotas", "quota.set", quotas, json={"queued": 100})
    await walk.ask(f"DELETE {API}/tenants/{{tenant_id}}/quotas", "quota.clear", quotas)
    pause = await walk.ask(f"POST {API}/pauses", "pause.add", json={"task_type": "probe", "why": "x"})
    await walk.ask(f"DELETE {API}/pauses/{{pause_id}}", "pause.remove", f"{API}/pauses/{pause['pause_id']}")
    await walk._db.execute(
        "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
        " VALUES ('w-1', 'worker', 'here', 1, 'test', 1)"
    )
    drain = f"{API}/workers/w-1/drain"
    await walk.ask(f"POST {API}/workers/{{process_id}}/drain", "worker.drain", drain, json={"why": "x"})
    secret = f"{tenant}/webhook-secret"
    await walk.ask(f"POST {API}/tenants/{{id}}/webhook-secret", "webhook_secret.rotate", secret)


async def definitions(walk: Walk) -> None:
    schedule = await walk.ask(f"POST {API}/schedules", "schedule.create", json=SCHEDULE)
    place, path = f"{API}/schedules/{{schedule_id}}", f"{API}/schedules/{schedule['schedule_id']}"
    await walk.ask(f"PUT {place}", "schedule.change", path, json={**SCHEDULE, "name": "late"})
    await walk.ask(f"PATCH {place}", "schedule.change", path, json={"name": "later"})
    await walk.ask(f"POST {place}/pause", "schedule.change", f"{path}/pause", json={})
    await walk.ask(f"POST {place}/resume", "schedule.change", f"{path}/resume", json={})
    past = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-03T00:00:00Z"}
    await walk.ask(f"POST {place}/backfill", "schedule.backfill", f"{path}/backfill", json=past)
    await walk.ask(f"DELETE {place}", "schedule.delete", path)
    of_ann = {"tenant_id": "t-ann"}
    dag = f"{API}/dags/{{name}}"
    for nodes in ("{a: {type: probe}}", "{b: {type: probe}}"):
        text = f"name: small\nnodes: {nodes}\n"
        more = {"params": {**of_ann, "any_types": "true"}, "content": text, "headers": YAML}
        await walk.ask(f"PUT {dag}", "dag.apply", f"{API}/dags/small", **more)
    back = {"params": of_ann, "json": {"version": 1}}
    await walk.ask(f"POST {dag}/rollback", "dag.roll_back", f"{API}/dags/small/rollback", **back)
    await walk.ask(f"DELETE {dag}", "dag.retire", f"{API}/dags/small", params=of_ann)


async def dead_letters_and_callbacks(walk: Walk, fail_task: Any, database: Database) -> None:
    async def dead() -> str:
        return str(await fail_task(tenant_id="t-ann", project_id="p-ann"))

    letters = f"{API}/dead-letters"
    one = await dead()
    await walk.ask(f"POST {letters}/{{id}}/redrive", "dead_letter.redrive", f"{letters}/{one}/redrive", json={})
    which = {"filter": {"tenant_id": "t-ann"}}
    await dead()
    await walk.ask(f"POST {letters}/redrive", "operation.redrive", json=which)
    one = await dead()
    await walk.ask(f"POST {letters}/{{id}}/dismiss", "dead_letter.dismiss", f"{letters}/{one}/dismiss", json={})
    await walk.ask(f"DELETE {letters}/{{id}}", "dead_letter.purge", f"{letters}/{one}")
    await dead()
    await walk.ask(f"POST {letters}/dismiss", "dead_letter.dismiss", json=which)
    await dead()
    await walk.ask(f"POST {letters}/purge", "dead_letter.purge", json=which)

    submitted = await walk._client.post(f"{API}/tasks", json={"type": "other", "tenant_id": "t-ann"})
    assert submitted.status_code == 202
    cancel = {"action": "cancel", "filter": {"type": ["other"]}}
    operation = await walk.ask(f"POST {API}/operations", "operation.cancel", json=cancel)
    abort = f"{API}/operations/{operation['operation_id']}/abort"
    await walk.ask(f"POST {API}/operations/{{operation_id}}/abort", "operation.abort", abort)

    for number in ("1", "2"):
        await database.execute(
            "INSERT INTO taskgate.delivery (id, task_id, tenant_id, event, url, receiver, body, state, ended_at)"
            " VALUES ($1, $2, 't-ann', 'completed', 'https://a.org/', 'https://a.org:443', '{}', 'dead', now())",
            number,
            one,
        )
    resend = f"{API}/callbacks/1/resend"
    await walk.ask(f"POST {API}/callbacks/{{id}}/resend", "callback.resend", resend)
    await walk.ask(f"POST {API}/callbacks/resend", "callback.resend", json={"tenant_id": "t-ann"})


async def the_move(walk: Walk, database: Database) -> None:
    stages = f"{API}/migration/stages"
    change = {"tenant_id": "t-ann", "stage": "live", "why": "pilot", "force": True}
    await walk.ask(f"PUT {stages}", "flip", json={**change, "based_on": 0})
    gate = {"tenant_id": "t-ann", "task_type": "probe", "samples": 20}
    await walk.ask(f"POST {API}/migration/parity/gate", "parity_gate.set", json=gate)
    document = (await walk._client.get(f"{stages}/document")).json()["document"]
    await walk.ask(
        f"DELETE {stages}", "flip", params={"tenant_id": "t-ann", "why": "back", "based_on": 1, "force": True}
    )
    rollout = {"stage": "live", "percent": 25, "why": "x", "based_on": 2, "force": True}
    await walk.ask(f"PUT {stages}/rollout", "flip", json=rollout)
    imported = {"document": document, "why": "back", "based_on": 3, "force": True}
    await walk.ask(f"PUT {stages}/document", "flip", json=imported)
    made = await walk.ask(f"PUT {stages}/overrides", "flip", json={**change, "stage": "off", "based_on": 0})
    version = made["override"]["version"] if "override" in made else made["version"]
    clear = {"tenant_id": "t-ann", "why": "over", "based_on": version}
    await walk.ask(f"DELETE {stages}/overrides", "flip", params=clear)

    guardrails = f"{API}/migration/guardrails"
    await walk.ask(f"PUT {guardrails}", "guardrail.set", json={"dry_run": True, "why": "x"})
    await database.execute(
        "INSERT INTO taskgate.guardrail (tenant_id, phase, redis_stage, since, rollbacks, concerns)"
        " VALUES ('t-ann', 'locked', 'off', '{}', 3, '{}')"
        " ON CONFLICT (tenant_id) DO UPDATE SET phase = 'locked'"
    )
    await walk.ask(f"POST {guardrails}/unlock", "guardrail.unlock", json={"tenant_id": "t-ann", "why": "x"})
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('x')")
    await walk.ask(f"POST {guardrails}/unfreeze", "guardrail.unfreeze", json={"why": "x"})

    plan, path = f"{API}/migration/plans/{{name}}", f"{API}/migration/plans/spring"
    await walk.ask(f"PUT {plan}", "plan", path, content=PLAN, headers=YAML)
    await walk.ask(f"POST {plan}/acts", "plan", f"{path}/acts", json={"act": "abort", "why": "x"})


async def test_what_is_read_of_it(walk: Walk, database: Database) -> None:
    await walk.ask(
        f"PUT {API}/tenants/{{tenant_id}}/quotas",
        "quota.set",
        f"{API}/tenants/t-ann/quotas",
        json={"queued": 5, "why": "CHG-9"},
        headers={"X-Request-Id": "request-9"},
    )
    await walk.ask(
        f"PUT {API}/tenants/{{tenant_id}}/quotas", "quota.set", f"{API}/tenants/t-ann/quotas", json={"queued": 6}
    )
    page = (await walk._client.get(f"{API}/audit", params={"action": "quota.", "limit": 1})).json()
    [newest] = page["entries"]
    assert (newest["before"]["queued"], newest["after"]["queued"], newest["why"]) == (5, 6, None)
    following = {"action": "quota.", "cursor": page["next_cursor"]}
    [first] = (await walk._client.get(f"{API}/audit", params=following)).json()["entries"]
    assert (first["subject"], first["who"], first["why"]) == ("tenant:t-ann", "root", "CHG-9")
    assert (first["before"], first["request_id"], first["address"]) == (None, "request-9", "127.0.0.1")
    for more in ({"who": "ann"}, {"subject": "x"}, {"since": "2100-01-01T00:00:00Z"}, {"before": "2000-01-01T00:00Z"}):
        assert (await walk._client.get(f"{API}/audit", params=more)).json()["entries"] == [], more
    assert (await walk._client.get(f"{API}/audit", params={"cursor": "x"})).status_code == 422

    events = (await walk._client.get(f"{API}/audit/events", params={"action": "quota."})).json()
    assert [event["subject"] for event in events["events"]] == ["tenant:t-ann"] * 2
    event = events["events"][0]
    assert (event["specversion"], event["type"], event["id"]) == ("1.0", "io.taskgate.audit.v1", str(first["id"]))
    data = event["data"]
    assert (data["class_uid"], data["activity_id"], data["type_uid"]) == (6003, 3, 600303)
    assert (data["api"]["operation"], data["api"]["request"]["uid"]) == ("quota.set", "request-9")
    assert (data["actor"]["user"]["uid"], data["src_endpoint"]["ip"]) == ("root", "127.0.0.1")
    again = {"action": "quota.", "cursor": events["next_cursor"]}
    rest = (await walk._client.get(f"{API}/audit/events", params=again)).json()
    assert rest == {"events": [], "next_cursor": events["next_cursor"]}
    later = (await walk._client.get(f"{API}/audit/events", params={"action": "quota.", "after": event["id"]})).json()
    assert later["events"] == events["events"][1:]
    for wrong in ({"after": -1}, {"after": "x"}, {"after": 2**63}, {"cursor": event["id"]}):
        assert (await walk._client.get(f"{API}/audit/events", params=wrong)).status_code == 422, wrong


async def test_it_is_for_administrators(walk: Walk, key: str) -> None:
    for path in ("", "/events"):
        answer = await walk._client.get(f"{API}/audit{path}", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403


async def test_without_an_entry_nothing_is_changed(walk: Walk, database: Database) -> None:
    key = create_key()
    await database.execute(
        "INSERT INTO api_keys (id, key_hash, name, user_id) VALUES ('k', $1, 'x', 'ann')", hash_key(key)
    )
    await database.execute("ALTER TABLE taskgate.ledger ADD CONSTRAINT refusing CHECK (false) NOT VALID")
    try:
        changes: list[tuple[str, str, Any]] = [
            ("PUT", "/tenants/t-ann/quotas", {"queued": 1}),
            ("PUT", "/tenants/t-ann", {"tier": "standard"}),
            ("POST", "/pauses", {"task_type": "probe", "why": "x"}),
            ("POST", "/operations", {"action": "cancel", "filter": {"type": ["probe"]}}),
            ("POST", "/schedules", SCHEDULE),
            ("POST", "/tenants/t-ann/webhook-secret", {}),
            ("PUT", "/migration/guardrails", {"dry_run": True, "why": "x"}),
            ("DELETE", "/keys/k", None),
        ]
        for method, path, body in changes:
            answer = await walk._client.request(method, API + path, json=body)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:taskgate:error:ledger_unwritable"), path
        # A tenant's own traffic goes on.
        answer = await walk._client.post(f"{API}/tasks", json={"type": "probe", "tenant_id": "t-ann"})
        assert answer.status_code == 202
    finally:
        await database.execute("ALTER TABLE taskgate.ledger DROP CONSTRAINT refusing")
    for table in ("quota", "pause", "operation", "schedule", "webhook_secret", "guardrail_setting"):
        if await database.fetchval("SELECT to_regclass($1)", f"taskgate.{table}") is not None:
            assert await database.fetchval(f"SELECT count(*) FROM taskgate.{table}") == 0, table
    assert await database.fetchval("SELECT plan FROM tenants WHERE id = 't-ann'") == "enterprise"
    assert await database.fetchval("SELECT is_active FROM api_keys WHERE id = 'k'")
