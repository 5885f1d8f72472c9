"""`docs/grpc.md` names every service that the protos define, and no other."""

from __future__ import annotations

import re

from gateway.rpc.generate import HERE, PROTOS, names_of
from tests.unit.docs.test_links import DOCS


def test_the_table_of_services_is_that_of_the_protos() -> None:
    page = (DOCS / "grpc.md").read_text(encoding="utf-8")
    table = page.partition("## Services\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    defined = [name for proto in PROTOS for name in names_of((HERE / proto).read_text(encoding="utf-8"))[1]]
    assert defined
    assert sorted(named) == sorted(defined)
