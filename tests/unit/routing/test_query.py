from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.query import RouteQuery, Scope, scopes_of

names = st.one_of(st.none(), st.sampled_from(["a", "b"]))
scopes = st.builds(Scope, names, names, names)
queries = st.builds(RouteQuery, tenant_id=names, task_type=st.sampled_from(["a", "b"]), project_id=names)


@given(queries)
def test_scopes_of_a_task_are_those_that_cover_it_the_most_specific_first(query: RouteQuery) -> None:
    fields = [(None, "a", "b")] * 3
    covering = [scope for values in itertools.product(*fields) if (scope := Scope(*values)).covers(query)]
    assert list(scopes_of(query)) == sorted(covering, key=lambda scope: -scope.rank)


@given(queries, scopes, scopes)
def test_no_two_scopes_of_a_task_are_equally_specific(query: RouteQuery, one: Scope, other: Scope) -> None:
    if one != other and one.covers(query) and other.covers(query):
        assert one.rank != other.rank


def test_specificity() -> None:
    ordered = [
        Scope("t", "p", "k"),
        Scope("t", "p"),
        Scope(None, "p", "k"),
        Scope("t", None, "k"),
        Scope(None, "p"),
        Scope("t"),
        Scope(None, None, "k"),
        Scope(),
    ]
    assert sorted(ordered, key=lambda scope: -scope.rank) == ordered


def test_scopes_in_words() -> None:
    assert str(Scope("acme", "p1", "add_episode")) == "project p1, tenant acme, type add_episode"
    assert str(Scope()) == "default"
