"""Every endpoint with its worst requests: beside each, other requests have their turn, on a busy machine, too."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import APIRoute

from contracts.heartbeat import largest_hold
from contracts.least import least
from gateway.access.verbs import ENDPOINTS, Level
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.http.bodies import SMALL_BYTES, SMALL_VALUES
from gateway.serve import spare_the_collector
from gateway.settings import Settings
from gateway.storage.database import Database

pytestmark = pytest.mark.system

#: The loop is never held for longer than this (seconds), in the best of so many tries.
LONGEST_HOLD = 0.05
TRIES = 5

ROW = b"[" * 30 + b"]" * 30 + b","
#: Longest path and query that are sent.
LINE = 30_000
TAKE_BODIES = ("POST", "PUT", "PATCH")


def nested(size: int) -> bytes:
    return b"[" + ROW * (size // len(ROW)) + b"0]"


@dataclass(frozen=True)
class Sent:
    """One request, as bytes."""

    head: str
    body: bytes = b""

    def to(self, port: int, key: str) -> int:
        """The status of the answer. In a thread, so that the client takes nothing of the loop's time."""
        head = f"{self.head}Authorization: Bearer {key}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head.encode())
            connection.sendall(self.body)
            return int(connection.recv(65536).split()[1])


def worst_of(route: APIRoute, method: str) -> Iterator[Sent]:
    """Where the path names something, a long name; each parameter with a long value; bodies of every kind."""
    names = re.findall(r"{(\w+)[^}]*}", route.path)
    short, long = (re.sub(r"{[^}]+}", "x" * (size // max(1, len(names))), route.path) for size in (10, LINE))
    head = "{} {} HTTP/1.1\r\nHost: gateway\r\n"
    if names:
        yield Sent(head.format(method, long))
    parameters = [param.alias for param in route.dependant.query_params]
    if parameters:
        value = "1" * (LINE // len(parameters))
        yield Sent(head.format(method, f"{short}?{'&'.join(f'{name}={value}' for name in parameters)}"))
        yield Sent(head.format(method, f"{short}?{'&'.join([f'{parameters[0]}=1'] * (LINE // 40))}"))
    if method not in TAKE_BODIES:
        yield Sent(head.format(method, short))
        return
    contents = ((route.openapi_extra or {}).get("requestBody") or {}).get("content", {})
    kinds = [kind for kind in contents if "yaml" in kind] + ["application/json"]
    for kind in kinds:
        part = b"waves" if "plans" in route.path else b"nodes"
        for body in yaml_bodies(part) if "yaml" in kind else json_bodies(route):
            yield Sent(head.format(method, short) + f"Content-Type: {kind}\r\n", body)


def json_bodies(route: APIRoute) -> Iterator[bytes]:
    """Just small enough to be decoded at once, and as large as they come."""
    model = getattr(getattr(route.body_field, "field_info", None), "annotation", None)
    fields = [info.alias or name for name, info in getattr(model, "model_fields", {}).items()] or ["name"]
    each = SMALL_VALUES // len(fields)
    yield b"{" + b",".join(b'"%s":[%s0]' % (name.encode(), b"{}," * (each // 2 - 8)) for name in fields) + b"}"
    text = b"x" * (SMALL_BYTES // len(fields) - 64)
    yield b"{" + b",".join(b'"%s":"%s"' % (name.encode(), text) for name in fields) + b"}"
    yield b"{" + b",".join(b'"delay%d":0' % n for n in range(SMALL_VALUES - 1)) + b"}"
    yield b'{"%s":%s}' % (fields[0].encode(), nested(SMALL_BYTES))
    yield b'{"%s":%s}' % (fields[-1].encode(), nested(8 * 1024 * 1024))


def yaml_bodies(part: bytes) -> Iterator[bytes]:
    head = b"name: spring\nwhy: the move\n" + part + b": "
    yield head + nested(250_000)
    yield head + nested(900_000)
    yield head + b"{" + b",".join(b"a%d: {type: t}" % n for n in range(20_000)) + b"}"
    yield b"[" * 900_000
    yield b"a: &a [x]\nb: [" + b"*a," * 200_000 + b"]"


@pytest.fixture
async def port(serve_http: Any, database: Database, key: str) -> AsyncIterator[int]:
    settings = Settings(database_url=database.url, grpc_enabled=False, communities_wait_seconds=0.01)
    async with serve_http(build_gateway(settings, engines={})) as port:
        yield port
        gc.unfreeze()
        spare_the_collector()


async def test_each_holds_nobody(port: int, serve: Any, key: str, admin: dict[str, str], record_property: Any) -> None:
    """The endpoints are those of the application, so that a new one is here, too."""
    async with serve() as (_, gateway):
        routes = [route for route in create_app(gateway).routes if isinstance(route, APIRoute)]
    root = admin["Authorization"].removeprefix("Bearer ")
    endpoints = [(route, method) for route in routes for method in sorted(route.methods)]
    assert len(endpoints) > 100
    held: dict[str, float] = {}
    statuses: dict[str, set[int]] = {}
    large = b'{"content": "' + b"a" * 300_000 + b'"}'
    head = "POST /api/v1/episodes/ HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    await asyncio.to_thread(Sent(head, large).to, port, key)  # the children are there
    spare_the_collector()
    for route, method in endpoints:
        requests = [*worst_of(route, method)]
        name = f"{method} {route.path}"
        verb = ENDPOINTS.get(name)
        whose = root if verb is not None and verb.level is Level.ADMINISTRATOR else key

        statuses[name] = set()

        async def hold(requests: list[Sent] = requests, name: str = name, key: str = whose) -> float:
            latest = 0.0
            for request in requests:
                sending = asyncio.ensure_future(asyncio.to_thread(request.to, port, key))
                latest = max(latest, await largest_hold(sending))
                statuses[name].add(await sending)
            return latest

        held[name] = await least(hold, LONGEST_HOLD, TRIES)
    record_property("largest", max(held.values()))
    # Nobody is turned away before any request is looked at, and nothing was not foreseen.
    assert {name: found for name, found in statuses.items() if found <= {401, 403} or 500 in found} == {}
    assert {name: one for name, one in held.items() if one >= LONGEST_HOLD} == {}
