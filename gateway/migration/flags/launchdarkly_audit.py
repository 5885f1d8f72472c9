"""Who changed a flag in LaunchDarkly: its stream does not say, its audit log does."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from backends.errors import TaskgateError
from gateway.migration.flags.launchdarkly_api import LaunchDarklyApi
from gateway.migration.ledger.authors import Author

logger = logging.getLogger(__name__)

#: Longest wait for an answer (seconds): the change is in force as much later.
ANSWER_SECONDS: Final = 2.0


class LaunchDarklyAuditLog:
    """Asks for the newest entry about the flag. An API that does not answer keeps no change back."""

    def __init__(self, api: LaunchDarklyApi) -> None:
        self._api = api

    async def newest(self) -> Author | None:
        """None when LaunchDarkly does not say; the gateway's log then has why."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                entries = await self._api.audit_log(1)
        except (TaskgateError, TimeoutError) as error:
            logger.warning("LaunchDarkly's audit log does not say who changed the flag: %s", error)
            return None
        if not entries:
            return None
        entry = entries[0]
        who = (entry.get("member") or {}).get("email") or (entry.get("token") or {}).get("name") or ""
        why = entry.get("comment") or entry.get("description") or entry.get("titleVerb") or ""
        return Author(str(who), str(why), {"audit_log": entry.get("_id")})
