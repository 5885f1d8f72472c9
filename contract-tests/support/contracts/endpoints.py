"""Every endpoint of the legacy API that the gateway serves (contract §2, §3, §4), with a request that is valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.people import Household


@dataclass(frozen=True)
class Endpoint:
    """`{task}` in the path stands for the id of a task."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


TASKS = "/api/v1/tasks"

#: §2 without those of one task.
LISTS = [
    Endpoint("GET", f"{TASKS}/stats"),
    Endpoint("GET", f"{TASKS}/queue-depth"),
    Endpoint("GET", f"{TASKS}/recent"),
    Endpoint("GET", f"{TASKS}/status-breakdown"),
    Endpoint("GET", f"{TASKS}/"),
]
#: §2, one task.
OF_TASK = [
    Endpoint("GET", f"{TASKS}/{{task}}"),
    Endpoint("POST", f"{TASKS}/{{task}}/retry"),
    Endpoint("POST", f"{TASKS}/{{task}}/stop"),
    Endpoint("POST", f"{TASKS}/{{task}}/cancel"),
]
#: §4. `background=true`, because the default waits.
CREATING = [
    Endpoint("POST", "/api/v1/episodes/"),
    Endpoint("POST", "/api/v1/memories/"),
    Endpoint("POST", "/api/v1/communities/rebuild", (("background", "true"),)),
    Endpoint("POST", "/api/v1/maintenance/refresh/incremental"),
    Endpoint("POST", "/api/v1/maintenance/deduplicate"),
    Endpoint("POST", "/api/v1/maintenance/optimize"),
]
ALL = [*LISTS, *OF_TASK, *CREATING]
#: Those that read a JSON body.
WITH_BODY = [endpoint for endpoint in CREATING if "communities" not in endpoint.path]


def body_of(endpoint: Endpoint, home: Household) -> dict[str, Any] | None:
    """A valid body."""
    match endpoint.path.rpartition("/api/v1/")[2]:
        case "episodes/":
            return {"content": "Ada met Charles.", "project_id": home.project_id}
        case "memories/":
            return {"project_id": home.project_id, "title": "A meeting", "content": "Ada met Charles."}
        case "maintenance/refresh/incremental":
            return {"episode_uuids": ["e1"]}
        case "maintenance/deduplicate":
            return {"dry_run": False}
        case "maintenance/optimize":
            return {"operations": ["incremental_refresh"], "dry_run": False}
    return None
