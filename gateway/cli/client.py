"""What commands that talk to a running gateway share: its address, the key, errors as one line."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import httpx

from gateway.cli.output import fail
from gateway.settings import Settings


class GatewayClient:
    """Calls a gateway over HTTP at `TASKGATE_URL` with `TASKGATE_API_KEY`. An answer that is an error ends the command.

    Exit codes: 1 the gateway is not reachable or failed, 2 it refused.
    """

    def __init__(self, settings: Settings | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        settings = settings or Settings()
        key = settings.api_key
        self._url = settings.url
        self._http = httpx.Client(
            base_url=settings.url,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=30,
            # To read the certificates of all authorities takes longer than most commands; without them none is trusted.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if httpx.URL(settings.url).scheme == "http" else True,
            transport=transport,
        )

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET; parameters that are None are left out."""
        return self.call("GET", path, query=query)

    def listed(
        self, path: str, name: str, limit: int, page_size: int, **query: Any
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """At most `limit` entries of a list, which its pages call `name`; and the last page, whose `next_cursor` says
        whether there are more."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=min(limit - len(found), page_size), cursor=cursor)
            found += page[name]
            cursor = page["next_cursor"]
            if cursor is None or len(found) >= limit:
                return found, page

    def call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """The JSON of an answer; None when it has no body. `options` go to httpx (`headers`, …)."""
        _check_path(path)
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        if body is not None:
            options["json"] = body
        try:
            answer = self._http.send(self._request(method, path, params=asked, **options))
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            fail(f"no gateway answers at {self._url} ({type(error).__name__}); set TASKGATE_URL", code=1)
        if answer.is_error:
            fail(_reason(answer), code=1 if answer.is_server_error else 2)
        if answer.has_redirect_location:
            fail(self._no_gateway(f" and sends on to {answer.headers['location']}"), code=1)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            fail(self._no_gateway(), code=1)

    def _request(self, method: str, path: str, **parts: Any) -> httpx.Request:
        """What was given ends the command where JSON, or a header, has no words for it."""
        try:
            return self._http.build_request(method, path, **parts)
        except (TypeError, ValueError, RecursionError) as error:
            fail(f"what was given cannot be sent ({error}); write finite numbers and plain texts", code=2)

    def _no_gateway(self, more: str = "") -> str:
        return f"what answers at {self._url} is no gateway{more}; set TASKGATE_URL"

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Name and data of each Server-Sent Event of a stream, until it ends."""
        _check_path(path)
        try:
            with self._http.stream("GET", path, timeout=httpx.Timeout(30, read=None)) as answer:
                if answer.is_error:
                    answer.read()
                    fail(_reason(answer), code=1 if answer.is_server_error else 2)
                name = "message"
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, json.loads(value)
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            fail(f"no gateway answers at {self._url} ({type(error).__name__}); set TASKGATE_URL", code=1)


def _check_path(path: str) -> None:
    """With an empty part it is the address of something else."""
    place = path.partition("?")[0]
    if "//" in place or place.endswith("/"):
        fail("an id or a name is empty; write it in the command", code=2)


def _reason(answer: httpx.Response) -> str:
    faults: list[Any] = []
    try:
        problem = answer.json()
        detail, faults = problem["detail"], problem.get("faults") or []
        if errors := problem.get("errors"):
            first = errors[0]
            detail = f"{detail} {'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}"
    except (ValueError, KeyError, TypeError):
        detail = f"the gateway answered {answer.status_code}"
    hint = "; set TASKGATE_API_KEY" if answer.status_code == httpx.codes.UNAUTHORIZED else ""
    more = "".join(f"\n  line {one['line'] or '?'}: {one['message']} ({one['place'] or '/'})" for one in faults)
    return f"{detail}{hint}{more}"
