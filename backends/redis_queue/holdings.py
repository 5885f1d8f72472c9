"""`give_back`: puts payloads back that a worker holds and does not run."""

from __future__ import annotations

from collections.abc import Sequence

from backends.redis_queue import scripts, wire
from backends.redis_queue.link import Argument, Link
from backends.redis_queue.pages import walk


async def give_back(
    link: Link, worker_id: str, *, keep: int, running: Sequence[str] = (), over: Sequence[str] = ()
) -> int:
    """Put back all but the payloads with these digests, as the next of their groups, and free the locks; how many.

    `keep`: seconds to keep the markers of those that turn out to be cancelled. `over`: tasks whose payloads without an
    epoch are removed; markers say it of all others. Raises as `Link.run` does.
    """
    groups = list(await link.call("SMEMBERS", f"{wire.HELD}{worker_id}"))
    arguments: tuple[Argument, ...] = (worker_id, keep, len(running), *running, len(over), *over)
    pages = walk(link, scripts.GIVE_BACK, arguments, groups)
    return sum([page.found async for page in pages])


async def sign_off(link: Link, worker_id: str, *, keep: int, over: Sequence[str] = ()) -> int:
    """Put back everything and remove the worker. Returns how many payloads that were. `over` as in `give_back`."""
    given_back = await give_back(link, worker_id, keep=keep, over=over)
    await link.run(scripts.SIGN_OFF, worker_id)
    return given_back
