"""`EmbeddingReranker`: ranks passages by their vectors, so that no reranking model is needed."""

from __future__ import annotations

import numpy as np
from graphiti_core.cross_encoder.client import CrossEncoderClient
from graphiti_core.embedder.client import EmbedderClient


class EmbeddingReranker(CrossEncoderClient):
    """Cosine similarity between the query and each passage, with whichever embedder the graph uses."""

    def __init__(self, embedder: EmbedderClient) -> None:
        self._embedder = embedder

    async def rank(self, query: str, passages: list[str]) -> list[tuple[str, float]]:
        """The passages with their scores (-1 to 1), the best first."""
        if not passages:
            return []
        vectors = np.asarray(await self._embedder.create_batch([query, *passages]), dtype=np.float64)
        lengths = np.linalg.norm(vectors, axis=1)
        lengths[lengths == 0] = 1.0
        unit = vectors / lengths[:, None]
        scores = unit[1:] @ unit[0]
        ranked = sorted(zip(passages, scores.tolist(), strict=True), key=lambda pair: -pair[1])
        return [(passage, float(score)) for passage, score in ranked]
