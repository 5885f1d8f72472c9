"""Which ports callbacks may go to: those of the web, and those of a setting."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Open without a setting.
WEB_PORTS = (range(80, 81), range(443, 444))

_FORM = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def ports_of(texts: Iterable[str]) -> tuple[range, ...]:
    """Ports and ranges of ports: `8443`, `9000-9099`. Raises `ValueError`."""
    found = []
    for text in texts:
        bounds = _FORM.fullmatch(text)
        ports = range(int(bounds[1]), int(bounds[2] or bounds[1]) + 1) if bounds else range(0)
        if not ports or ports[0] < 1 or ports[-1] >= 2**16:
            raise ValueError(f"{text!r} is neither a port nor a range of ports")
        found.append(ports)
    return tuple(found)
