"""The short way to an endpoint, for requests that are plainly in order.

FastAPI takes some 150 µs to find an endpoint and its parameters, more than all else that a submission costs in this
process. A request whose path, content type, query and body are just as expected goes past that. Whatever is not plainly
in order is left to FastAPI, so that errors are found and worded by it alone, and both ways lead to the same parameters.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Awaitable, Callable
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.keys import read_key

_JSON = (None, "application/json", "application/json; charset=utf-8")
_WORDS = {"true": True, "false": False, "1": True, "0": False}


class Shortcut:
    """The short way to one endpoint that takes a request, a JSON body, and booleans or texts from the query."""

    def __init__(
        self,
        endpoint: Callable[..., Awaitable[Response]],
        request: str,
        body: str,
        model: type[BaseModel],
        query: dict[str, type],
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._body = body
        self._model = model
        self._query = query

    @classmethod
    def to(cls, endpoint: Callable[..., Any], path: str) -> Shortcut | None:
        """The short way to this endpoint; None when it takes or returns anything else."""
        hints = get_type_hints(endpoint, include_extras=True)
        returned = hints.pop("return", None)
        if "{" in path or not (isinstance(returned, type) and issubclass(returned, Response)):
            return None
        request, bodies, query = None, {}, {}
        for name, parameter in inspect.signature(endpoint).parameters.items():
            kind = _without_none(hints.get(name))
            if kind is Request or (isinstance(kind, type) and issubclass(kind, Request)):
                request = name
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                bodies[name] = kind
            elif kind in (bool, str) and isinstance(parameter.default, bool | str | None):
                query[name] = kind
            else:
                return None
        if request is None or len(bodies) != 1:
            return None
        ((body, model),) = bodies.items()
        return cls(endpoint, request, body, model, query)

    async def answer(self, request: Request) -> Response | None:
        """The endpoint's answer; None when the request is not plainly in order.

        Raises what the endpoint raises, and `Unauthenticated` for a header without a key in it.
        """
        read_key(request.headers.get("authorization"))
        arguments = await self.read(request)
        return None if arguments is None else await self._endpoint(**arguments)

    async def read(self, request: Request) -> dict[str, Any] | None:
        """The arguments for the endpoint; None when the request is not plainly in order."""
        if request.headers.get("content-type") not in _JSON:
            return None
        arguments: dict[str, Any] = {self._request: request}
        if request.scope["query_string"] and not self._read_query(request.scope["query_string"], arguments):
            return None
        try:
            arguments[self._body] = self._model.model_validate(await request.json())
        except (json.JSONDecodeError, ValidationError):
            return None
        return arguments

    def _read_query(self, text: bytes, arguments: dict[str, Any]) -> bool:
        for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
            kind = self._query.get(name)
            if kind is None:
                continue
            if name in arguments or not value:
                return False
            if kind is str:
                arguments[name] = value
            elif value in _WORDS:
                arguments[name] = _WORDS[value]
            else:
                return False
        return True


def _without_none(hint: Any) -> Any:
    """`X` for `X | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else None
    return hint
