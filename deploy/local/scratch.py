"""Where servers keep what nobody keeps: in memory, where there is enough of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
#: Two test sessions beside each other were seen to hold less than 2 GB there.
NEEDED_BYTES = 6 * 1024**3


def scratch() -> Path | None:
    """The directory for data of servers that end with their test; None: the usual one for temporary files.

    On a disk most of a test's time went by while its database was made and dropped, which are hundreds of files.
    """
    try:
        room = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
    except OSError:
        return None
    return MEMORY if room >= NEEDED_BYTES and os.access(MEMORY, os.W_OK) else None
