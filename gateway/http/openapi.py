"""The OpenAPI document: FastAPI's, with what FastAPI cannot know.

That is the key that callers send, the schemas of problems and events, and, from `openapi.yaml`, what parameters mean
and how bodies and answers look.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from fastapi import FastAPI
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway.http.dag_stream import ChangedNodes
from gateway.http.migration_stages import StagesInForce
from gateway.http.news import ChangedThings
from gateway.http.openapi_errors import REFERENCE, Problem
from gateway.http.task_answers import StreamError, TaskProgress
from gateway.http.task_list_stream import ChangedTasks, MissedTasks

SCHEME = "ApiKey"

_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "ms_sk_<64 hex digits>",
    "description": "An API key, sent as `Authorization: Bearer <key>`. `Authorization: Token <key>` and "
    "`Authorization: <key>` are accepted, too.",
}
_SERVERS = [{"url": "/", "description": "The gateway that served this document"}]

#: Operations that answer without a key.
_OPEN = frozenset(("/health", "/gateway/v1/started"))
_OPTIONAL = frozenset(("/api/v1/tasks/{task_id}/stream", "/gateway/v1/ready"))

#: Models that answers refer to without FastAPI's knowledge.
_MODELS: dict[type, JsonSchemaMode] = {
    Problem: "validation",
    TaskProgress: "serialization",
    StreamError: "serialization",
    ChangedNodes: "serialization",
    ChangedTasks: "serialization",
    MissedTasks: "serialization",
    ChangedThings: "serialization",
    StagesInForce: "serialization",
}


def describe(app: FastAPI) -> None:
    """Have `app.openapi()` add what FastAPI cannot know."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    texts = _texts()
    components = document.setdefault("components", {})
    components["securitySchemes"] = {SCHEME: _SCHEME}
    schemas = components.setdefault("schemas", {})
    for name, schema in _schemas().items():
        schemas.setdefault(name, schema)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in _OPTIONAL:
                operation["security"] = [{SCHEME: []}, {}]
            elif path not in _OPEN:
                operation["security"] = [{SCHEME: []}]
            for parameter in operation.get("parameters", ()):
                meaning = texts["parameters"].get(parameter["in"], {}).get(parameter["name"], "")
                parameter.setdefault("description", meaning)
            _add_examples(operation, texts)
    return {**document, "servers": _SERVERS, "tags": texts["tags"]}


def _add_examples(operation: dict[str, Any], texts: dict[str, Any]) -> None:
    """To its body and its answers: that of the model they consist of, else the operation's own."""
    own = texts["operations"].get(operation["operationId"], {})
    answers = [answer for status, answer in operation["responses"].items() if status < "300"]
    for part in [operation.get("requestBody", {}), *answers]:
        for media, content in part.get("content", {}).items():
            example = next(_examples(content.get("schema", {}), texts["models"]), own.get(media))
            if example is not None:
                content["example"] = example


def _examples(schema: dict[str, Any], of_models: dict[str, Any]) -> Iterator[Any]:
    if schema.get("type") == "array":
        yield from ([each] for each in _examples(schema["items"], of_models))
    for choice in schema.get("anyOf", [schema]):
        name = choice.get("$ref", "").removeprefix(REFERENCE.format(model=""))
        if name in of_models:
            yield of_models[name]


@cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("openapi.yaml").read_text("utf-8"))
    return texts


def _schemas() -> dict[str, Any]:
    """Those of `_MODELS`, with those that they are made of."""
    _, schemas = models_json_schema(list(_MODELS.items()), ref_template=REFERENCE)
    defined: dict[str, Any] = schemas["$defs"]
    return defined
