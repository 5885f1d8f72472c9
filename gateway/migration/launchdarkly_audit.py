"""Who changed a flag in LaunchDarkly: its stream does not say, its audit log does (REST API, with a token)."""

from __future__ import annotations

import logging
from typing import Any, Final

import httpx

from gateway.migration.authors import Author

logger = logging.getLogger(__name__)

#: Longest wait for an answer (seconds): the change waits as long.
ANSWER_SECONDS: Final = 2.0


class LaunchDarklyAuditLog:
    """Asks for the newest entry about the flag. An API that does not answer keeps no change back."""

    def __init__(self, api_url: str, token: str) -> None:
        self._url = f"{api_url.rstrip('/')}/api/v2/auditlog"
        self._token = token

    async def newest(self, flag_key: str) -> Author | None:
        """None when LaunchDarkly does not say; the log then says why not."""
        try:
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
                answer = await http.get(
                    self._url,
                    params={"spec": f"proj/*:env/*:flag/{flag_key}", "limit": 1},
                    headers={"Authorization": self._token, "LD-API-Version": "20240415"},
                )
            answer.raise_for_status()
            items = answer.json()["items"]
            return _author(items[0]) if items else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            logger.warning("LaunchDarkly's audit log does not say who changed the flag: %s", error)
            return None


def _author(item: dict[str, Any]) -> Author:
    who = (item.get("member") or {}).get("email") or (item.get("token") or {}).get("name") or ""
    why = item.get("comment") or item.get("description") or item.get("titleVerb") or ""
    return Author(str(who), str(why), {"audit_log": item.get("_id")})
