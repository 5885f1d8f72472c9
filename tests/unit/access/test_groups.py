"""Quirk G1: which group of the graph is a tenant's alone."""

from __future__ import annotations

import pytest
from graphiti_core.helpers import validate_group_id

from gateway.access.admission import Admission
from gateway.access.groups import SHARED_GROUP, covers_tenant, own_group
from gateway.access.placement import Caller, Placement


def admission(own: str, *, project_id: str | None = None, is_admin: bool = False) -> Admission:
    caller = Caller("u", "k", is_admin, frozenset({"acme"}))
    return Admission(caller, Placement("acme", project_id, None), None, own)


def test_the_id_of_a_tenant_is_its_group() -> None:
    assert own_group("acme_2-B", "ann") == "acme_2-B"


@pytest.mark.parametrize(
    "tenant_id", ["acme corp", "acme:eu", "a.b", "ä", "a\n", "neo4j", "global", own_group("a b", "u"), "x" * 300 + "!"]
)
def test_an_id_that_cannot_be_a_group_is_hashed(tenant_id: str) -> None:
    group = own_group(tenant_id, "ann")
    assert group != tenant_id
    assert validate_group_id(group)
    assert group == own_group(tenant_id, "bob") != own_group(f"{tenant_id}2", "ann")


def test_an_id_that_another_tenants_project_has_is_hashed() -> None:
    assert own_group("acme", "ann", is_taken=True) not in ("acme", own_group("globex", "ann", is_taken=True))


def test_users_without_a_tenant_do_not_share_a_group() -> None:
    groups = {
        own_group(None, "ann"),
        own_group(None, "bob"),
        own_group("ann", "x"),
        own_group("ann", "x", is_taken=True),
    }
    assert len(groups) == 4


@pytest.mark.parametrize("task_type", ["add_episode", "deduplicate_entities", "rebuild_communities", "probe"])
def test_a_project_is_its_group(task_type: str) -> None:
    for is_admin in (False, True):
        assert admission("acme", project_id="p", is_admin=is_admin).group_of(task_type) == "p"


def test_maintenance_by_an_administrator_is_of_everything() -> None:
    types = ("deduplicate_entities", "incremental_refresh", "rebuild_communities", "add_episode", "probe")
    assert [admission("acme", is_admin=True).group_of(name) for name in types] == ["global"] * 3 + ["acme"] * 2
    assert [admission("acme").group_of(name) for name in types] == ["acme"] * 5


def test_one_group_for_all_is_as_the_legacy_system_had_it() -> None:
    types = ("add_episode", "deduplicate_entities", "incremental_refresh", "rebuild_communities")
    assert [admission(SHARED_GROUP).group_of(name) for name in types] == ["neo4j", "neo4j", "neo4j", "global"]


@pytest.mark.parametrize(
    ("task_type", "group", "project", "covers"),
    [
        ("deduplicate_entities", "acme", None, True),
        ("incremental_refresh", "acme", None, True),
        ("rebuild_communities", "acme", None, True),
        ("rebuild_communities", "p", "p", False),
        ("rebuild_communities", "global", None, False),
        ("deduplicate_entities", "neo4j", None, False),
        ("add_episode", "acme", None, False),
    ],
)
def test_maintenance_covers_a_tenant(task_type: str, group: str, project: str | None, covers: bool) -> None:
    assert covers_tenant(task_type, group, project) is covers
