"""A client of LaunchDarkly's SDK, and its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from ldclient import Config, LDClient
from ldclient.config import HTTPConfig

logger = logging.getLogger(__name__)

#: Longest wait of `close_client` for the last events to be sent (seconds).
CLOSE_SECONDS = 2.0
#: Pause between two looks for another SDK key (seconds).
KEY_SECONDS = 1.0


def remote_config(sdk_key: str, base_url: str | None, store: Any) -> Config:
    """For a client that LaunchDarkly feeds, or a stand-in at `base_url`."""
    options = common(store)
    if base_url is not None:
        options |= dict.fromkeys(("base_uri", "stream_uri", "events_uri"), base_url)
    return Config(sdk_key, http=HTTPConfig(connect_timeout=3, read_timeout=5), **options)


def common(store: Any) -> dict[str, Any]:
    """The options of every client."""
    return {"feature_store": store, "omit_anonymous_contexts": True, "diagnostic_opt_out": True}


async def other_key(key: Callable[[], str], used: str) -> None:
    """Return once the key is another than `used`."""
    while key() == used:
        await asyncio.sleep(KEY_SECONDS)


async def close_client(client: LDClient) -> None:
    """Stop receiving flags; events not yet sent are given `CLOSE_SECONDS`."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def close() -> None:
        client.close()  # type: ignore[no-untyped-call]
        if not loop.is_closed():
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="taskgate-flags-close", daemon=True).start()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await closed.wait()
    except TimeoutError:
        logger.warning("LaunchDarkly did not take the last events within %s s; they are dropped", CLOSE_SECONDS)
