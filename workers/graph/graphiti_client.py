"""Builds the `graphiti_core.Graphiti` that handlers are given. Importing this imports graphiti (two seconds)."""

from __future__ import annotations

import os

# Before graphiti is imported: it would otherwise report its use to its makers.
os.environ.setdefault("GRAPHITI_TELEMETRY_ENABLED", "false")

import importlib
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from types import ModuleType
from typing import Any

from graphiti_core import Graphiti
from graphiti_core.embedder.client import EmbedderClient
from graphiti_core.embedder.openai import OpenAIEmbedder, OpenAIEmbedderConfig
from graphiti_core.graphiti import AddEpisodeResults
from graphiti_core.llm_client import LLMClient, LLMConfig
from graphiti_core.llm_client.openai_generic_client import OpenAIGenericClient
from graphiti_core.nodes import EpisodeType, EpisodicNode
from graphiti_core.search.search_utils import RELEVANT_SCHEMA_LIMIT
from graphiti_core.utils.maintenance.edge_operations import extract_edges
from graphiti_core.utils.maintenance.node_operations import extract_nodes
from openai import AsyncOpenAI

from gateway.graph.errors import GraphNotConfigured
from gateway.secret_files import Secret, text_of
from gateway.settings import Settings
from workers.graph import community_detection, episodes
from workers.graph.driver import GroupAwareDriver
from workers.graph.errors import ModelsNotConfigured
from workers.graph.remembered import give_memory
from workers.graph.reranker import EmbeddingReranker

log = logging.getLogger(__name__)

#: The OpenAI client insists on a key; servers on one's own machine take any.
_NO_KEY = "none"

_current: ContextVar[str | None] = ContextVar("uuid of the episode that is being added", default=None)


class EpisodeGraphiti(Graphiti):
    """A `Graphiti` whose `add_episode` can be given the uuid of a new episode, and can be repeated.

    graphiti's own pipeline does the work, unchanged. Around it: the Episodic node is made when there is none, what
    MemStack keeps on it survives, an entity is mentioned once however often the episode is added, an episode is not
    its own context, and episodes of one group are added one after the other.
    """

    driver: GroupAwareDriver

    async def add_episode(
        self,
        name: str,
        episode_body: str,
        source_description: str,
        reference_time: datetime,
        source: EpisodeType = EpisodeType.message,
        group_id: str | None = None,
        uuid: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> AddEpisodeResults:
        """As graphiti's. Raises `EpisodeInOtherGroup` when the uuid is that of another group's episode."""
        group = group_id or ""
        async with self.driver.exclusive(group):
            if uuid is None:
                return await super().add_episode(
                    name, episode_body, source_description, reference_time, source, group_id, None, *args, **kwargs
                )
            kept = await episodes.prepare(
                self.driver,
                uuid=uuid,
                name=name,
                content=episode_body,
                source=source.value,
                source_description=source_description,
                group_id=group,
                valid_at=reference_time,
            )
            token = _current.set(uuid)
            try:
                added = await super().add_episode(
                    name, episode_body, source_description, reference_time, source, group_id, uuid, *args, **kwargs
                )
            finally:
                _current.reset(token)
            await episodes.restore(self.driver, uuid, group, kept)
            return added

    async def ask_ahead(self, episode: Mapping[str, Any], schema: tuple[Any, Any, Any], *, relations: bool) -> int:
        """Ask the language model what `add_episode` is going to ask about an episode; nothing but its node is written.

        `episode` are the arguments of `add_episode`. Returns how many entities, or with `relations` facts, it named.
        Used inside `remembered.remembering`.
        """
        entity_types, edge_types, edge_type_map = schema
        uuid, group = episode["uuid"], episode["group_id"]
        # Two steps ask at the same time, and the graph has no constraint that would keep the node single.
        async with self.driver.exclusive(group):
            await episodes.prepare(
                self.driver,
                uuid=uuid,
                name=episode["name"],
                content=episode["episode_body"],
                source=episode["source"].value,
                source_description=episode["source_description"],
                group_id=group,
                valid_at=episode["reference_time"],
            )
        token = _current.set(uuid)
        try:
            _, driver, clients = self._resolve_request_scope(group)
            node = await EpisodicNode.get_by_uuid(driver, uuid)
            before = await self.retrieve_episodes(
                episode["reference_time"],
                last_n=RELEVANT_SCHEMA_LIMIT,
                group_ids=[group],
                source=episode["source"],
                driver=driver,
            )
            entities, _ = await extract_nodes(clients, node, before, entity_types, None, None)
            if not relations:
                return len(entities)
            default_map = {("Entity", "Entity"): list(edge_types or ())}
            facts, _ = await extract_edges(
                clients, node, entities, before, edge_type_map or default_map, group, edge_types
            )
            return len(facts)
        finally:
            _current.reset(token)

    async def retrieve_episodes(self, *args: Any, **kwargs: Any) -> list[EpisodicNode]:
        """As graphiti's, without the episode that is being added."""
        found = await super().retrieve_episodes(*args, **kwargs)
        current = _current.get()
        return [episode for episode in found if episode.uuid != current]


def build_graphiti(settings: Settings) -> EpisodeGraphiti:
    """A client for the graph, language model and embedder that the settings name; connects on first use.

    Must be called in the event loop that uses it. Raises `GraphNotConfigured`, `GraphAddressInvalid` or
    `ModelsNotConfigured`.
    """
    if not settings.graph_url:
        raise GraphNotConfigured
    driver = GroupAwareDriver(settings.follow("graph_url"))
    community_detection.replace_graphitis_own()
    embedder = _build_embedder(settings)
    return EpisodeGraphiti(
        graph_driver=driver,
        llm_client=give_memory(_build_llm(settings)),
        embedder=embedder,
        cross_encoder=EmbeddingReranker(embedder),
    )


def stand_ins(settings: Settings) -> ModuleType:
    """The module that stands in for a server without a URL. Raises `ModelsNotConfigured`."""
    if settings.models_module is None:
        raise ModelsNotConfigured
    try:
        return importlib.import_module(settings.models_module)
    except ImportError as error:
        raise ModelsNotConfigured(f"TASKGATE_MODELS_MODULE cannot be imported: {error}") from error


def _build_llm(settings: Settings) -> LLMClient:
    if settings.llm_url is None:
        client: LLMClient = stand_ins(settings).language_model()
        return client
    key = settings.follow("llm_api_key") if settings.llm_api_key is not None else _NO_KEY
    return OpenAIGenericClient(
        LLMConfig(model=settings.llm_model, small_model=settings.llm_model, base_url=settings.llm_url),
        client=_openai(key, settings.llm_url),
        structured_output_mode=settings.llm_structured_output,
    )


def _build_embedder(settings: Settings) -> EmbedderClient:
    if settings.embedder_url is None:
        client: EmbedderClient = stand_ins(settings).embedder(settings.embedder_dimensions)
        return client
    key = settings.follow("embedder_api_key") if settings.embedder_api_key is not None else _NO_KEY
    return OpenAIEmbedder(
        OpenAIEmbedderConfig(
            embedding_model=settings.embedder_model,
            base_url=settings.embedder_url,
            embedding_dim=settings.embedder_dimensions,
        ),
        client=_openai(key, settings.embedder_url),
    )


def _openai(key: Secret, url: str) -> AsyncOpenAI:
    """Each request sends the key as it is then."""

    async def current() -> str:
        return text_of(key)

    return AsyncOpenAI(api_key=current, base_url=url)
