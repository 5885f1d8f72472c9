"""Which revisions of the schema this release knows; without alembic, which is slow to import, and workers lack it."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def known_revisions() -> tuple[str, ...]:
    """The oldest first. Each is a module of the migrations, named after it, and they sort in their order."""
    folder = resources.files("gateway.storage.schema") / "migrations" / "versions"
    names = [entry.name for entry in folder.iterdir()]
    return tuple(sorted(name.removesuffix(".py") for name in names if name[0].isdigit() and name.endswith(".py")))
