"""Vectors from feature hashing, and the ranking that stands on them."""

from __future__ import annotations

import math

import pytest

from deploy.demo.embedder import HashingEmbedder
from workers.graph.reranker import EmbeddingReranker


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def embedder() -> HashingEmbedder:
    return HashingEmbedder(256)


@pytest.mark.parametrize("text", ["Alice", "", " ", "!?", "北京", "a" * 100_000])
async def test_every_text_has_a_vector_of_unit_length(embedder: HashingEmbedder, text: str) -> None:
    vector = await embedder.create(text)

    assert len(vector) == 256
    assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-9)


async def test_close_spelling_is_close(embedder: HashingEmbedder) -> None:
    acme, acme_corp, other = await embedder.create_batch(["Acme Corporation", "Acme Corp", "Riverside Park"])

    assert cosine(acme, acme_corp) > 0.5 > cosine(acme, other) + 0.3


async def test_equal_texts_have_equal_vectors(embedder: HashingEmbedder) -> None:
    assert await HashingEmbedder(256).create(["Alice", "Bob"]) == await embedder.create("Alice")


async def test_nothing_to_embed(embedder: HashingEmbedder) -> None:
    assert await embedder.create_batch([]) == []


async def test_passages_are_ranked_by_likeness(embedder: HashingEmbedder) -> None:
    ranked = await EmbeddingReranker(embedder).rank("Acme Corp", ["Riverside Park", "Acme Corporation"])

    assert [passage for passage, _ in ranked] == ["Acme Corporation", "Riverside Park"]
    assert await EmbeddingReranker(embedder).rank("Acme", []) == []
