"""Stage `complete` while tasks are left on Redis, and what the flag's commands say of overrides."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from click.testing import Result
from redis.asyncio import Redis

from backends.redis_queue import dead
from gateway.cli.flags import flags_app
from gateway.cli.route import route_app
from gateway.routing.flag_file import FlagFile
from gateway.routing.overrides import set_override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from tests.integration.conftest import key_of
from workers.testing.waiting import eventually

Run = Callable[..., Awaitable[Result]]
NewTaskRow = Callable[..., Awaitable[str]]
LEFT = "tenant umbrella: 3 tasks still on redis (2 queued, 1 running; 3 probe)"


@pytest_asyncio.fixture
async def run(
    command_line: Run, database: Database, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs `taskgate flags …`, or `taskgate route …` if that is its first word; a gateway follows the flag file."""
    monkeypatch.setenv("TASKGATE_REDIS_URL", redis_server)
    async with Redis.from_url(redis_server) as redis:
        await redis.flushall()
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key, flag_owner)"
        " VALUES ('g1', 'gateway', 'elsewhere', 1, '0', 7, $1)",
        f"file {tmp_path / 'flags.json'}",
    )

    async def run(*arguments: str) -> Result:
        if arguments[0] == "route":
            return await command_line(route_app, *arguments[1:])
        return await command_line(flags_app, *arguments)

    return run


@pytest_asyncio.fixture
async def left(new_task: NewTaskRow) -> None:
    """Three tasks of umbrella on Redis; others that are no reason to wait."""
    for state in ("queued", "queued", "running"):
        await new_task(tenant_id="umbrella", state=state)
    await new_task(tenant_id="umbrella", state="completed")
    await new_task(tenant_id="umbrella", state="queued", backend="temporal")


def stages(tmp_path: Path) -> list[str]:
    return [change.after for change in FlagFile(tmp_path / "flags.json", "task-backend").history()]


@pytest.mark.usefixtures("left")
async def test_complete_is_refused_while_tasks_are_left(run: Run, tmp_path: Path) -> None:
    refused = await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x")
    assert refused.exit_code == 2
    assert LEFT in refused.stderr
    assert "--force" in refused.stderr
    assert stages(tmp_path) == []
    assert (await run("set", "--tenant", "acme", "--stage", "complete", "--why", "x")).exit_code == 0
    assert (await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x", "--force")).exit_code == 0
    assert stages(tmp_path) == ["complete", "complete"]
    # What is stranded already is no reason to refuse what has nothing to do with it.
    assert (await run("set", "--tenant", "acme", "--stage", "live", "--why", "x")).exit_code == 0
    assert f"stranded: {LEFT}" in (await run("show")).stdout
    assert json.loads((await run("show", "--json")).stdout)["stranded"] == [LEFT]


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "--default", "--stage", "complete"),
        ("set", "--tenant", "umbrella", "--type", "probe", "--stage", "complete"),
        ("rollout", "--stage", "complete", "--percent", "100"),
        ("route", "override", "set", "--all", "--stage", "complete"),
        ("route", "override", "set", "--tenant", "umbrella", "--stage", "complete"),
    ],
)
async def test_every_way_to_complete_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    refused = await run(*arguments, "--why", "x")
    assert (refused.exit_code, LEFT in refused.stderr) == (2, True)
    assert (await run(*arguments, "--why", "x", "--force")).exit_code == 0


@pytest.mark.usefixtures("left")
async def test_unset_may_fall_to_complete(run: Run) -> None:
    assert (await run("set", "--tenant", "umbrella", "--stage", "live", "--why", "x")).exit_code == 0
    assert (await run("set", "--default", "--stage", "complete", "--why", "x")).exit_code == 0
    refused = await run("unset", "--tenant", "umbrella", "--why", "x")
    assert (refused.exit_code, LEFT in refused.stderr) == (2, True)


async def test_complete_is_refused_when_nobody_can_see_what_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
    refused = await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x")
    assert refused.exit_code == 2
    assert "the database is not reachable" in refused.stderr
    assert (await run("set", "--tenant", "umbrella", "--stage", "live", "--why", "x")).exit_code == 0


