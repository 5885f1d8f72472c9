"""Which names are near-identical."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from graphiti_core.utils.maintenance import dedup_helpers

from gateway.graph.duplicates import (
    DuplicateGroup,
    Entity,
    exact_form,
    find_duplicate_groups,
    group_duplicates,
    is_specific,
    likeness,
    loose_form,
    shingles_of,
)


def grouped(names: list[str], threshold: float = 0.9) -> list[list[str]]:
    entities = [Entity(str(position), name) for position, name in enumerate(names)]
    return [[names[int(uuid)] for uuid in group.uuids] for group in group_duplicates(entities, threshold)]


@pytest.mark.parametrize(
    "names",
    [
        ["Alice", "alice", "ALICE "],
        ["Acme  Corporation", "Acme Corporation"],
        ["Acme Corporation", "Acme Corporation."],
        ["Acme-Corporation", "Acme Corporation"],
        ["International Business Machines Corporation", "International Business Machines Corporation's"],
        ["Зимний дворец музей", "зимний дворец музей!"],
    ],
)
def test_near_identical(names: list[str]) -> None:
    assert grouped(names) == [names]


@pytest.mark.parametrize(
    "names",
    [
        ["Alice", "Bob"],
        ["Ann", "Anna"],
        ["Quarterly report of the Berlin office 2023", "Quarterly report of the Berlin office 2024"],
        ["Проект 2024 alpha beta", "Задача 2024 alpha beta"],
        ["北京", "上海"],
        ["", ""][:1],
        [],
    ],
)
def test_different(names: list[str]) -> None:
    assert grouped(names) == []


def test_threshold_decides() -> None:
    names = ["Acme Corporation", "Acme Corporate"]

    assert grouped(names, 0.9) == []
    assert grouped(names, 0.6) == [names]


def test_the_oldest_leads_and_no_chain_forms() -> None:
    names = ["abcdefghijklmnopqrst", "abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuvwx"]

    assert grouped(names, 0.85) == [names[:2]]


def test_finds_what_comparing_every_pair_finds() -> None:
    """The index of rare shingles loses nothing: same leaders as the plain quadratic way."""
    chance = random.Random(7)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta", "kappa"]
    names = [" ".join(chance.choices(words, k=3)) + chance.choice(["", "s", " x", "!"]) for _ in range(300)]
    helpers = dedup_helpers

    def shingles(name: str) -> set[str]:
        return helpers._shingles(helpers._normalize_name_for_fuzzy(name))

    for threshold in (0.5, 0.7, 0.9, 1.0):
        leaders: list[str] = []
        for name in names:
            if not any(
                helpers._normalize_string_exact(name) == helpers._normalize_string_exact(leader)
                or helpers._jaccard_similarity(shingles(name), shingles(leader)) >= threshold
                for leader in leaders
            ):
                leaders.append(name)
        entities = [Entity(str(position), name) for position, name in enumerate(names)]
        merged = sum(group.count - 1 for group in group_duplicates(entities, threshold))
        assert len(names) - merged == len(leaders)


def test_names_are_compared_as_graphiti_compares_them() -> None:
    chance = random.Random(11)
    names = ["", " ", "a", "ab", "aaaaaaa", "Al Bo", "Acme\tCorp.", "O'Neil & Sons, Inc."]
    names += ["".join(chance.choices("abcAB 12'-._&", k=chance.randrange(1, 20))) for _ in range(500)]
    for name, other in zip(names, reversed(names), strict=True):
        loose = loose_form(name)
        assert exact_form(name) == dedup_helpers._normalize_string_exact(name)
        assert loose == dedup_helpers._normalize_name_for_fuzzy(name)
        assert shingles_of(loose) == dedup_helpers._shingles(loose)
        assert is_specific(loose) == dedup_helpers._has_high_entropy(loose)
        left, right = shingles_of(loose), shingles_of(loose_form(other))
        assert likeness(left, right) == dedup_helpers._jaccard_similarity(set(left), set(right))


class Graph:
    """Answers the one query with rows."""

    def __init__(self, *rows: tuple[str, str, str]) -> None:
        self.rows = rows
        self.asked: dict[str, Any] = {}

    async def execute_query(self, query: str, **parameters: Any) -> Any:
        self.asked = parameters
        return SimpleNamespace(records=[dict(zip(("group_id", "uuid", "name"), row, strict=True)) for row in self.rows])


async def test_groups_do_not_mix() -> None:
    graph = Graph(("g1", "a", "Alice"), ("g1", "b", "alice"), ("g2", "c", "Alice"))

    assert await find_duplicate_groups(graph, ["global"], 0.9) == [DuplicateGroup("Alice", 2, ("a", "b"), "g1")]
    assert graph.asked["group_ids"] is None


async def test_one_group_is_asked_for() -> None:
    graph = Graph()

    assert await find_duplicate_groups(graph, ["g1"], 0.9) == []
    assert graph.asked["group_ids"] == ["g1"]
