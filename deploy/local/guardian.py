"""Destroys a test's stack when the process that made it is gone, however it went.

Servers are started detached, so a test run that is killed would leave them behind. The guardian reads from a pipe
that the test run holds open: its end is the test run's end.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import IO

from deploy.local.process import destroy_directory


class Guardian:
    """Watches over one directory from a process of its own until `dismiss`."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.guardian", str(directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )

    def dismiss(self) -> None:
        """Ends the watch: the directory is destroyed if it is still there."""
        self._process.communicate()


def watch(pipe: IO[bytes], directory: Path) -> None:
    """Waits for the other end of the pipe to be closed."""
    pipe.read()
    if directory.exists():
        asyncio.run(destroy_directory(directory))


if __name__ == "__main__":
    watch(sys.stdin.buffer, Path(sys.argv[1]))
