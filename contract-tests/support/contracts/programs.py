"""Programs that tests need beside those of the stack."""

from __future__ import annotations

import shutil

import pytest


def go() -> str:
    """Where Go is. It is needed, as for the servers (README.md): a test that is left out shows nothing."""
    found = shutil.which("go")
    if found is None:
        pytest.fail("no `go` on PATH: install Go 1.24 or newer", pytrace=False)
    return found
