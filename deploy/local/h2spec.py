"""h2spec, which tries an HTTP/2 server case by case, for tests: from PATH, else built once by Go."""

from __future__ import annotations

from deploy.local.go_program import GoProgram
from deploy.local.versions import pinned

PROGRAM = GoProgram(
    "h2spec",
    "h2spec",
    "github.com/summerwind/h2spec",
    lambda: pinned().h2spec,
    "install Go to build it, or put h2spec on PATH",
    package="cmd/h2spec",
)
