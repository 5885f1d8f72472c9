"""What tasks left: lines of the file that each of them appends to."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path


class Effects:
    """The lines that tasks left, read as they come: wall clocks by event and task."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()
        self._offset = 0
        self._rest = b""
        self.times: dict[str, dict[str, list[tuple[float, int]]]] = defaultdict(lambda: defaultdict(list))

    def read(self) -> None:
        with self.file.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event, task, pid, at = line.decode().split()
            self.times[event][task].append((float(at), int(pid)))

    async def wait(self, event: str, tasks: list[str], *, runs: int = 1, seconds: float = 120.0) -> bool:
        """Whether each of the tasks has left so many lines of this event, in time."""
        deadline = time.monotonic() + seconds
        missing = list(tasks)
        while True:
            self.read()
            found = self.times[event]
            while missing and len(found[missing[-1]]) >= runs:
                missing.pop()
            if not missing:
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.005)

    def first(self, event: str, task: str) -> float:
        return self.times[event][task][0][0]
