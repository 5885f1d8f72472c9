"""Chromium for the tests of the console: `TASKGATE_CHROMIUM`, else from PATH, else Debian's package, by apt."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.errors import PartUnavailableError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_HINT = "install Chromium (Debian: apt-get install chromium), or name it: TASKGATE_CHROMIUM"


async def locate(report: Report) -> Path:
    """The program. Raises `PartUnavailableError`."""
    if named := os.environ.get("TASKGATE_CHROMIUM"):
        return Path(named)
    if (found := _found()) is None and os.geteuid() == 0:
        apt = require_tool("chromium", "apt-get", _HINT)
        here = Path.cwd()
        await run_build("package lists", [apt, "update"], report, cwd=here)
        # The second package has the Chinese glyphs of the console's texts.
        packages = ("chromium", "fonts-wqy-zenhei")
        await run_build("chromium", [apt, "install", "-y", "--no-install-recommends", *packages], report, cwd=here)
        found = _found()
    if found is None:
        raise PartUnavailableError("chromium", _HINT)
    return found


def _found() -> Path | None:
    return next((Path(path) for name in _NAMES if (path := shutil.which(name))), None)
