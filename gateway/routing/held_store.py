"""The SDK's store of flags, in which what was received is in force only when somebody says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ldclient.feature_store import InMemoryFeatureStore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

#: Flags or segments (the SDK's kinds) by key, decoded.
Snapshot = dict[Any, dict[str, Any]]


class HeldStore(InMemoryFeatureStore):
    """`received` is the newest data; reads give what was last put in force. From any thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._in_force: Snapshot = {}

    @property
    def has_received(self) -> bool:
        """Whether whoever feeds it has said anything at all."""
        return super().initialized

    @property
    def initialized(self) -> bool:
        """For the SDK, which evaluates nothing before: also with what was put in force without being received."""
        return self.has_received or bool(self._in_force)

    def received(self) -> Snapshot:
        everything = super().all
        return {kind: everything(kind, dict) for kind in (FEATURES, SEGMENTS)}  # type: ignore[no-untyped-call]

    def put_in_force(self, snapshot: Snapshot) -> None:
        self._in_force = snapshot

    def get(self, kind: Any, key: str, callback: Callable[[Any], Any] = lambda item: item) -> Any:
        return callback(self._in_force.get(kind, {}).get(key))

    def all(self, kind: Any, callback: Callable[[Any], Any] = lambda items: items) -> Any:
        return callback(dict(self._in_force.get(kind, {})))
