"""From the end of a task to its receiver: signed, once per end, repeated until it is taken, and given up at last."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import orjson
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.callbacks.deliverer import OF_RECEIVER, OF_TENANT
from gateway.callbacks.signing import create_secret
from gateway.migration.guardrails.requests import Unfreeze
from gateway.news.piece import Piece, Topic
from workers.testing.waiting import eventually

API = "/gateway/v1/callbacks"


async def delivery(client: httpx.AsyncClient, task_id: str, state: str | None = None) -> dict[str, Any]:
    """The one callback of a task, once it is in this state."""

    async def read() -> dict[str, Any]:
        answer = await client.get(API, params={"task_id": task_id})
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["callbacks"]
        return dict(found)

    return await eventually(read, lambda found: state in (None, found["state"]))


async def test_a_signed_callback(client, receiver, secret, end_task) -> None:
    callback = {"url": receiver.url("/hook?a=b")}
    task = await end_task(callback, result={"nodes": 3}, project_id="p-ann", labels='{"run": "7"}')
    hit = await receiver.hit()
    assert hit.line == "POST /hook?a=b HTTP/1.1"
    assert hit.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert hit.headers["content-type"] == "application/json"
    event = Webhook(secret).verify(hit.body, hit.headers)
    assert event["type"] == "task.completed"
    data = event["data"]
    for name in ("created_at", "started_at", "finished_at"):
        assert data.pop(name).endswith("Z")
    assert data == {
        "task_id": task,
        "type": "probe",
        "status": "completed",
        "tenant_id": "t-ann",
        "project_id": "p-ann",
        "labels": {"run": "7"},
        "attempts": 1,
        "error": None,
        "message": None,
        "result": {"nodes": 3},
        "result_omitted": False,
    }
    assert b"private" not in hit.body
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(hit.body + b" ", hit.headers)
    done = await delivery(client, task, "delivered")
    assert (done["status"], done["attempts"], done["id"]) == (204, 1, hit.headers["webhook-id"])
    detail = (await client.get(f"{API}/{done['id']}")).json()
    assert detail["body"] == hit.content


@pytest.mark.parametrize(
    ("how", "events", "event"),
    [
        ("completed", None, "task.completed"),
        ("failed", None, "task.failed"),
        ("stopped", None, "task.stopped"),
        ("failed", ["failed", "stopped"], "task.failed"),
        ("completed", ["failed"], None),
        ("stopped", ["completed"], None),
        ("retried", None, None),
    ],
)
async def test_the_events_that_were_asked_for(database, receiver, secret, end_task, how, events, event) -> None:
    await end_task({"url": receiver.url()} | ({"events": events} if events else {}), how)
    bodies = [orjson.loads(row["body"]) for row in await database.fetch("SELECT body FROM taskgate.delivery")]
    assert [body["type"] for body in bodies] == ([] if event is None else [event])
    if event is not None:
        assert (await receiver.hit()).content["type"] == event
        assert (
            bodies[0]["data"]["error"]
            == {
                "task.completed": None,
                "task.failed": "boom",
                "task.stopped": "Task stopped by user",
            }[event]
        )


async def test_each_end_is_told_of(client, gateway, receiver, secret, end_task, database) -> None:
    """A task that fails, is retried and is stopped then has two ends."""
    task = await end_task({"url": receiver.url()}, "failed")
    await gateway.transitions.retry(task)
    await gateway.transitions.stop(task)
    hits = [await receiver.hit(number) for number in (1, 2)]
    assert sorted(hit.content["type"] for hit in hits) == ["task.failed", "task.stopped"]
    assert hits[0].headers["webhook-id"] != hits[1].headers["webhook-id"]


RESULTS = [
    ({"text": "x" * 70_000}, True),
    ({"odd": "\ud800", "big": 10**30}, False),
    ({"nul": "\x00"}, False),
]


async def test_odd_and_large_results(receiver, secret, end_task) -> None:
    """What the task is cannot keep it from ending, nor its receiver from hearing of it."""
    for number, (result, omitted) in enumerate(RESULTS, start=1):
        await end_task({"url": receiver.url()}, result=result)
        hit = await receiver.hit(number)
        Webhook(secret).verify(hit.body, hit.headers)
        data = json.loads(hit.body)["data"]
        assert data["result_omitted"] is omitted
        assert data["result"] == (None if omitted else result)


async def test_failed_attempts_are_repeated_under_the_same_id(client, receiver, secret, end_task) -> None:
    receiver.answers += ["500 Oops", "302 Found\r\nLocation: http://127.0.0.1/", "404 Not Found"]
    task = await end_task({"url": receiver.url()})
    hits = [await receiver.hit(number) for number in (1, 2, 3, 4)]
    assert len({hit.headers["webhook-id"] for hit in hits}) == 1
    assert len({hit.body for hit in hits}) == 1
    done = await delivery(client, task, "delivered")
    assert (done["attempts"], done["error"]) == (4, None)


async def test_gone_is_given_up_at_once_and_can_be_sent_again(client, receiver, secret, end_task, database) -> None:
    receiver.answers += ["410 Gone"]
    task = await end_task({"url": receiver.url()})
    dead = await delivery(client, task, "dead")
    assert (dead["attempts"], dead["status"]) == (1, 410)
    assert (await client.post(f"{API}/{dead['id']}/resend")).status_code == 202
    again = await receiver.hit(2)
    assert again.headers["webhook-id"] == dead["id"]
    await delivery(client, task, "delivered")
    audit = await database.fetchrow("SELECT who, scope FROM taskgate.ledger WHERE kind = 'callback.resend'")
    assert tuple(audit) == ("ann", f"callback:{dead['id']}")


async def test_all_are_sent_again_once_though_their_receiver_ends_each_at_once(
    client, receiver, secret, end_task
) -> None:
    receiver.answers += ["410 Gone"] * 200
    tasks = [await end_task({"url": receiver.url()}) for _ in range(3)]
    step: dict[str, Any] = {"limit": 2}
    resent = []
    for _ in range(50):
        for task in tasks:
            await delivery(client, task, "dead")
        answer = (await client.post(f"{API}/resend", json=step)).json()
        resent.append(answer.pop("resent"))
        if resent[-1] == 0:
            break
        step |= answer
    assert resent == [2, 1, 0]


async def test_given_up_after_so_many_attempts(client, receiver, secret, end_task) -> None:
    receiver.answers += ["503 Busy"] * 12
    task = await end_task({"url": receiver.url()})
    dead = await delivery(client, task, "dead")
    assert (dead["attempts"], dead["status"], dead["error"]) == (12, 503, "answered 503")
    assert (await client.post(f"{API}/resend", json={})).json()["resent"] == 1
    assert (await client.post(f"{API}/resend", json={"task_id": "other"})).json()["resent"] == 0
    await delivery(client, task, "delivered")


async def test_retry_after_is_honoured(client, receiver, secret, end_task, database) -> None:
    receiver.answers += ["429 Slow\r\nRetry-After: 7000"]
    task = await end_task({"url": receiver.url()})
    await receiver.hit()
    await eventually(lambda: delivery(client, task), lambda found: found["status"] == 429)
    seconds = await database.fetchval("SELECT extract(epoch FROM due_at - tried_at)::float8 FROM taskgate.delivery")
    assert 6_990 < seconds < 7_010
    assert (await client.post(f"{API}/{(await delivery(client, task))['id']}/resend")).status_code == 409


async def test_nobody_waits_for_a_slow_receiver(open_receiver, client, receiver, secret, end_task) -> None:
    async with open_receiver() as slow:
        slow.answers += [None] * 40
        for _ in range(40):
            await end_task({"url": slow.url()})
        await slow.hit(4)
        task = await end_task({"url": receiver.url()})
        await receiver.hit()
        await delivery(client, task, "delivered")
        # One receiver never takes more than its share of attempts.
        assert len(slow.hits) == 4


async def test_no_more_attempts_at_once_than_promised(
    open_receiver, client, gateway, secret, end_task, database
) -> None:
    """Those that are under way count, when others come due together."""
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(open_receiver()) for _ in range(4)]
        for server in slow:
            server.answers += ["410 Gone"] * 5 + [None] * 20
            for _ in range(5):
                await end_task({"url": server.url()})

        async def dead() -> int:
            return int(await database.fetchval("SELECT count(*) FROM taskgate.delivery WHERE state = 'dead'"))

        async def hits() -> int:
            return sum(len(server.hits) for server in slow)

        await eventually(dead, lambda found: found == 20)
        for server in (*slow, slow[0], slow[0]):
            await end_task({"url": server.url()})
        await eventually(hits, lambda found: found == 26)
        assert (await client.post(f"{API}/resend", json={})).json()["resent"] == 20
        await eventually(hits, lambda found: found >= 32)
        assert gateway.deliverer._tenants.total() == OF_TENANT
        assert max(gateway.deliverer._receivers.values()) <= OF_RECEIVER


async def test_two_gateways_send_it_once(run_gateway, client, receiver, secret, end_task, database) -> None:
    for _ in range(2):
        await run_gateway()
    for _ in range(30):
        await end_task({"url": receiver.url()})
    await receiver.hit(30)
    await eventually(
        lambda: database.fetchval("SELECT count(*) FROM taskgate.delivery WHERE state <> 'delivered'"),
        lambda found: not found,
    )
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == len(receiver.hits) == 30


async def test_what_a_dead_gateway_was_sending_is_sent_by_another(client, receiver, secret, end_task, database) -> None:
    receiver.answers += [None]
    task = await end_task({"url": receiver.url()})
    await receiver.hit()
    # As if its sender had died: the attempt's time is over.
    await database.execute("UPDATE taskgate.delivery SET due_at = now()")
    await receiver.hit(2)
    assert (await delivery(client, task, "delivered"))["attempts"] == 2


async def test_a_receiver_that_is_not_there(client, receiver, secret, end_task) -> None:
    task = await end_task({"url": "http://127.0.0.1:1/"})
    await eventually(lambda: delivery(client, task), lambda found: found["attempts"] >= 2)
    assert "no connection" in (await delivery(client, task))["error"]


async def test_without_a_secret_nothing_is_sent_until_there_is_one(client, receiver, end_task) -> None:
    task = await end_task({"url": receiver.url()})
    await eventually(lambda: delivery(client, task), lambda found: found["error"] is not None)
    assert receiver.hits == []
    made = (await client.post("/gateway/v1/tenants/t-ann/webhook-secret")).json()
    hit = await receiver.hit()
    Webhook(made["secret"]).verify(hit.body, hit.headers)


async def test_what_guardrails_tell_is_signed_with_the_operators_secret(run_gateway, receiver, database) -> None:
    secret = create_secret()
    gateway = await run_gateway(guardrail_webhook_url=receiver.url("/ops"), guardrail_webhook_secret=secret)
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    await gateway.guardrails.unfreeze("ada", Unfreeze(why="temporal is back"))
    hit = await receiver.hit()
    event = Webhook(secret).verify(hit.body, hit.headers)
    assert event["type"] == "guardrail.unfrozen"
    assert event["data"] == {"tenant_id": None, "why": "temporal is back", "who": "ada", "evidence": {}}


async def test_whose_callbacks_change_is_told_and_no_more_often_than_needed(
    gateway, receiver, secret, end_task
) -> None:
    await gateway.feed.start()
    await gateway.feed.wait_listening()
    heard = gateway.news_watch.subscribe().open()
    for _ in range(20):
        await end_task({"url": receiver.url("/hook")})
    for _ in range(20):
        await receiver.hit()
    pieces, told = set(), 0
    while gateway.teller.is_telling:
        if (news := await heard.changes(0.05)) is not None:
            pieces |= set(news.items)
            told += 1
    assert pieces == {Piece(Topic.CALLBACK, "t-ann")}
    assert 1 <= told <= 10, "they are gathered: there were 40 changes"


async def test_the_operators_secret_signs_nothing_else(run_gateway, receiver, database) -> None:
    await run_gateway(guardrail_webhook_secret=create_secret())
    await database.execute(
        "INSERT INTO taskgate.delivery (id, task_id, tenant_id, event, url, receiver, body)"
        " VALUES ('msg_1', 'x', NULL, 'completed', $1, 'r', '{}')",
        receiver.url("/hook"),
    )
    error = await eventually(
        lambda: database.fetchval("SELECT error FROM taskgate.delivery WHERE id = 'msg_1'"), lambda found: found
    )
    assert "no webhook secret" in error
    assert receiver.hits == []
