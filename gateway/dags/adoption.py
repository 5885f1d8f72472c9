"""Tasks that become runs of a DAG when they are started: of type `taskgate.dag`, and those of a built-in DAG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.dags.errors import DagInvalid, DagNotFound
from gateway.dags.parameters import bind
from gateway.dags.paths import RUN_TYPE
from gateway.dags.store import DagStore, DagVersion
from gateway.dags.workflows import DAG_OF_TYPE
from gateway.tasks.payload import decode_payload


async def run_in(store: DagStore, task: Mapping[str, Any]) -> tuple[DagVersion, dict[str, Any]]:
    """The DAG that carries out a task, and its parameters. Raises `DagNotFound`, `DagInvalid`.

    A node of a run is no run of type `taskgate.dag`: only by `dag` is it one that the limits of depth and size know.
    """
    if task["task_type"] != RUN_TYPE:
        built_in = DAG_OF_TYPE.get(task["task_type"])
        if built_in is None:
            raise DagNotFound(f"There is no DAG for tasks of type {task['task_type']!r}")
        # Its steps read the payload of the task themselves.
        return await store.get("", built_in), {"episode": None}
    if task["is_node"]:  # of a definition that was kept before such types were refused
        raise DagInvalid(message="A node of a DAG runs another DAG by `dag`, not by `type`")
    payload = decode_payload(task["payload"])
    name, version, given = payload.get("dag"), payload.get("version"), payload.get("params") or {}
    if not isinstance(name, str) or not isinstance(given, dict):
        raise DagNotFound(f"The payload of a {RUN_TYPE} task names a DAG: {{dag, version, params}}")
    try:
        dag = await store.get(task["tenant_id"] or "", name, None if version is None else str(version))
    except DagNotFound:
        raise DagNotFound(f"There is no DAG {name!r}, or no such version of it") from None
    params, faults = bind(dag.definition.params, given)
    if faults:
        raise DagInvalid(faults, f"The parameters do not fit {name}@{dag.version}: {faults[0].message}")
    try:
        orjson.dumps(params)
    except TypeError:  # whoever writes into Redis or `task_logs` may name them
        message = "The parameters hold integers beyond 64 bits, lone surrogates or too many levels"
        raise DagInvalid(message=message) from None
    return dag, params
