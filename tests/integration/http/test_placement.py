"""Contract §4: the tenant of a task, and C1: nobody names what is not theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.access.access import NO_PROJECT, NO_TENANT, Access
from gateway.access.placement import Tier
from gateway.access.verbs import ASKED, Asked, Verb
from gateway.errors import Forbidden
from gateway.storage.database import Database


@pytest.fixture
async def access(database: Database, key: str) -> AsyncIterator[Access]:
    ASKED.set(Asked(Verb.READ))
    access = Access(database)
    yield access
    await access.close()


async def test_who_calls(access: Access, key: str, people: Any) -> None:
    await people.add_member("ann", "t-bob", "guest")
    caller = await access.authenticate(key)
    assert (caller.user_id, caller.is_admin, caller.tenant_ids) == ("ann", False, {"t-ann", "t-bob"})
    assert (await access.authenticate(await people.add_user("root", admin=True))).is_admin


async def test_an_owner_belongs_to_its_tenant_without_a_row_of_membership(
    access: Access, key: str, people: Any
) -> None:
    await people.add_tenant("t-second", "ann")
    assert (await access.authenticate(key)).tenant_ids == {"t-ann", "t-second"}


async def test_the_projects_tenant(access: Access, key: str, people: Any) -> None:
    await people.add_member("ann", "t-bob")
    placement = (await access.admit(key, project_id="p-bob", tenant_id="t-ann")).placement
    assert (placement.tenant_id, placement.project_id, placement.tier) == ("t-bob", "p-bob", Tier.STANDARD)


async def test_the_tenant_named(access: Access, key: str, people: Any) -> None:
    await people.add_member("ann", "t-bob")
    placement = (await access.admit(key, tenant_id="t-bob")).placement
    assert (placement.tenant_id, placement.project_id, placement.plan) == ("t-bob", None, "free")


async def test_the_callers_own_tenant(access: Access, key: str, people: Any) -> None:
    await people.add_tenant("a-first-by-id", "bob")
    await people.add_member("ann", "a-first-by-id")
    placement = (await access.admit(key)).placement
    assert (placement.tenant_id, placement.tier) == ("t-ann", Tier.ENTERPRISE)
    member = await people.add_user("carl")
    await people.add_member("carl", "t-bob")
    await people.add_member("carl", "t-ann")
    assert (await access.admit(member)).placement.tenant_id == "t-ann"
    assert (await access.admit(await people.add_user("dora"))).placement.tenant_id is None


@pytest.mark.parametrize("project_id", ["p-bob", "p-unknown", "x" * 5000, "ü'\"; --"])
async def test_a_foreign_or_unknown_project(access: Access, key: str, project_id: str) -> None:
    with pytest.raises(Forbidden, match=NO_PROJECT):
        await access.admit(key, project_id=project_id)


@pytest.mark.parametrize("tenant_id", ["t-bob", "t-unknown"])
@pytest.mark.parametrize("project_id", [None, "p-ann"])
async def test_a_foreign_or_unknown_tenant(access: Access, key: str, tenant_id: str, project_id: str | None) -> None:
    with pytest.raises(Forbidden, match=NO_TENANT):
        await access.admit(key, project_id=project_id, tenant_id=tenant_id)


async def test_a_public_project_is_not_open_to_everybody(access: Access, key: str, people: Any) -> None:
    await people.add_project("p-public", "t-bob", "bob", is_public=True)
    with pytest.raises(Forbidden):
        await access.admit(key, project_id="p-public")


async def test_roads_to_a_project(access: Access, key: str, people: Any) -> None:
    await people.add_project("p-own", "t-bob", "ann")
    await people.add_project("p-invited", "t-bob", "bob")
    await people.add_project_member("ann", "p-invited", "viewer")
    assert (await access.admit(key, project_id="p-own")).project_role == "owner"
    assert (await access.admit(key, project_id="p-invited")).project_role == "viewer"
    colleague = await people.add_user("carl")
    await people.add_member("carl", "t-ann", "guest")
    assert (await access.admit(colleague, project_id="p-ann")).project_role is None


async def test_an_administrator_may_name_any_that_exists(access: Access, people: Any) -> None:
    key = await people.add_user("root", admin=True)
    assert (await access.admit(key, project_id="p-bob")).placement.tenant_id == "t-bob"
    assert (await access.admit(key, tenant_id="t-ann")).placement.tenant_id == "t-ann"
    for named in ({"project_id": "p-unknown"}, {"tenant_id": "t-unknown"}):
        with pytest.raises(Forbidden):
            await access.admit(key, **named)


async def test_place_answers_as_admit_does(access: Access, key: str) -> None:
    caller = await access.authenticate(key)
    for named in ({}, {"project_id": "p-ann"}, {"tenant_id": "t-ann"}, {"project_id": ""}):
        assert await access.place(caller, **named) == (await access.admit(key, **named)).placement
    with pytest.raises(Forbidden):
        await access.place(caller, "p-bob")


async def test_text_that_postgresql_cannot_hold_names_nothing(access: Access, key: str) -> None:
    for text in ("p\0", "\ud800"):
        with pytest.raises(Forbidden):
            await access.admit(key, project_id=text)
        with pytest.raises(Forbidden):
            await access.admit(key, tenant_id=text)
