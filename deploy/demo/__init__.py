"""Stand-ins for a language model and an embedder, so that a demo needs no account. Rules for simple English, no more.

Workers use them when `TASKGATE_MODELS_MODULE=deploy.demo` is set and a server is not.
"""

from __future__ import annotations

from deploy.demo.embedder import HashingEmbedder
from deploy.demo.extractor import RuleExtractor


def language_model() -> RuleExtractor:
    """What answers graphiti's prompts."""
    return RuleExtractor()


def embedder(dimensions: int) -> HashingEmbedder:
    """What makes vectors of so many numbers."""
    return HashingEmbedder(dimensions)
