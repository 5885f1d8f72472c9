"""`taskgate dead-letter …` and `taskgate callback …` against a gateway on a real port."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(autouse=True)
def _as_ann(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", key)


async def test_dead_letters(run, fail_task, database) -> None:
    first, second, third = [await fail_task(tenant_id="t-ann", task_type="one") for _ in range(3)]
    await fail_task("other", tenant_id="t-ann", task_type="two", labels='{"a": "b"}')
    code, text = await run("dead-letter", "list", "--type", "one", "--error", "BOOM")
    assert code == 0, text
    assert [word in text for word in (first, second, third, "not_retryable", "RuntimeError")] == [True] * 5
    assert (await run("dead-letter", "list", "--label", "a:c"))[1] == "no dead letters\n"
    assert len(json.loads((await run("dead-letter", "list", "--json", "--label", "a:b"))[1])) == 1
    code, text = await run("dead-letter", "show", first)
    assert json.loads(text)["history"][0]["error"] == "boom"
    assert await run("dead-letter", "show", first, "--json") == (code, text)

    code, text = await run("dead-letter", "redrive", first, second, "--dry-run")
    assert (code, text.startswith("2 dead letters, e.g. ")) == (0, True)
    assert await database.fetchval("SELECT count(*) FROM taskgate.dead_letter WHERE state <> 'open'") == 0
    code, text = await run("dead-letter", "redrive", first, "--patch", '{"name": "n"}', "--why", "typo")
    assert (code, text) == (0, f"redriven {first}: task {first}\n")
    assert (await run("dead-letter", "redrive", first))[0] == 2
    dry = json.loads((await run("dead-letter", "redrive", "--all", "--type", "two", "--dry-run", "--json"))[1])
    assert dry["total"] == 1
    code, text = await run("dead-letter", "redrive", second, "--to", "temporal")
    assert (code, text) == (2, "error: At stage off nothing is started on temporal\n")
    assert (await run("dead-letter", "redrive", "--all", "--type", "one", "--dry-run"))[1].startswith("2 dead letters")
    code, text = await run("dead-letter", "redrive", "--all", "--type", "one", "--spread", "60", "--no-wait")
    assert (code, "running: 0 done of 2" in text) == (0, True)

    assert (await run("dead-letter", "dismiss", "--all", "--type", "two"))[1] == "dismiss: 1 of 1 dead letters\n"
    purge = ("dead-letter", "purge", "--all", "--state", "dismissed")
    assert (await run(*purge, "--dry-run"))[1] == "1 dead letters\n"
    assert json.loads((await run(*purge, "--dry-run", "--json"))[1]) == {"matched": 1, "removed": 0}
    assert (await run(*purge))[1] == "purge: 1 of 1 dead letters\n"
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 4
    assert (await run("dead-letter", "show", "none")) == (2, "error: There is no such dead letter\n")
    for mistake in (("purge",), ("purge", "--all", first), ("redrive", first, "--type", "one"), ("redrive",)):
        assert (await run("dead-letter", *mistake))[0] == 2


async def test_groups(run, fail_task) -> None:
    await fail_task("no\x1b[31m page", "KeyError", tenant_id="t-ann", task_type="one")
    await fail_task("disk", "OSError", tenant_id="t-ann", task_type="two")
    code, text = await run("dead-letter", "groups")
    assert code == 0, text
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["OSError", "KeyError"]
    found = json.loads((await run("dead-letter", "groups", "--error-type", "KeyError", "--json"))[1])
    assert [(one["error_type"], one["letters"]) for one in found["groups"]] == [("KeyError", 1)]
    assert (await run("dead-letter", "groups", "--untyped"))[1] == "no dead letters\n"


async def test_callbacks(run, fail_task, database) -> None:
    assert "--rotate" in (await run("callback", "secret", "--tenant", "t-ann"))[1]
    assert (await run("callback", "secret", "--tenant", "t-ann", "--rotate"))[1].startswith("whsec_")
    assert "ann" in (await run("callback", "secret", "--tenant", "t-ann"))[1]
    [kept] = json.loads((await run("callback", "secret", "--tenant", "t-ann", "--json"))[1])
    made = json.loads((await run("callback", "secret", "--tenant", "t-ann", "--rotate", "--json"))[1])
    assert (kept["created_by"], made["secret"][:6]) == ("ann", "whsec_")
    assert (await run("callback", "secret", "--tenant", "t-bob"))[0] == 2
    task = await fail_task(tenant_id="t-ann", callback='{"url": "http://127.0.0.1:1/"}')
    await database.execute("UPDATE taskgate.delivery SET state = 'dead', error = 'gone'")
    found = json.loads((await run("callback", "list", "--state", "dead", "--json"))[1])
    assert (found[0]["task_id"], found[0]["error"]) == (task, "gone")
    assert found[0]["url"] in (await run("callback", "list", "--task", task))[1]
    shown = json.loads((await run("callback", "show", found[0]["id"]))[1])
    assert shown["body"]["type"] == "task.failed"
    assert (await run("callback", "resend", found[0]["id"]))[1] == f"sent again: {found[0]['id']}\n"
    await database.execute("UPDATE taskgate.delivery SET state = 'dead'")
    assert json.loads((await run("callback", "resend", found[0]["id"], "--json"))[1]) == [{"id": found[0]["id"]}]
    assert json.loads((await run("callback", "resend", "--dead", "--task", "none", "--json"))[1]) == {"resent": 0}
    # However fast it is given up again, it is sent once.
    await database.execute("UPDATE taskgate.delivery SET state = 'dead', ended_at = now()")
    await database.execute(
        "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.state = 'dead'; NEW.ended_at = clock_timestamp(); RETURN NEW; END $$"
    )
    await database.execute(
        "CREATE TRIGGER gone BEFORE UPDATE ON taskgate.delivery FOR EACH ROW WHEN (NEW.state = 'pending')"
        " EXECUTE FUNCTION gone()"
    )
    assert json.loads((await run("callback", "resend", "--dead", "--json"))[1]) == {"resent": 1}
    assert (await run("callback", "resend", "--dead", "--task", "none"))[1] == "sent again: 0 callbacks\n"
    assert (await run("callback", "resend"))[0] == 2
