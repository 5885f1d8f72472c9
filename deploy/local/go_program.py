"""Servers that are one program of a Go module: from PATH, else built once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.cache import obtain
from deploy.local.part import Part


@dataclass(frozen=True)
class GoProgram:
    """`name` is the part's, `package` its place in `module`; `install` says what to do without Go."""

    name: str
    program: str
    module: str
    version: Callable[[], str]
    install: str
    package: str = "cmd/server"

    async def locate(self, report: Report) -> Path:
        """PATH, else the cache, which is filled when empty. Raises `PartUnavailableError`."""
        on_path = shutil.which(self.program)
        if on_path:
            return Path(on_path)
        version = self.version()

        async def build(directory: Path) -> None:
            go = require_tool(self.name, "go", self.install)
            await go_install(
                self.name, go, f"{self.module}/{self.package}@v{version}", directory / self.program, report
            )

        waiting = f"{self.name}: another process is building it; waiting"
        return (await obtain(f"{self.name}-{version}", build, lambda: report(waiting))) / self.program


class GoProgramPart(Part):
    """A part that is such a program, on the loopback address."""

    def __init__(self, program: GoProgram, name: str, directory: Path, port: int, report: Report) -> None:
        super().__init__(name, directory, port, report)
        self._go_program = program
        self._path: Path | None = None

    @property
    def url(self) -> str:
        """Its address over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        """Finds the program or builds it."""
        await self.program()

    async def program(self) -> Path:
        """Where it is."""
        self._path = self._path or await self._go_program.locate(self.report)
        return self._path


async def go_install(what: str, go: str, package: str, target: Path, report: Report) -> None:
    """`go install` of one program, under the name that we want; Go's own name is the package's last part."""
    directory = target.parent
    await run_build(what, [go, "install", package], report, env={"GOBIN": str(directory)}, cwd=directory)
    (directory / package.split("@")[0].rsplit("/", 1)[1]).replace(target)
