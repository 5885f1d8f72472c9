"""Who shares a server with others."""

from __future__ import annotations

from gateway.pacing.recent_tenants import RecentTenants

SECONDS = 5.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_tenant_is_alone_from_the_first() -> None:
    tenants = RecentTenants(SECONDS, Clock())
    assert not any([tenants.note("acme"), tenants.note("acme")])
    assert not tenants.are_several


def test_the_second_is_noticed_once() -> None:
    tenants = RecentTenants(SECONDS, Clock())
    tenants.note("acme")
    assert tenants.note("globex")
    assert not tenants.note("acme")
    assert tenants.are_several


def test_who_was_not_seen_for_long_is_forgotten() -> None:
    clock = Clock()
    tenants = RecentTenants(SECONDS, clock)
    tenants.note("acme")
    clock.now = 3.0
    tenants.note("globex")
    clock.now = 4.0
    tenants.note("acme")
    clock.now = 3.0 + SECONDS
    assert tenants.names == {"acme"}
    assert not tenants.are_several
    clock.now = 4.0 + SECONDS
    assert tenants.names == set()


def test_tasks_of_no_tenant_are_those_of_one() -> None:
    tenants = RecentTenants(SECONDS, Clock())
    tenants.note(None)
    tenants.note("")
    assert tenants.names == {""}
