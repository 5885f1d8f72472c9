"""`OfflineRuleBasedExtractor`: stands where graphiti calls a language model, and answers from rules."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from graphiti_core.llm_client import LLMClient, LLMConfig
from graphiti_core.llm_client.config import ModelSize
from graphiti_core.prompts.models import Message
from pydantic import BaseModel

from workers.graph.offline.answers import ANSWERS, attributes

log = logging.getLogger(__name__)


class OfflineExtractorLimit(Exception):
    """The offline extractor has no rule for what was asked; set TASKGATE_LLM_URL."""


class OfflineRuleBasedExtractor(LLMClient):
    """Finds English names and subject-verb-object relations with rules. No language model, no network, no account.

    The same text always gives the same answer. Names are quoted names, addresses and runs of capitalised words;
    relations are verbs between two names of one sentence. It understands nothing beyond that.
    """

    def __init__(self) -> None:
        super().__init__(LLMConfig(model="offline-rules", small_model="offline-rules"), cache=False)
        self._announced = False

    async def generate_response(
        self,
        messages: list[Message],
        response_model: type[BaseModel] | None = None,
        max_tokens: int | None = None,
        model_size: ModelSize = ModelSize.medium,
        group_id: str | None = None,
        prompt_name: str | None = None,
        *,
        attribute_extraction: bool = False,
        model: str | None = None,
    ) -> dict[str, Any]:
        """Answer one of graphiti's prompts. Raises `OfflineExtractorLimit` for one that no rule answers."""
        self._announce()
        prompt = messages[-1].content
        if attribute_extraction and response_model is not None:
            fields = {name: field.is_required() for name, field in response_model.model_fields.items()}
            return await asyncio.to_thread(attributes, prompt, fields)
        rule = ANSWERS.get(response_model.__name__) if response_model is not None else None
        if rule is None:
            asked = prompt_name or (response_model.__name__ if response_model is not None else "free text")
            raise OfflineExtractorLimit(f"the offline extractor has no rule for {asked}; set TASKGATE_LLM_URL")
        return await asyncio.to_thread(rule, prompt)

    async def _generate_response(
        self,
        messages: list[Message],
        response_model: type[BaseModel] | None = None,
        max_tokens: int = 0,
        model_size: ModelSize = ModelSize.medium,
        *,
        model: str | None = None,
    ) -> dict[str, Any]:
        return await self.generate_response(messages, response_model, max_tokens, model_size)

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            log.warning(
                "OfflineRuleBasedExtractor in use: names and relations come from simple rules for English text, not "
                "from a language model. Set TASKGATE_LLM_URL (any OpenAI-compatible server) for real extraction."
            )
