"""Any OpenAI-compatible server for extraction and vectors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request

from gateway.settings import Settings
from gateway.storage.database import Database
from workers.context import ContextFactory
from workers.handlers.add_episode import AddEpisodeHandler

ANSWERS: dict[str, Any] = {
    "ExtractedEntities": {
        "extracted_entities": [{"name": "alpha", "entity_type_id": 0}, {"name": "omega", "entity_type_id": 0}]
    },
    "ExtractedEdges": {
        "edges": [
            {
                "source_entity_name": "alpha",
                "target_entity_name": "omega",
                "relation_type": "PRECEDES",
                "fact": "alpha comes before omega",
                "valid_at": "2026-01-01T00:00:00Z",
            }
        ]
    },
}


class FakeModel:
    """Answers chat completions by the name of the wanted schema, and embeds texts by their length."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.models: set[str] = set()
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.complete)
        self.app.post("/v1/embeddings")(self.embed)
        self.url = ""

    async def complete(self, request: Request) -> dict[str, Any]:
        body = await self._note(request)
        wanted = body["response_format"]["json_schema"]["name"]
        message = {"role": "assistant", "content": json.dumps(ANSWERS[wanted])}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }

    async def embed(self, request: Request) -> dict[str, Any]:
        body = await self._note(request)
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": index, "embedding": [1.0, float(len(text))] + [0.5] * 20}
            for index, text in enumerate(texts)
        ]
        return {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}

    async def _note(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.keys.add(request.headers["authorization"])
        self.models.add(body["model"])
        return body


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    """A running server."""
    fake = FakeModel()
    server = uvicorn.Server(uvicorn.Config(fake.app, port=0, log_level="warning"))
    started = asyncio.Event()
    startup = server.startup

    async def announce(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    server.startup = announce  # type: ignore[method-assign]
    task = asyncio.create_task(server._serve())
    await started.wait()
    fake.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    yield fake
    server.should_exit = True
    await task


async def test_entities_and_vectors_come_from_the_configured_servers(
    bench: Any, model: FakeModel, neo4j_server: str, handler_database: Database
) -> None:
    settings = Settings(
        graph_url=neo4j_server,
        llm_url=model.url,
        llm_api_key="llm-key",
        llm_model="some-model",
        embedder_url=model.url,
        embedder_model="some-embedder",
        embedder_dimensions=16,
    )
    contexts = ContextFactory(settings, handler_database)
    await AddEpisodeHandler().process(bench.episode("no names here"), contexts.build(bench.reports, bench.reports))
    await contexts.close()
    graph = await bench.read()
    result = await bench.driver.execute_query(
        "MATCH (n:Entity {group_id: $group_id}) RETURN DISTINCT size(n.name_embedding) AS size", group_id=bench.group_id
    )

    assert graph.triples == [("alpha", "PRECEDES", "omega")]
    assert [record["size"] for record in result.records] == [16]
    assert model.models == {"some-model", "some-embedder"}
    assert model.keys == {"Bearer llm-key", "Bearer none"}
