"""The ports of one stack: those it runs on, those that are asked for, those it had, the defaults, and free ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

from deploy.local.ports import PortChoice, free_port, is_free, port, variable
from deploy.local.process import ManagedProcess

#: Ports by the name in their variables: whose process notes them, under which name.
_NOTED = {
    "http": ("gateway", "port"),
    "grpc": ("gateway", "grpc"),
    **{name: (name.replace("_", "-"), "port") for name in ("temporal_2", "temporal_3", "temporal_ui")},
}


class ChosenPorts:
    """Chooses once for each name, and remembers from one `up` to the next."""

    def __init__(self, directory: Path, choice: PortChoice) -> None:
        self.moved: dict[str, str] = {}
        """What to say of a port that is not the default one, by its name."""
        self._directory = directory
        self._choice = choice
        self._file = directory / "ports.json"
        self._chosen: dict[str, int] = {}

    def choose(self, name: str) -> int:
        """The port called `name`. One that the environment names is taken as it is, also when it is not free."""
        if name not in self._chosen:
            self._chosen[name] = self._choose(name)
        return self._chosen[name]

    def remember(self) -> None:
        """For the next time, when the servers may be down and a shell still has their addresses."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._chosen))

    def _choose(self, name: str) -> int:
        process, note = _NOTED.get(name, (name, "port"))
        managed = ManagedProcess(process, self._directory)
        noted = managed.record().get(note)
        if self._choice == "free":
            return noted if isinstance(noted, int) else free_port()
        wanted = port(name, "default")
        if os.environ.get(variable(name)):
            return wanted
        if isinstance(noted, int) and managed.find() is not None:
            return noted
        for number in (self._remembered().get(name, wanted), wanted):
            if is_free(number):
                return number
        number = free_port()
        self.moved[name] = f"port {wanted} is taken, {number} is used instead; {variable(name)} chooses another"
        return number

    def _remembered(self) -> dict[str, int]:
        try:
            return {name: int(number) for name, number in json.loads(self._file.read_text()).items()}
        except (FileNotFoundError, ValueError):
            return {}
