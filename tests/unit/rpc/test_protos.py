"""The protos: in the style of buf, compatible with the last release, and what is generated from them is committed."""

from __future__ import annotations

import filecmp
import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import taskgate.v1

from gateway.rpc.generate import GENERATED, HERE, PROTOS, generate, names_of

ROOT = Path(__file__).resolve().parents[3]
#: The API as it was published last: `buf build gateway/rpc --exclude-source-info -o gateway/rpc/published.json`.
PUBLISHED = HERE / "published.json"


def git(*arguments: str) -> bytes | None:
    """What git says, None where it has nothing to say (no tag, no repository)."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


async def test_style(buf: Any) -> None:
    assert await buf("lint", HERE) == (0, "")
    assert await buf("format", "--diff", "--exit-code", HERE) == (0, "")


async def test_nothing_breaks_clients(buf: Any, tmp_path: Path) -> None:
    """Against what was published, and against the last tag, once there is one.

    The image in the repository holds wherever the sources are: in a shallow clone, in an archive, before the first tag.
    """
    assert await buf("breaking", HERE, "--against", PUBLISHED) == (0, "")
    tag = git("describe", "--tags", "--abbrev=0")
    released = git("archive", tag.decode().strip(), "gateway/rpc") if tag else None
    if released is None:
        return
    with tarfile.open(fileobj=io.BytesIO(released)) as archive:
        archive.extractall(tmp_path, filter="data")
    if (tmp_path / "gateway/rpc/buf.yaml").exists():
        assert await buf("breaking", HERE, "--against", tmp_path / "gateway/rpc") == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  int32 retries = 13;\n", ""),
        ("int32 retries = 13;", "int64 retries = 13;"),
        ("int32 retries = 13;", "int32 retry_count = 13;"),
        ("TASK_STATUS_FAILED = 4", "TASK_STATUS_BROKEN = 4"),
    ],
    ids=["removed", "another type", "another name", "enum value"],
)
async def test_the_check_finds_what_breaks_clients(buf: Any, tmp_path: Path, old: str, new: str) -> None:
    """A check that finds nothing anywhere would always pass."""
    changed = tmp_path / "rpc"
    for file in ("buf.yaml", *PROTOS):
        (changed / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / file, changed / file)
    assert await buf("breaking", changed, "--against", HERE) == (0, "")

    proto = changed / "taskgate/v1/task.proto"
    text = proto.read_text(encoding="utf-8")
    assert old in text
    proto.write_text(text.replace(old, new), encoding="utf-8")

    code, output = await buf("breaking", changed, "--against", HERE)
    assert code != 0
    assert "task.proto" in output


def test_what_is_generated_is_committed(tmp_path: Path) -> None:
    """`make proto` brings it up to date."""
    generate(tmp_path)
    fresh = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    known = {path.relative_to(GENERATED) for path in GENERATED.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert fresh == known
    different = [str(path) for path in fresh if not filecmp.cmp(tmp_path / path, GENERATED / path, shallow=False)]
    assert different == []


def test_the_package_offers_everything_that_the_protos_define() -> None:
    for proto in PROTOS:
        names, services = names_of((HERE / proto).read_text(encoding="utf-8"))
        for name in (*names, *(f"{service}Stub" for service in services)):
            assert name in taskgate.v1.__all__
            assert hasattr(taskgate.v1, name)


def test_names_are_found() -> None:
    proto = "message A {\n  message B {}\n}\nenum C {\n  // Why.\n  C_X = 0;\n  C_Y = 1;\n}\nservice D {}\n"
    assert names_of(proto) == (["A", "C", "C_X", "C_Y"], ["D"])
