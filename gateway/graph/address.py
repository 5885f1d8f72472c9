"""Where the knowledge graph is: `TASKGATE_GRAPH_URL` taken apart. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gateway.graph.errors import GraphAddressInvalid, GraphNotConfigured

if TYPE_CHECKING:
    from neo4j import AsyncDriver

_SCHEMES = frozenset({"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"})


@dataclass(frozen=True, slots=True)
class GraphAddress:
    """A Neo4j server; `user` and `password` are empty for one without authentication."""

    uri: str
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = "neo4j"

    @classmethod
    def parse(cls, url: str | None) -> GraphAddress:
        """Raises `GraphNotConfigured` without a URL, `GraphAddressInvalid` for one that is no Neo4j address."""
        if not url:
            raise GraphNotConfigured
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise GraphAddressInvalid
        host = parts.netloc.rpartition("@")[2]
        query = f"?{parts.query}" if parts.query else ""
        return cls(
            uri=f"{parts.scheme}://{host}{query}",
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.strip("/")) or "neo4j",
        )

    def open_driver(self) -> AsyncDriver:
        """A plain Neo4j driver, without graphiti; the caller closes it. Connects on first use."""
        from neo4j import AsyncGraphDatabase

        auth = (self.user, self.password) if self.user or self.password else None
        return AsyncGraphDatabase.driver(self.uri, auth=auth)
