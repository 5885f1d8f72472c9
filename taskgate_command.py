"""The command `taskgate`, whatever folders there are where it is called or in PYTHONPATH.

Our packages have ordinary names. A folder `gateway` or `workers` of a handler's author, in PYTHONPATH, would be
imported in their place; therefore what is installed beside this module comes first, here and in the processes that
are started from here. It is a module of its own because nothing of ours can be imported before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Runs `gateway.cli.main`."""
    own = str(Path(__file__).resolve().parent)
    sys.path.insert(0, own)
    if theirs := os.environ.get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = f"{own}{os.pathsep}{theirs}"

    from gateway.cli.main import main as command

    command()
