"""One connection to one Temporal namespace: opened by the first call that needs it, and again after it failed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from google.protobuf.message import Message
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeNamespaceResponse
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import GrpcCompression, KeepAliveConfig, RetryConfig, RPCError

from backends.errors import EngineError, EngineUnavailable, WorkflowNotFound
from backends.temporal import names
from backends.temporal.errors import Purpose, is_namespace_missing, lost, not_connected, timed_out, translate, was_cut
from backends.temporal.runtime import sdk_runtime
from backends.temporal.security import Security

log = logging.getLogger(__name__)
Request = TypeVar("Request", bound=Message, contravariant=True)
Response = TypeVar("Response", bound=Message, covariant=True)

#: A peer that stopped answering is noticed within the sum of the two, also by calls that wait long.
KEEP_ALIVE = KeepAliveConfig(interval_millis=10_000, timeout_millis=5_000)
#: After a certificate or key that did not work, the next try with it follows no sooner (seconds).
RENEW_PAUSE = 5.0
#: The SDK's threads must be out of Python before the interpreter ends, or it aborts (temporalio/sdk-python#300).
SETTLE_SECONDS = 0.02


class Rpc(Protocol[Request, Response]):
    """One generated method of a service stub."""

    def __call__(self, req: Request, *, retry: bool = ..., timeout: timedelta | None = ...) -> Awaitable[Response]: ...


async def connect(
    address: str, namespace: str, *, security: Security, identity: str, timeout: float, converter: DataConverter
) -> Client:
    """A connected client. Raises `EngineUnavailable`; it takes at most `timeout` seconds.

    Calls through it are not repeated: a hidden second try would turn "the first one may have been done" into
    "connection refused". (The calls of a `Worker` are, for 10 s: the SDK sees to that, whatever is set here.)
    """
    credentials = security.credentials()
    try:
        async with asyncio.timeout(timeout):
            return await Client.connect(
                address,
                namespace=namespace,
                tls=credentials.tls,
                api_key=credentials.api_key,
                identity=identity,
                data_converter=converter,
                retry_config=RetryConfig(max_retries=1),
                keep_alive_config=KEEP_ALIVE,
                grpc_compression=GrpcCompression.NONE,
                connect_timeout=timedelta(seconds=timeout),
                runtime=sdk_runtime(),
            )
    except TimeoutError:
        raise EngineUnavailable(f"Temporal at {address} did not answer within {timeout:g} s") from None
    except (RuntimeError, RPCError) as error:
        raise not_connected(address, error) from error


@dataclass(slots=True)
class Session:
    """A working connection and what its server can do."""

    client: Client
    namespace: str
    standalone: bool
    """The server runs standalone activities in this namespace."""
    attributes: frozenset[str]
    """The search attributes of the gateway that the namespace has."""


class Connection:
    """Holds the session; any number of tasks may call at once.

    `standalone` overrides what the server says about standalone activities. `timeout` (seconds) bounds opening the
    connection and every single call.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        *,
        security: Security,
        identity: str,
        timeout: float,
        converter: DataConverter,
        standalone: bool | None,
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._security = security
        self._version: tuple[object, ...] = ()
        self._renew_at = 0.0
        self._identity = identity
        self._timeout = timeout
        self._converter = converter
        self._standalone = standalone
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None

    async def session(self) -> Session:
        """The session, opened when there is none. Raises `EngineUnavailable`; nothing was sent for the caller yet."""
        if self._session is not None:
            if self._security.version() != self._version and time.monotonic() >= self._renew_at:
                # A certificate or the key has changed. What is open goes on until a new connection stands.
                self._renew_at = time.monotonic() + RENEW_PAUSE
                self._begin_opening()
            return self._session
        self._begin_opening()
        assert self._opening is not None
        try:
            # A caller that is cancelled must not cancel the opening that others wait for.
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(self._opening)
        except TimeoutError:
            raise EngineUnavailable(f"Temporal at {self._address} did not answer within {self._timeout:g} s") from None

    def _begin_opening(self) -> None:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="connect to Temporal")
            self._opening.add_done_callback(_seen)

    async def call(
        self, rpc: Rpc[Request, Response], request: Request, purpose: Purpose, *, timeout: float | None = None
    ) -> Response:
        """One call. Raises the port's errors and those of `backends.temporal.errors`.

        A call whose connection was cut (the server restarted while it was idle, say) is made once more, unless it
        is one that must not be done twice. What that second try finds says nothing of the first.
        """
        limit = timeout or self._timeout
        began = time.monotonic()
        try:
            return await self._try(rpc, request, purpose, limit)
        except RPCError as error:
            if purpose is Purpose.WRITE or not was_cut(error):
                raise translate(error, purpose) from error
            first = translate(error, purpose)
        try:
            return await self._try(rpc, request, purpose, max(limit - (time.monotonic() - began), 0.1))
        except RPCError as error:
            second = translate(error, purpose)
            raise first if isinstance(second, EngineUnavailable) else second from error

    async def _try(self, rpc: Rpc[Request, Response], request: Request, purpose: Purpose, limit: float) -> Response:
        session = self._session
        try:
            # The client's own deadline reaches the server; ours holds when the connection itself hangs.
            async with asyncio.timeout(limit + 0.25):
                return await rpc(request, retry=False, timeout=timedelta(seconds=limit))
        except RPCError as error:
            if timed_out(error) or is_namespace_missing(error):
                self._forget(session)
            raise
        except TimeoutError:
            self._forget(session)
            raise lost(f"Temporal did not answer within {limit:g} s", purpose) from None

    async def close(self) -> None:
        """Give the connection back; a later call opens a new one."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self._session = None
        await asyncio.sleep(SETTLE_SECONDS)

    def _forget(self, session: Session | None) -> None:
        """A connection that hangs may be dead; the next call opens a fresh one rather than wait for keep-alive."""
        if session is not None and self._session is session:
            self._session = None

    async def _open(self) -> Session:
        version = self._security.version()
        client = await connect(
            self._address,
            self._namespace,
            security=self._security,
            identity=self._identity,
            timeout=self._timeout,
            converter=self._converter,
        )
        namespace = await self.describe_namespace(client)
        capable = namespace.namespace_info.capabilities.standalone_activities
        session = Session(
            client=client,
            namespace=self._namespace,
            standalone=capable if self._standalone is None else self._standalone,
            attributes=await self._attributes(client),
        )
        if self._standalone is None and not capable:
            log.warning("Temporal has no standalone activities: each task runs in a workflow of one activity")
        self._session, self._version = session, version
        return session

    async def describe_namespace(self, client: Client) -> DescribeNamespaceResponse:
        """The namespace. Raises `EngineUnavailable`, also when it does not exist."""
        request = DescribeNamespaceRequest(namespace=self._namespace)
        try:
            return await self.call(client.workflow_service.describe_namespace, request, Purpose.READ)
        except WorkflowNotFound as error:
            raise EngineUnavailable(error.message) from error

    async def _attributes(self, client: Client) -> frozenset[str]:
        """Which of our search attributes the namespace has, after adding those it lacks where that is allowed."""
        operator = client.operator_service
        try:
            listed = await self.call(
                operator.list_search_attributes, ListSearchAttributesRequest(namespace=self._namespace), Purpose.READ
            )
        except EngineError as error:
            # Temporal Cloud, or a role without operator rights: take it that they were set up; a start that finds
            # otherwise goes without them.
            log.info("search attributes of the namespace cannot be listed: %s", error)
            return frozenset(names.ATTRIBUTES)
        present = set(listed.custom_attributes)
        missing = {
            name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            if name in names.KEYWORD_ATTRIBUTES
            else IndexedValueType.INDEXED_VALUE_TYPE_INT
            for name in names.ATTRIBUTES
            if name not in present
        }
        if missing:
            try:
                await self.call(
                    operator.add_search_attributes,
                    AddSearchAttributesRequest(namespace=self._namespace, search_attributes=missing),
                    Purpose.WRITE,
                )
            except EngineError as error:
                log.warning("tasks in Temporal go without the search attributes %s: %s", sorted(missing), error)
            else:
                present |= set(missing)
        return frozenset(present & set(names.ATTRIBUTES))


def _seen(task: asyncio.Task[Session]) -> None:
    """Retrieve a failure even if every caller has gone: asyncio would log it as never retrieved."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("no connection to Temporal: %s", error)
