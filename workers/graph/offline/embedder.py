"""`OfflineHashingEmbedder`: vectors from feature hashing, where no embedding model is at hand."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from graphiti_core.embedder.client import EmbedderClient

log = logging.getLogger(__name__)

#: Share of whole words in a vector; the rest is pieces of words, so that inflections stay close.
WORD_WEIGHT = 0.6


class OfflineHashingEmbedder(EmbedderClient):
    """Hashes words and character n-grams into a vector of unit length (scikit-learn's `HashingVectorizer`).

    Texts that share words or spelling are close; meaning plays no part. Needs no model and no network.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._lock = threading.Lock()
        self._vectorizers: tuple[Any, Any] | None = None

    async def create(self, input_data: str | list[str] | Iterable[int] | Iterable[Iterable[int]]) -> list[float]:
        """The vector of a text; of the first one when several are given, like graphiti's other embedders."""
        text = input_data if isinstance(input_data, str) else str(next(iter(input_data), ""))
        return (await self.create_batch([text]))[0]

    async def create_batch(self, input_data_list: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self.embed, list(input_data_list))

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Vectors of unit length, never of zeros: a text without any feature has a vector too."""
        if not texts:
            return []
        words, pieces = self._load()
        matrix = WORD_WEIGHT * words.transform(texts) + (1 - WORD_WEIGHT) * pieces.transform(texts)
        dense = np.asarray(matrix.todense(), dtype=np.float64)
        lengths = np.linalg.norm(dense, axis=1)
        dense[lengths == 0, 0] = 1.0
        lengths[lengths == 0] = 1.0
        vectors: list[list[float]] = (dense / lengths[:, None]).tolist()
        return vectors

    def _load(self) -> tuple[Any, Any]:
        """scikit-learn takes seconds to import, so it is imported by the first text, in its thread."""
        with self._lock:
            if self._vectorizers is None:
                from sklearn.feature_extraction.text import HashingVectorizer

                log.warning(
                    "OfflineHashingEmbedder in use: %d-dimensional vectors from feature hashing, which know spelling, "
                    "not meaning. Set TASKGATE_EMBEDDER_URL (any OpenAI-compatible server) for real embeddings.",
                    self.dimensions,
                )
                shape = {"n_features": self.dimensions, "alternate_sign": True, "norm": "l2"}
                self._vectorizers = (
                    HashingVectorizer(analyzer="word", token_pattern=r"(?u)\b\w+\b", **shape),
                    HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), **shape),
                )
            return self._vectorizers
