"""The rules that find names."""

from __future__ import annotations

import pytest

from workers.graph.offline.names import find_names


def names(text: str) -> list[str]:
    return list(dict.fromkeys(mention.name for sentence in find_names(text) for mention in sentence.mentions))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alice works at Acme Corp.", ["Alice", "Acme Corp"]),
        ("Yesterday Bob met Carol in Berlin on Monday.", ["Bob", "Carol", "Berlin"]),
        ("The Bank of England hired Ludwig van Beethoven.", ["Bank of England", "Ludwig van Beethoven"]),
        ("Dr. Amara Osei spoke. She left.", ["Dr. Amara Osei"]),
        ('The "falcon heavy" rocket flew.', ["falcon heavy"]),
        ("Write to bob@acme.com or @carol.", ["bob@acme.com", "@carol"]),
        ("They use Neo4j 5 and the iPhone.", ["Neo4j 5", "iPhone"]),
        ("Alice's dog met Bob’s cat.", ["Alice", "Bob"]),
        ("Łukasz met Ángela in Zürich.", ["Łukasz", "Ángela", "Zürich"]),
        ("The CEO of Acme resigned.", ["Acme"]),
        ("Meetings are good. Running helps. The end.", []),
        ("PLEASE READ THIS NOTICE NOW", []),
        ("I think that we should go.", []),
        ('He said "this is not a name, it is a whole sentence of words".', []),
        ("", []),
        ("\n\n \t", []),
    ],
)
def test_finds_names_and_nothing_else(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_one_name_has_one_spelling() -> None:
    assert names("Carol Danvers founded Initech Inc. Carol sold Initech. Later CAROL DANVERS left.") == [
        "Carol Danvers",
        "Initech Inc",
    ]


def test_a_short_name_that_two_people_share_stays_short() -> None:
    assert "Carol" in names("Carol Danvers met Carol Smith. Then Carol left.")


def test_speaker_of_a_dialogue() -> None:
    sentences = find_names("Nisha: I work at Globex. It is fun.\nOwen: Hello there.\nNobody speaks here.")

    assert [sentence.speaker for sentence in sentences] == ["Nisha", "Nisha", "Owen", None]


@pytest.mark.parametrize(
    "text", ["Aa " * 100_000, '"' * 100_000, "Bob and " * 40_000, "a.b" * 100_000, "@" * 50_000 + "a@b." * 10_000]
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    """Finishes at all: a quadratic rule would take minutes on these."""
    assert len(find_names(text)) >= 1
