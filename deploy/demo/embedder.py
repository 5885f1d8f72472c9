"""Vectors from feature hashing, where no embedding model is at hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import numpy as np
from graphiti_core.embedder.client import EmbedderClient
from sklearn.feature_extraction.text import HashingVectorizer

log = logging.getLogger(__name__)


class HashingEmbedder(EmbedderClient):
    """Texts that share spelling are close; meaning plays no part. Vectors have unit length."""

    def __init__(self, dimensions: int) -> None:
        self._vectorizer = HashingVectorizer(n_features=dimensions, analyzer="char_wb", ngram_range=(3, 4))
        log.info("vectors come from feature hashing; set TASKGATE_EMBEDDER_URL for real embeddings")

    async def create(self, input_data: str | list[str] | Iterable[int] | Iterable[Iterable[int]]) -> list[float]:
        """The vector of a text; of the first one when several are given, like graphiti's other embedders."""
        text = input_data if isinstance(input_data, str) else str(next(iter(input_data), ""))
        return (await self.create_batch([text]))[0]

    async def create_batch(self, input_data_list: list[str]) -> list[list[float]]:
        """A vector for each text; a text without any feature has one too."""
        return await asyncio.to_thread(self._embed, input_data_list) if input_data_list else []

    def _embed(self, texts: list[str]) -> list[list[float]]:
        dense = np.asarray(self._vectorizer.transform(texts).todense())
        dense[~dense.any(axis=1), 0] = 1.0
        vectors: list[list[float]] = dense.tolist()
        return vectors
