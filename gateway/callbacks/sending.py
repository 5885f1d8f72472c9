"""Sends one callback, only to an address that was checked after the look-up of its name."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from gateway.callbacks.address import Address, CallbackRules, check_port, host_of, literal, parse_url, port_of
from gateway.callbacks.errors import CallbackRefused
from gateway.callbacks.lookups import Lookups, Resolver

#: Addresses of one name that are tried, while none of them takes the connection.
_MOST_ADDRESSES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an attempt: an HTTP status, or an error. `retry_after`: as the receiver asks, in seconds."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    final: bool = False
    """Another attempt would not help."""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def ask_resolver(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Sender:
    """Sends requests without redirects and proxies, and reads only the headers of an answer.

    `timeout` limits all of one attempt, the look-up included, `lookup_seconds` the look-up, in seconds.
    """

    def __init__(
        self,
        rules: CallbackRules,
        *,
        timeout: float,
        lookup_seconds: float = 5.0,
        ca_file: Path | None = None,
        resolver: Resolver = ask_resolver,
    ) -> None:
        self._rules = rules
        self._timeout = timeout
        self._ca_file = ca_file
        self._lookups = Lookups(resolver, seconds=lookup_seconds)
        self._client: httpx.AsyncClient | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, *, tenant: str = "") -> Answer:
        """One attempt, for a tenant; never raises."""
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._send(parse_url(url), headers, body, tenant, limit)
        except CallbackRefused as error:
            return Answer(error=error.message, final=True)
        except TimeoutError:
            return Answer(error=f"no answer within {self._timeout:g} s")
        except ssl.SSLError as error:
            return Answer(error=f"TLS: {error.reason or type(error).__name__}")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return Answer(error=_said(error))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._lookups.close()

    async def _send(
        self, url: httpx.URL, headers: Mapping[str, str], body: bytes, tenant: str, limit: asyncio.Timeout
    ) -> Answer:
        check_port(url, self._rules)
        host = host_of(url)
        addresses = (await self._addresses(host, port_of(url), tenant))[:_MOST_ADDRESSES]
        failed: Exception | None = None
        for others, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            # One that is silent leaves the others their shares of the time.
            left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
            connect = left / (others + 1) if others else self._timeout
            try:
                return await self._post(url, host, address, headers, body, connect)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed

    async def _addresses(self, host: str, port: int, tenant: str) -> list[Address]:
        """The present addresses of the name. Raises `CallbackRefused` if one of them is private."""
        spelt_out = literal(host)
        if spelt_out is not None:
            found = [spelt_out]
        else:
            if not self._rules.permits_name(host):
                raise CallbackRefused(f"{host} is a private name")
            found = [ipaddress.ip_address(name) for name in await self._lookups.addresses(tenant, host, port)]
        if not found:
            raise OSError("the name has no address")
        for address in found:
            if not self._rules.permits(address):
                # Without the address, so that the tenant does not learn addresses of internal names.
                raise CallbackRefused(f"{host} {'is' if spelt_out is not None else 'stands for'} a private address")
        return found

    async def _post(
        self, url: httpx.URL, host: str, address: Address, headers: Mapping[str, str], body: bytes, connect: float
    ) -> Answer:
        """`connect`: seconds until the next address is tried."""
        client = self._open()
        request = client.build_request(
            "POST",
            # The address takes the name's place, so that nothing looks the name up again.
            url.copy_with(host=str(address)),
            headers={**headers, "Host": url.netloc.decode("ascii")},
            content=body,
            timeout=httpx.Timeout(self._timeout, connect=connect),
            extensions={"sni_hostname": host},
        )
        response = await client.send(request, stream=True)
        try:
            return _answer(response)
        finally:
            await response.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            context = ssl.create_default_context(cafile=self._ca_file)
            self._client = httpx.AsyncClient(
                verify=context,
                trust_env=False,
                follow_redirects=False,
                timeout=self._timeout,
                # A kept connection might be used for another name at the same address.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )
        return self._client


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    if 200 <= status < 300:
        return Answer(status)
    if status == 410:
        return Answer(status, "the receiver is gone (410)", final=True)
    if 300 <= status < 400:
        return Answer(status, f"answered {status}; redirects are not followed")
    return Answer(status, f"answered {status}", _retry_after(response.headers.get("retry-after")))


def _retry_after(value: str | None) -> float | None:
    """Seconds from now; None for what is neither seconds nor a date."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _said(error: Exception) -> str:
    """The error, without text of the receiver."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or type(cause).__name__}"
        if isinstance(cause, socket.gaierror):
            return f"the name cannot be looked up: {cause.strerror}"
        if isinstance(cause, ConnectionError):
            return f"no connection: {cause.strerror or type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
