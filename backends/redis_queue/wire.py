"""The wire between producers and workers (contract §5): keys, payload keys, time limits; nothing that does I/O.

The keys under `queue:` and `lock:` are the legacy system's and stay as they are. The keys under `taskgate:` are the
gateway's own, and unknown to legacy code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from backends.errors import StartRefused
from backends.port import WorkflowRef

# Keys of the legacy system ----------------------------------------------------------------------------------
ACTIVE_GROUPS = "queue:active_groups"
"""Set: groups that have queued tasks."""
GROUP = "queue:group:"
"""List per group: one JSON payload per task. Producers push on the right; retries and recoveries on the left."""
PROCESSING = "queue:processing:global"
"""List: payloads that legacy workers are working on."""
LOCK = "lock:queue:group:"
"""String per group: id of the worker that runs the group's one task."""

# Keys of the gateway ----------------------------------------------------------------------------------------
START = "taskgate:start:"
"""Hash per start (`WorkflowRef.workflow_id`): its marker, with state, error, result."""
ENDED = "taskgate:ended"
"""Sorted set: workflow ids of the markers with a final state, by Unix time of the end, or of a start after that."""
WORKERS = "taskgate:workers"
"""Set: ids of the gateway's own workers that may hold payloads."""
HELD = "taskgate:held:"
"""Set per worker: the groups in whose name it holds payloads or a lock."""
OWN = "taskgate:processing:"
"""List per worker and group (`<worker>:<group>`): payloads that this worker is working on."""
EMPTIED = "taskgate:emptied"
"""Sorted set: groups recently removed from the active set, by Unix time (see `receive.lua`)."""
DEAD = "taskgate:dead"
"""List: payloads that are no tasks, as JSON `{reason, group, payload, bytes, at}`."""
DEAD_LARGE = "taskgate:dead:large"
"""Hash: the whole of those whose entry shows a part only, by the name that the entry's reason says."""
COLLECTED = "taskgate:taken"
"""Hash: payloads that the bridge has collected and not yet settled, by entry id, each with its group
(`collected_parts`)."""
INCARNATION = "taskgate:incarnation"
"""String: a random id that lives as long as this Redis keeps its memory."""
MARK = "taskgate:mark"
"""Hash: how far each database has come that this Redis works with, by the database's id."""
SWEPT = "taskgate:swept"
"""String that expires: set by the worker that last looked for lists which the active set does not name."""
WAKE = "taskgate:wake"
"""Channel: a payload may have become available to workers."""

ORDER = "taskgate:order:"
"""Sorted set per group: its waiting payloads of another priority than 3, by priority and arrival."""
ARRIVALS = "taskgate:arrivals"
"""Counter of those."""
URGENT = "taskgate:urgent"
"""Sorted set: groups with waiting payloads of priority 1 or 2, by the first of them."""
TENANTS = "taskgate:tenants"
"""Sorted set: tenants with waiting groups, by their weighted share so far."""
TENANT_GROUPS = "taskgate:groups:"
"""Set per tenant: its groups in which payloads wait, or waited recently."""
GROUP_TENANT = "taskgate:tenant_of"
"""Hash: the tenant of each group that the gateway ever pushed to."""
WEIGHTS = "taskgate:weights"
"""Hash: weights of tenants, as far as they are not 1."""
GIVEN = "taskgate:given"
"""String: the share of the tenant that was served last. A tenant that returns starts from it, without credit."""
AHEAD = "taskgate:ahead"
"""Hash: what tenants that left had been given beyond that."""

EPOCH = "dispatch_epoch"
"""Key that the gateway adds to payloads; legacy workers ignore it, handlers never see it."""

TRACE = "dispatch_trace"
"""The same for the context of the task's trace, an object of strings; only while that is sampled."""


@dataclass(frozen=True, slots=True)
class TaskWire:
    """The contract of one task type: its payload keys, the key that names the group, its time limit."""

    keys: tuple[str, ...]
    timeout: timedelta
    group_key: str = "group_id"


TYPES: Mapping[str, TaskWire] = {
    "add_episode": TaskWire(
        (
            *("group_id", "name", "content", "source_description", "episode_type", "uuid"),
            *("tenant_id", "project_id", "user_id", "memory_id"),
        ),
        timedelta(seconds=600),
    ),
    "rebuild_communities": TaskWire(("task_group_id",), timedelta(seconds=3600), group_key="task_group_id"),
    "incremental_refresh": TaskWire(
        ("group_id", "episode_uuids", "rebuild_communities", "tenant_id", "project_id", "user_id"),
        timedelta(seconds=3600),
    ),
    "deduplicate_entities": TaskWire(
        ("group_id", "similarity_threshold", "dry_run", "project_id"), timedelta(seconds=1800)
    ),
}

