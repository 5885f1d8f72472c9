"""`/gateway/v1/callbacks` and webhook secrets: who sees and does what, and bad input."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

API = "/gateway/v1/callbacks"
SECRET = "/gateway/v1/tenants/t-ann/webhook-secret"


async def test_a_caller_sees_those_of_its_tenants(client, end_task, admin, bob) -> None:
    nowhere = {"url": "http://127.0.0.1:1/"}
    anns, bobs = await end_task(nowhere), await end_task(nowhere, tenant_id="t-bob")
    nobodys = await end_task(nowhere, tenant_id=None)

    async def tasks(headers: dict[str, str] | None = None, **query: Any) -> list[str]:
        answer = await client.get(API, headers=headers, params=query)
        return [found["task_id"] for found in answer.json()["callbacks"]]

    assert await tasks() == [anns]
    assert await tasks(bob) == [bobs]
    assert await tasks(admin) == [nobodys, bobs, anns]
    assert await tasks(admin, tenant_id="t-bob", event="completed") == [bobs]
    assert await tasks(tenant_id="t-bob") == []
    foreign = (await client.get(API, headers=bob)).json()["callbacks"][0]["id"]
    for method, path in (("GET", f"/{foreign}"), ("POST", f"/{foreign}/resend"), ("GET", "/none")):
        answer = await client.request(method, API + path)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:taskgate:error:callback_not_found")


async def test_pages(client, end_task) -> None:
    tasks = [await end_task({"url": "http://127.0.0.1:1/"}) for _ in range(3)]
    first = (await client.get(API, params={"limit": 2})).json()
    second = (await client.get(API, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [found["task_id"] for found in (*first["callbacks"], *second["callbacks"])] == tasks[::-1]
    assert second["next_cursor"] is None


BAD_REQUESTS = [
    ("GET", "?limit=0", None),
    ("GET", "?state=x", None),
    ("GET", "?event=x", None),
    ("GET", "?cursor=x", None),
    ("GET", "?cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwiYSJd", None),
    ("GET", "?task_id=", None),
    ("POST", "/resend", {"limit": 0}),
    ("POST", "/resend", {"x": 1}),
    ("POST", "/resend", []),
    ("POST", "/../tenants/t-ann/webhook-secret", {"overlap_hours": -1}),
    ("POST", "/../tenants/t-ann/webhook-secret", {"overlap_hours": 1e6}),
    ("POST", "/../tenants/t-ann/webhook-secret", {"secret": "mine"}),
]


async def test_bad_input(client) -> None:
    for method, path, body in BAD_REQUESTS:
        answer = await client.request(method, API + path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_secrets_stay_valid_while_they_are_rotated(client, receiver, end_task, database) -> None:
    """Whoever loses the answer makes another one, and the one that receivers know ends no sooner."""
    first = (await client.post(SECRET)).json()["secret"]
    secrets = [first, *[(await client.post(SECRET, json={"overlap_hours": 1})).json()["secret"] for _ in range(2)]]
    assert all(secret.startswith("whsec_") for secret in secrets)
    await end_task({"url": receiver.url()})
    hit = await receiver.hit()
    for secret in secrets:
        Webhook(secret).verify(hit.body, hit.headers)
    assert len(hit.headers["webhook-signature"].split(" ")) == 3
    shown = (await client.get(SECRET)).json()["secrets"]
    assert [found["expires_at"] is None for found in shown] == [True, False, False]
    assert shown[2]["expires_at"] < shown[1]["expires_at"]
    left = (datetime.fromisoformat(shown[1]["expires_at"]) - datetime.fromisoformat(shown[0]["created_at"])).seconds
    assert 3_590 < left <= 3_600
    text = (await client.get(SECRET)).text
    assert not any(secret in text for secret in secrets)
    audit = await database.fetch(
        "SELECT evidence::text AS detail FROM taskgate.ledger WHERE kind = 'webhook_secret.rotate'"
    )
    assert len(audit) == 3
    assert not any("whsec" in row["detail"] for row in audit)


async def test_a_secret_can_be_ended_at_once(client, receiver, end_task) -> None:
    for _ in range(2):
        made = (await client.post(SECRET, json={"overlap_hours": 0})).json()
    await end_task({"url": receiver.url()})
    hit = await receiver.hit()
    assert len(hit.headers["webhook-signature"].split(" ")) == 1
    Webhook(made["secret"]).verify(hit.body, hit.headers)


async def test_rotations_at_once_leave_one_current_secret_and_no_more_than_four(client) -> None:
    answers = await asyncio.gather(*(client.post(SECRET) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 2
    (refused, _) = [answer.json() for answer in answers if answer.status_code == 409]
    assert refused["type"] == "urn:taskgate:error:too_many_secrets"
    shown = (await client.get(SECRET)).json()["secrets"]
    assert [found["expires_at"] is None for found in shown] == [True, False, False, False]
    # The way out: all of them end.
    assert (await client.post(SECRET, json={"overlap_hours": 0})).status_code == 201
    assert len((await client.get(SECRET)).json()["secrets"]) == 1


async def test_a_rotation_takes_no_idempotency_key(client) -> None:
    answer = await client.post(SECRET, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, "Idempotency-Key" in answer.json()["detail"]) == (422, True)
    assert (await client.get(SECRET)).json()["secrets"] == []


async def test_who_may_rotate(client, people, admin, bob) -> None:
    member = {"Authorization": f"Bearer {await people.add_user('mia')}"}
    await people.add_member("mia", "t-ann")
    lead = {"Authorization": f"Bearer {await people.add_user('lea')}"}
    await people.add_member("lea", "t-ann", "admin")
    for method in ("GET", "POST"):
        statuses = [
            (await client.request(method, SECRET, headers=headers)).status_code
            for headers in (member, bob, lead, admin, {"Authorization": ""})
        ]
        done = 200 if method == "GET" else 201
        assert statuses == [403, 404, done, done, 401]
    for tenant, status in (("none", 404), ("%00", 422), ("t%2Fx", 404)):
        answer = await client.post(f"/gateway/v1/tenants/{tenant}/webhook-secret", headers=admin)
        assert answer.status_code == status


async def test_retention(gateway, end_task, database) -> None:
    for age, state in ((8, "delivered"), (6, "delivered"), (91, "dead"), (89, "dead"), (400, "pending")):
        task = await end_task({"url": "http://127.0.0.1:1/"})
        await database.execute(
            "UPDATE taskgate.delivery SET state = $2, due_at = 'infinity',"
            " ended_at = CASE WHEN $2 <> 'pending' THEN now() - make_interval(days => $3) END WHERE task_id = $1",
            task,
            state,
            age,
        )
    await gateway.deliverer._forget()
    rows = await database.fetch("SELECT state FROM taskgate.delivery ORDER BY state")
    assert [row["state"] for row in rows] == ["dead", "delivered", "pending"]


PRIVATE = ["http://localhost/", "http://127.1/", "http://[::1]/", "http://169.254.169.254/", "http://a@example.com/"]


async def test_private_callbacks_are_refused_when_they_are_submitted(serve, key, database) -> None:
    async with serve() as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        for url in PRIVATE:
            answer = await client.post("/gateway/v1/tasks", json={"type": "probe", "callback": {"url": url}})
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:taskgate:error:callback_refused")
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 0


MALFORMED = [
    {},
    {"url": 7},
    {"url": "https://example.com", "events": []},
    {"url": "https://example.com", "events": ["begun"]},
]


async def test_malformed_callbacks(client) -> None:
    for callback in MALFORMED:
        answer = await client.post("/gateway/v1/tasks", json={"type": "probe", "callback": callback})
        assert answer.status_code == 422


async def test_a_submitted_callback_is_sent(client, gateway, receiver, secret) -> None:
    callback = {"url": receiver.url(), "events": ["stopped"]}
    answer = await client.post("/gateway/v1/tasks", json={"type": "probe", "callback": callback, "labels": {"a": "b"}})
    assert answer.status_code == 202, answer.text
    await gateway.transitions.stop(answer.json()["task_id"])
    hit = await receiver.hit()
    assert hit.content["data"]["task_id"] == answer.json()["task_id"]
    assert hit.content["data"]["labels"] == {"a": "b"}


async def test_a_task_without_a_tenant_has_no_callback(serve, people, admin, database) -> None:
    await people.add_user("loner")
    headers = {"Authorization": f"Bearer {await people.add_key('loner')}"}
    async with serve() as (client, _):
        body = {"type": "probe", "callback": {"url": "https://example.com"}}
        refused = await client.post("/gateway/v1/tasks", json=body, headers=headers)
        assert (refused.status_code, refused.json()["detail"]) == (422, "Tasks without a tenant cannot have callbacks.")
        accepted = await client.post("/gateway/v1/tasks", json={"type": "probe"}, headers=headers)
        assert accepted.status_code == 202
