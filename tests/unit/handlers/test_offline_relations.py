"""The rules that find relations between the names of a sentence."""

from __future__ import annotations

import pytest

from workers.graph.offline.names import find_names
from workers.graph.offline.relations import find_relations

Triple = tuple[str, str, str]


def triples(text: str) -> list[Triple]:
    return [(found.source, found.name, found.target) for found in find_relations(find_names(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alice works at Acme.", [("Alice", "WORKS_AT", "Acme")]),
        (
            "Alice works at Acme and lives in Paris.",
            [("Alice", "WORKS_AT", "Acme"), ("Alice", "LIVES_IN", "Paris")],
        ),
        (
            "Alice moved to Berlin from London.",
            [("Alice", "MOVED_TO", "Berlin"), ("Alice", "MOVED_FROM", "London")],
        ),
        ("Alice met Bob. She knows Carol.", [("Alice", "MET", "Bob"), ("Alice", "KNOWS", "Carol")]),
        ("Acme was founded by Alice.", [("Acme", "FOUNDED_BY", "Alice")]),
        ("Acme's CEO is Carol.", [("Acme", "HAS_CEO", "Carol")]),
        (
            "Bob, the CTO of Acme, joined Umbrella.",
            [("Bob", "IS_CTO_OF", "Acme"), ("Bob", "JOINED", "Umbrella")],
        ),
        (
            "Alice, Bob and Carol joined Acme.",
            [("Alice", "JOINED", "Acme"), ("Bob", "JOINED", "Acme"), ("Carol", "JOINED", "Acme")],
        ),
        ("In Berlin, Alice met Bob.", [("Alice", "MET", "Bob"), ("Alice", "MET_IN", "Berlin")]),
        ("Alice does not work at Acme.", [("Alice", "DOES_NOT_WORK_AT", "Acme")]),
        (
            "Alice works at Acme, Bob lives in Paris.",
            [("Alice", "WORKS_AT", "Acme"), ("Bob", "LIVES_IN", "Paris")],
        ),
        ("Nisha: I work at Globex.", [("Nisha", "WORK_AT", "Globex")]),
        ("Acme grew because Globex failed.", []),
        ("Alice; Bob.", []),
    ],
)
def test_subject_verb_object(text: str, expected: list[Triple]) -> None:
    assert triples(text) == expected


def test_facts_are_sentences_and_keep_what_follows() -> None:
    (relation,) = find_relations(find_names("Alice works at Acme as an engineer since 2020."))

    assert relation.fact == "Alice works at Acme as an engineer since 2020"


def test_the_same_text_gives_the_same_relations() -> None:
    text = "Alice met Bob. Bob met Carol, who works at Acme. Acme's CEO is Dave."

    assert triples(text) == triples(text)


def test_no_entity_relates_to_itself() -> None:
    assert all(source != target for source, _, target in triples("Carol Danvers met Carol. Carol knows Carol Danvers."))