async def test_complete_is_refused_while_redis_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://127.0.0.1:1/0")
    refused = await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x")
    assert (refused.exit_code, "redis does not answer (TASKGATE_REDIS_URL)" in refused.stderr) == (2, True)
    refused = await run("route", "override", "set", "--tenant", "umbrella", "--stage", "complete", "--why", "x")
    assert (refused.exit_code, "redis does not answer (TASKGATE_REDIS_URL)" in refused.stderr) == (2, True)
    assert (await run("set", "--tenant", "umbrella", "--stage", "live", "--why", "x")).exit_code == 0
    monkeypatch.delenv("TASKGATE_REDIS_URL")
    assert (await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x")).exit_code == 0


@pytest.mark.parametrize(
    ("before", "more", "fewer"),
    [
        (
            (("set", "--default", "--stage", "complete"), ("set", "--tenant", "umbrella", "--stage", "live")),
            ("unset", "--tenant", "umbrella"),
            ("set", "--tenant", "umbrella", "--stage", "off"),
        ),
        (
            (("rollout", "--stage", "complete", "--percent", "10"),),
            ("rollout", "--stage", "complete", "--percent", "50"),
            ("rollout", "--stage", "complete", "--percent", "5"),
        ),
    ],
)
async def test_while_redis_does_not_answer_complete_reaches_no_further_by_the_default(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[tuple[str, ...], ...],
    more: tuple[str, ...],
    fewer: tuple[str, ...],
) -> None:
    for arguments in before:
        assert (await run(*arguments, "--why", "x")).exit_code == 0
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://127.0.0.1:1/0")
    refused = await run(*more, "--why", "x")
    assert (refused.exit_code, "redis does not answer (TASKGATE_REDIS_URL)" in refused.stderr) == (2, True)
    assert (await run(*fewer, "--why", "x")).exit_code == 0


@pytest.mark.usefixtures("left")
async def test_while_redis_does_not_answer_what_postgresql_knows_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://127.0.0.1:1/0")
    for command in (("set",), ("route", "override", "set")):
        refused = await run(*command, "--tenant", "umbrella", "--stage", "complete", "--why", "x")
        assert (refused.exit_code, LEFT in refused.stderr) == (2, True)


@pytest.mark.usefixtures("left")
async def test_what_was_pushed_past_the_gateway_is_left_too(run: Run, database: Database, redis_server: str) -> None:
    await database.execute(
        "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ('p-acme', 'acme', 'p', 'u'),"
        " ('p-umbrella', 'umbrella', 'p', 'u')"
    )
    async with Redis.from_url(redis_server) as redis:
        for group, tenant in (("p-umbrella", "umbrella"), ("p-acme", None)):
            facts = {"task_id": "t", "task_type": "add_episode", "timestamp": 1, "tenant_id": tenant}
            await redis.rpush(f"queue:group:{group}", json.dumps(facts))
        await redis.rpush("taskgate:dead", dead.entry("not JSON", b"p-acme", b"{", 1))
    refused = await run("set", "--tenant", "acme", "--stage", "complete", "--why", "x")
    assert refused.exit_code == 2
    line = "tenant acme: 2 tasks still on redis (1 pushed past the gateway, 1 set aside; 1 add_episode, 1 unreadable)"
    assert refused.stderr.splitlines()[1].strip() == line
    refused = await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x")
    assert "tenant umbrella: 4 tasks still on redis (2 queued, 1 running, 1 pushed past the gateway;" in refused.stderr
    assert (await run("set", "--tenant", "acme", "--stage", "complete", "--why", "x", "--force")).exit_code == 0


async def test_an_unknown_tenant_is_refused_unless_insisted_on(run: Run, tmp_path: Path) -> None:
    arguments = ("set", "--tenant", "umbrela", "--stage", "live", "--why", "x")
    refused = await run(*arguments)
    assert (refused.exit_code, stages(tmp_path)) == (2, [])
    assert refused.stderr == "error: there is no tenant 'umbrela'; --force (force: true) sets it all the same\n"
    answer = await run(*arguments, "--force")
    assert (answer.exit_code, stages(tmp_path)) == (0, ["live"])
    assert answer.stderr == "warning: there is no tenant 'umbrela'; it is set all the same\n"


async def test_overrides_are_shown_first_and_stand_in_the_history(run: Run, database: Database) -> None:
    await run("set", "--tenant", "acme", "--stage", "live", "--why", "pilot")
    await set_override(database, Scope("acme"), Stage.OFF, by="bob", why="errors")
    shown = (await run("show")).stdout.splitlines()
    assert shown[1] == "  override above it: tenant acme: off, by bob (errors)"
    changes = json.loads((await run("history", "--json")).stdout)
    assert [(one["who"], one["what"], one["before"], one["after"]) for one in changes] == [
        ("ada", "tenant acme", "not set", "live"),
        ("bob", "override for tenant acme", "not set", "off"),
    ]


@pytest.mark.usefixtures("left", "run")
async def test_a_gateway_names_what_is_stranded_until_nothing_is(
    run: Run, database: Database, database_url: str, redis_server: str, tmp_path: Path, serving: Callable[..., object]
) -> None:
    await run("set", "--tenant", "umbrella", "--stage", "complete", "--why", "x", "--force")
    flags = str(tmp_path / "flags.json")
    async with Redis.from_url(redis_server) as redis:  # else the gateway starts what is gone from there again
        for row in await database.fetch("SELECT task_id, group_id FROM taskgate.dispatch WHERE state = 'queued'"):
            facts = {"task_id": row["task_id"], "task_type": "probe", "timestamp": 1, "dispatch_epoch": 1}
            payload = json.dumps(facts)
            await redis.rpush(f"queue:group:{row['group_id']}", payload)
    async with (
        serving(database_url, redis_server, FLAGS_FILE=flags, RECONCILE_SECONDS="3600") as (_, url),  # type: ignore[attr-defined]
        httpx.AsyncClient(base_url=url) as http,
    ):
        http.headers = {"Authorization": f"Bearer {await key_of(database, 'root', admin=True)}"}
        ready = (await http.get("/gateway/v1/ready")).json()
        assert ready["status"] == "degraded"
        assert f"stranded: {LEFT}, and stage complete gives redis up" in ready["problems"]
        told = (await http.get("/gateway/v1/ready", headers={"Authorization": ""})).json()["problems"]
        assert [line for line in told if "stranded" in line] == [
            "stranded: still on redis, which stage complete gives up: 3 (an administrator's key says which)"
        ]
        await database.execute("UPDATE taskgate.dispatch SET state = 'completed'")

        async def problems() -> list[str]:
            return list((await http.get("/gateway/v1/ready")).json()["problems"])

        await eventually(problems, lambda found: not [one for one in found if "stranded" in one])
