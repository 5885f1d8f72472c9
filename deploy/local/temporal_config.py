"""The configuration files of a Temporal server node, as plain data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.local.errors import StackError

MAIN_DATABASE = "temporal"
VISIBILITY_DATABASE = "temporal_visibility"
PLUGIN = "postgres12"
# Fixed for the life of a cluster's data. Enough for three nodes to share, few enough to cost little when idle.
HISTORY_SHARDS = 4
LOOPBACK = "127.0.0.1"
#: `false`: a server without standalone activities (`make matrix`).
STANDALONE = "TASKGATE_LOCAL_STANDALONE"


@dataclass(frozen=True)
class NodePorts:
    """The ports of one all-in-one node; clients use only `frontend`."""

    frontend: int
    http: int
    metrics: int
    frontend_membership: int
    history: int
    history_membership: int
    matching: int
    matching_membership: int
    worker: int
    worker_membership: int


@dataclass(frozen=True)
class FrontendTls:
    """The files of a frontend that takes TLS only; clients believe what `authority` has signed."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class SqlServer:
    """The PostgreSQL server that holds Temporal's two databases."""

    host: str
    port: int
    user: str
    password: str

    @classmethod
    def from_url(cls, url: str) -> SqlServer:
        """From a `postgresql://` address; the database it names does not matter."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise StackError(f"temporal: needs PostgreSQL over TCP, and {url!r} names no host")
        return cls(
            parts.hostname, parts.port or 5432, unquote(parts.username or "postgres"), unquote(parts.password or "")
        )


def server_config(
    ports: NodePorts, sql: SqlServer, cluster_address: str, dynamic_config: str, tls: FrontendTls | None = None
) -> dict[str, object]:
    """One process with all four services.

    `cluster_address` must be the same for all nodes of a cluster: each writes it into the same row at start.
    """

    def service(grpc: int, membership: int) -> dict[str, object]:
        return {"rpc": {"grpcPort": grpc, "membershipPort": membership, "bindOnIP": LOOPBACK}}

    frontend = service(ports.frontend, ports.frontend_membership)
    frontend["rpc"] = {**_mapping(frontend["rpc"]), "httpPort": ports.http}
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "main",
            "visibilityStore": "visibility",
            "numHistoryShards": HISTORY_SHARDS,
            "datastores": {
                "main": {"sql": _store(MAIN_DATABASE, sql, connections=20)},
                "visibility": {"sql": _store(VISIBILITY_DATABASE, sql, connections=10)},
            },
        },
        "global": {
            "membership": {"maxJoinDuration": "30s", "broadcastAddress": LOOPBACK},
            "metrics": {"prometheus": {"timerType": "histogram", "listenAddress": f"{LOOPBACK}:{ports.metrics}"}},
            **({} if tls is None else {"tls": {"frontend": _tls(tls)}}),
        },
        "services": {
            "frontend": frontend,
            "history": service(ports.history, ports.history_membership),
            "matching": service(ports.matching, ports.matching_membership),
            "worker": service(ports.worker, ports.worker_membership),
        },
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": cluster_address,
                }
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "archival": {"history": {"state": "disabled"}, "visibility": {"state": "disabled"}},
        "namespaceDefaults": {
            "archival": {"history": {"state": "disabled"}, "visibility": {"state": "disabled"}},
        },
        "dynamicConfigClient": {"filepath": dynamic_config, "pollInterval": "10s"},
    }


def _tls(tls: FrontendTls) -> dict[str, object]:
    """The server's own workers are clients, too."""
    return {
        "server": {"certFile": str(tls.certificate), "keyFile": str(tls.key)},
        "client": {"serverName": LOOPBACK, "rootCaFiles": [str(tls.authority)]},
    }


def dynamic_config() -> dict[str, Sequence[dict[str, object]]]:
    """Settings that Temporal reads while it runs."""
    values: dict[str, object] = {
        # Standard tenants share queues, with the tenant as fairness key.
        "matching.enableFairness": True,
        # One order for all tasks of a queue, so that priority and fairness hold exactly. With the usual four
        # partitions every new queue costs four times the database work, and on a busy machine tasks are lost
        # between partitions until their heartbeat timeout. One partition takes far more than this server can.
        "matching.numTaskqueueReadPartitions": 1,
        "matching.numTaskqueueWritePartitions": 1,
        # Polls that wait at once, per namespace: each worker process has one or two for each queue of each tenant. With
        # the usual 1,200 the others are refused, again and again.
        "frontend.namespaceCount": 20000,
        # A worker that leaves gets no more tasks: without this, one that is just being handed over is lost.
        "frontend.enableCancelWorkerPollsOnShutdown": True,
        # Timers are not held back to the end of the second (that is for hosts whose clocks differ), so a lost
        # worker's task is offered again within 50 ms.
        "history.timerProcessorMaxTimeShift": "10ms",
        # A namespace, or its search attributes, is usable after one such interval. (Not by
        # `system.forceSearchAttributesCacheRefreshOnRead`: each start with search attributes would then read the
        # database six times more, under one lock.)
        "system.namespaceCacheRefreshInterval": "1s",
    }
    if os.environ.get(STANDALONE) == "false":
        values["activity.enableStandalone"] = False
    return {key: [{"value": value}] for key, value in values.items()}


def _store(database: str, sql: SqlServer, connections: int) -> dict[str, object]:
    return {
        "pluginName": PLUGIN,
        "databaseName": database,
        "connectAddr": f"{sql.host}:{sql.port}",
        "connectProtocol": "tcp",
        "user": sql.user,
        "password": sql.password,
        "maxConns": connections,
        "maxIdleConns": connections,
        "maxConnLifetime": "1h",
    }


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
