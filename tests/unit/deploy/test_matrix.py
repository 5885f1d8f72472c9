"""`make matrix` says how each row ended, with its number of tests; one not to be had does not hide the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.local import matrix
from deploy.local.errors import PartUnavailableError


async def nothing(_: Path) -> Mapping[str, str]:
    return {}


async def missing(_: Path) -> Mapping[str, str]:
    raise PartUnavailableError("postgres: there is no PostgreSQL 14 here; install it")


async def test_each_row_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.py").write_text("import pytest\ndef test_one(): pass\n@pytest.mark.skip\ndef test_two(): pass\n")
    (tmp_path / "bad.py").write_text("def test_one(): assert False\n")
    options = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", "/dev/null", "-p", "no:xdist"]
    rows = (
        matrix.Row("postgres-14", [], missing),
        matrix.Row("good", [*options, str(tmp_path / "good.py")], nothing),
        matrix.Row("bad", [*options, str(tmp_path / "bad.py")], nothing),
    )
    monkeypatch.setattr(matrix, "ROWS", rows)
    monkeypatch.delenv("ROWS", raising=False)
    assert await matrix.main() == 1
    *_, first, second, third = capfd.readouterr().out.splitlines()
    assert first.split(maxsplit=2)[:2] == ["not", "here"]
    assert "no PostgreSQL 14 here" in first
    assert second.startswith("passed    good")
    assert "2 tests, 1 skipped" in second
    assert third.startswith("FAILED    bad")
    assert "1 tests, 1 failed" in third
    monkeypatch.setenv("ROWS", "good")
    assert await matrix.main() == 0


def test_a_row_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", "redis-5")
    with pytest.raises(SystemExit, match="no row redis-5; there are postgres-15"):
        matrix.chosen()
