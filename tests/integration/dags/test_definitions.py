"""Definitions over HTTP: faults, versions, differences, rollback, and whose they are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from contracts.people import Household
from gateway.dags.adoption import run_in
from gateway.dags.errors import DagInvalid
from gateway.dags.limits import Limits
from gateway.dags.store import SQL, DagStore
from gateway.storage.database import Database

YAML = {"Content-Type": "application/yaml"}
ONE = "nodes:\n  a: {type: add_episode}\n  b: {type: rebuild_communities, needs: [a]}\n"
TWO = "nodes:\n  a: {type: add_episode, priority: 1}\n  c: {type: rebuild_communities, needs: [a]}\n"


async def apply(client: httpx.AsyncClient, name: str, text: str, status: int = 201, **query: Any) -> dict[str, Any]:
    answer = await client.put(f"/gateway/v1/dags/{name}", content=text, headers=YAML, params=query)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def test_a_definition_and_its_versions(client: httpx.AsyncClient) -> None:
    first = await apply(client, "import", ONE, label="first")
    assert (first["version"], first["needs"], first["label"], first["source"]) == (
        1,
        {"a": [], "b": ["a"]},
        "first",
        ONE,
    )
    again = await apply(client, "import", ONE + "# the same\n", status=200)
    assert (again["version"], again["is_new"]) == (1, False)
    assert (await apply(client, "import", TWO))["version"] == 2

    versions = (await client.get("/gateway/v1/dags/import/versions")).json()["versions"]
    assert [(one["version"], one["is_current"], one["label"]) for one in versions] == [
        (2, True, None),
        (1, False, "first"),
    ]
    changed = (await client.get("/gateway/v1/dags/import/diff", params={"before": "first"})).json()
    assert (changed["before"], changed["after"]) == (1, 2)
    assert [(one["op"], one["place"]) for one in changed["changes"]] == [
        ("add", "/nodes/a/priority"),
        ("remove", "/nodes/b"),
        ("add", "/nodes/c"),
    ]

    back = await client.post("/gateway/v1/dags/import/rollback", json={"version": "first"})
    assert back.json()["version"] == 1
    listed = (await client.get("/gateway/v1/dags")).json()["dags"]
    assert [(dag["name"], dag["version"], dag["latest"]) for dag in listed if not dag["built_in"]] == [("import", 1, 2)]
    # A new version counts on, whatever is in use.
    assert (await apply(client, "import", ONE.replace("a}", "a, priority: 5}") + "  d: {type: add_episode}\n"))[
        "version"
    ] == 3


async def test_who_was_slower_overwrites_nothing(client: httpx.AsyncClient) -> None:
    await apply(client, "shared", ONE, base=0)
    await apply(client, "shared", TWO, base=1)
    refused = await apply(client, "shared", ONE, status=409, base=1)
    assert refused["type"] == "urn:taskgate:error:dag_changed"
    assert "Version 2" in refused["detail"]
    assert (await client.get("/gateway/v1/dags/shared")).json()["version"] == 2
    await client.post("/gateway/v1/dags/shared/rollback", json={"version": "1"})
    await apply(client, "shared", ONE + "  d: {type: add_episode}\n", status=409, base=2)
    await client.delete("/gateway/v1/dags/shared")
    await apply(client, "shared", TWO, status=409, base=1)
    assert (await apply(client, "shared", TWO, base=0))["version"] == 3


async def test_the_list_says_what_a_node_may_be(client: httpx.AsyncClient) -> None:
    assert "add_episode" in (await client.get("/gateway/v1/dags")).json()["task_types"]


async def test_versions_never_change(client: httpx.AsyncClient, gateway: Any) -> None:
    import asyncpg

    await apply(client, "fixed", ONE)
    with pytest.raises(asyncpg.RaiseError, match="never changes"):
        await gateway.database.execute("UPDATE taskgate.dag_version SET definition = '{}'")


async def test_faults_are_told_with_their_places(client: httpx.AsyncClient) -> None:
    bad = "nodes:\n  a: {type: nope, needs: [b]}\n  b: {type: add_episode, needs: [a]}\n"
    answer = await client.post("/gateway/v1/dags/validate", content=bad, headers=YAML)
    assert answer.status_code == 200
    assert [(one["code"], one["place"], one["line"]) for one in answer.json()["faults"]] == [
        ("unknown_type", "/nodes/a/type", 2),
        ("cycle", "/nodes/a/needs", 2),
    ]
    answer = await client.put("/gateway/v1/dags/bad", content=bad, headers=YAML)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:taskgate:error:dag_invalid"
    assert len(answer.json()["faults"]) == 2
    good = await client.post(
        "/gateway/v1/dags/validate", json={"nodes": {"a": {"type": "nope"}}}, params={"any_types": 1}
    )
    assert good.json() == {"valid": True, "faults": [], "nodes": 1, "needs": {"a": []}}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe", "application/yaml"),
        (b"", "application/yaml"),
        (b"[]", "application/json"),
        (b"{", "application/json"),
        (b'{"nodes": {"a": {"type": "\\u0000"}}}', "application/json"),
        (b'{"description": "a\\u0000b", "nodes": {"a": {"type": "add_episode"}}}', "application/json"),
        (b'{"nodes": {"a": {"type": "add_episode"}, "a": {"type": "rebuild_communities"}}}', "application/json"),
        (
            b'{"nodes": {"a": {"type": "add_episode", "input": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}}}",
            "application/json",
        ),
        (b'{"nodes": {"a": {"type": "add_episode", "input": {"x": 18446744073709551616}}}}', "application/json"),
        (b"null", "application/yaml"),
        (b"nodes: {a: {type: add_episode, when: 'nodes.a.result'}}", "application/yaml"),
        (b"nodes: {a: {type: add_episode}}\nname: other", "application/yaml"),
    ],
)
async def test_bad_documents(client: httpx.AsyncClient, body: bytes, content_type: str) -> None:
    answer = await client.put("/gateway/v1/dags/bad", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422, answer.text
    checked = await client.post("/gateway/v1/dags/validate", content=body, headers={"Content-Type": content_type})
    assert checked.status_code in (200, 422), checked.text


async def test_what_an_older_release_took_hides_no_other(
    client: httpx.AsyncClient, database: Database, home: Household
) -> None:
    await apply(client, "sound", "description: fine\n" + ONE)
    for name, description in (("nul", r"a\u0000b"), ("backslash", r"a\\u0000b")):
        definition = f'{{"description": "{description}", "nodes": {{"a": {{"type": "add_episode"}}}}}}'
        plan = '{"needs": {"a": []}, "subs": {}, "nodes": 1, "depth": 1}'
        await database.execute(SQL.add_dag, home.tenant_id, name)
        await database.execute(SQL.add_version, home.tenant_id, name, 1, definition, None, plan, "d", None, "ann")
        await database.execute(SQL.point_dag, home.tenant_id, name, 1)
    listed = await client.get("/gateway/v1/dags")
    assert listed.status_code == 200, listed.text
    described = {dag["name"]: dag["description"] for dag in listed.json()["dags"] if not dag["built_in"]}
    assert described == {"sound": "fine", "nul": "a\0b", "backslash": r"a\u0000b"}


async def test_dags_inside_are_pinned_and_counted(client: httpx.AsyncClient) -> None:
    await apply(
        client, "inner", "params: {n: {type: integer}}\nnodes: {a: {type: add_episode}, b: {type: add_episode}}"
    )
    outer = await apply(client, "outer", "nodes: {x: {dag: inner, input: {n: 1}}}")
    assert (outer["subs"], outer["nodes"]) == ({"x": "inner@1"}, 3)
    await apply(client, "inner", "nodes: {a: {type: add_episode}}")
    assert (await client.get("/gateway/v1/dags/outer")).json()["subs"] == {"x": "inner@1"}
    bomb = "nodes: {" + ", ".join(f"n{i}: {{dag: inner@1, input: {{n: 1}}}}" for i in range(20)) + "}"
    answer = await client.put("/gateway/v1/dags/bomb", content=bomb, headers=YAML)
    assert [one["code"] for one in answer.json()["faults"]] == ["limit"]
    answer = await client.put("/gateway/v1/dags/deep", content="nodes: {x: {dag: outer}}", headers=YAML)
    assert "3 deep" in answer.json()["faults"][0]["message"]
    # A DAG that names itself means its version before this one: there is no recursion.
    again = await apply(client, "inner", "nodes: {x: {dag: inner@1, input: {n: 2}}}")
    assert again["subs"] == {"x": "inner@1"}


async def test_a_retired_dag_is_gone_until_it_is_applied_again(client: httpx.AsyncClient) -> None:
    await apply(client, "old", ONE)
    assert (await client.delete("/gateway/v1/dags/old")).status_code == 204
    assert (await client.delete("/gateway/v1/dags/old")).status_code == 404
    assert (await client.get("/gateway/v1/dags/old")).status_code == 404
    assert (await client.get("/gateway/v1/dags/old", params={"version": "1"})).status_code == 200
    assert (await apply(client, "old", ONE))["version"] == 2


async def test_other_tenants_see_nothing(client: httpx.AsyncClient, home: Household, stranger: Household) -> None:
    await apply(client, "mine", ONE)
    other = stranger.member.headers
    assert (await client.get("/gateway/v1/dags/mine", headers=other)).status_code == 404
    asked = {"tenant_id": home.tenant_id}
    assert (await client.get("/gateway/v1/dags/mine", headers=other, params=asked)).status_code == 403
    assert (await client.put("/gateway/v1/dags/mine", headers=other, params=asked, content=TWO)).status_code == 403
    assert (await client.get("/gateway/v1/dags/mine", headers=home.member.headers)).status_code == 200
    assert (await client.get("/gateway/v1/dags/schema", headers={"Authorization": ""})).status_code == 401


async def test_the_schema_is_published(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/gateway/v1/dags/schema")).json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "for_each" in schema["$defs"]["Node"]["properties"]


async def test_parameters_that_no_run_could_keep(
    client: httpx.AsyncClient, database: Database, home: Household
) -> None:
    """A task's payload may have been written by a legacy producer."""
    await apply(client, "kept", "params: {n: {}}\nnodes: {a: {type: add_episode}}")
    store = DagStore(database, Limits(), known_types=())
    task = {"task_type": "taskgate.dag", "tenant_id": home.tenant_id, "is_node": False}
    for value in ("18446744073709551617", '"\\ud800"', "[" * 300 + "]" * 300):
        payload = f'{{"dag": "kept", "params": {{"n": {value}}}}}'
        with pytest.raises(DagInvalid, match="The parameters hold integers beyond 64 bits"):
            await run_in(store, {**task, "payload": payload})