DEFAULT_TIMEOUT = timedelta(seconds=600)
"""The time limit of a type that the contract does not name."""

_MAX_NAME = 1000
_DEEPEST = 500
"""Levels of what a producer pushes. To compare it, or to write it again, takes as many of the interpreter's as to read
it, and fewer of them are left then."""
#: Keys of a message (contract §5) that are not the handler's.
WIRE_KEYS = ("task_type", "task_id", "timestamp", EPOCH, TRACE)


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """A payload that names a task. `payload` is the object as handlers know it, without what the gateway added."""

    task_id: str
    task_type: str
    epoch: int | None
    payload: dict[str, Any]
    trace: Mapping[str, str] = field(default_factory=dict)


class NotATask(ValueError):
    """These bytes are no task; the message says why, and never quotes them."""


def encode(
    ref: WorkflowRef,
    payload: Mapping[str, Any],
    *,
    now: float | None = None,
    trace: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes that a legacy producer would push for this task, with `dispatch_epoch` beside its keys, and its trace.

    `now` is Unix time in seconds, for `timestamp`. Raises `StartRefused` for what JSON cannot express.
    """
    body = with_group(ref.task_type, ref.group_id, payload)
    message = {
        "task_type": ref.task_type,
        "task_id": ref.task_id,
        **{key: value for key, value in body.items() if key not in WIRE_KEYS},
        **({TRACE: dict(trace)} if trace else {}),
        # The scripts look for these two at the end.
        "timestamp": time.time() if now is None else now,
        EPOCH: ref.epoch,
    }
    try:
        return json.dumps(message).encode()
    except (TypeError, ValueError, RecursionError):
        raise StartRefused(f"the payload of task {ref.task_id} cannot be written as JSON") from None


def with_group(task_type: str, group_id: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload with its group under the one key that handlers of the type know it by."""
    wire = TYPES.get(task_type)
    group_key = wire.group_key if wire else "group_id"
    body = {group_key: group_id, **payload}
    if group_key != "group_id":
        body.pop("group_id", None)
    return body


def for_handler(task_id: str, task_type: str, group_id: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload that a handler gets: complete, and the same from each backend and each producer."""
    body = with_group(task_type, group_id, payload)
    return {"timestamp": time.time(), **body, "task_type": task_type, "task_id": task_id}


def decode(raw: bytes) -> TaskMessage:
    """The task that these bytes name. Raises `NotATask`."""
    try:
        message = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotATask("not UTF-8") from None
    except RecursionError:
        raise NotATask("nested too deeply") from None
    except ValueError:
        raise NotATask("not JSON") from None
    if not isinstance(message, dict):
        raise NotATask("not a JSON object")
    task_id, task_type = _name(message, "task_id"), _name(message, "task_type")
    epoch, trace = message.pop(EPOCH, None), message.pop(TRACE, None)
    if epoch is not None and (type(epoch) is not int or not 0 < epoch < 2**31):
        raise NotATask(f"{EPOCH} is not a positive number")
    if epoch is None and raw.count(b"[") + raw.count(b"{") > _DEEPEST and _is_deeper(message, _DEEPEST):
        raise NotATask("nested too deeply")
    return TaskMessage(task_id, task_type, epoch, message, _context(trace))


def _is_deeper(value: object, levels: int) -> bool:
    """Whether arrays and objects are nested in more levels than these."""
    level: list[Any] = [value]
    for _ in range(levels):
        below = []
        for one in level:
            for item in one.values() if type(one) is dict else one:
                if type(item) is list or type(item) is dict:
                    below.append(item)
        if not below:
            return False
        level = below
    return True


def _context(trace: object) -> Mapping[str, str]:
    """An invalid context counts as none; the task runs all the same."""
    if not isinstance(trace, dict):
        return {}
    return {name: value for name, value in trace.items() if isinstance(value, str)}


def _name(message: Mapping[str, Any], key: str) -> str:
    """A value that must be a string which every part of the system can store and show."""
    value = message.get(key)
    if not isinstance(value, str):
        raise NotATask(f"{key} is missing" if value is None else f"{key} is not a string")
    if not value or len(value) > _MAX_NAME or "\0" in value:
        raise NotATask(f"{key} is empty, too long or contains NUL")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise NotATask(f"{key} contains a lone surrogate") from None
    return value


def collected_parts(value: bytes) -> tuple[bytes, bytes]:
    """Group and payload of a value of `COLLECTED`, as `collection.lua` writes them."""
    length, _, rest = value.partition(b":")
    return rest[: int(length)], rest[int(length) :]


def json_fragment(text: str) -> str:
    """How a JSON string of this text looks inside its quotes: what Lua looks for before it parses anything."""
    return json.dumps(text)[1:-1]
