"""The OpenAPI description: FastAPI's, with the key that callers send and the errors that any endpoint may answer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

SCHEME = "ApiKey"

_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "ms_sk_<64 hex digits>",
    "description": "`Authorization: Bearer <key>`; `Token <key>` and the bare key are accepted too.",
}
#: Operations that answer without a key.
_OPEN = frozenset(("/health", "/gateway/v1/ready"))
_OPTIONAL = frozenset(("/api/v1/tasks/{task_id}/stream",))


def describe(app: FastAPI) -> None:
    """Have `app.openapi()` add what FastAPI cannot know."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            schema.setdefault("components", {}).setdefault("securitySchemes", {})[SCHEME] = _SCHEME
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    if path in _OPTIONAL:
                        operation["security"] = [{SCHEME: []}, {}]
                    elif path not in _OPEN:
                        operation["security"] = [{SCHEME: []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
