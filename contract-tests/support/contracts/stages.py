"""For suites that need not run at every stage."""

from __future__ import annotations

import pytest

#: What is answered before a task would be routed, is the same at every stage. At this one Redis is down for good.
AT_ONE_STAGE = pytest.mark.parametrize("world", ["complete"], indirect=True, scope="session")
