"""The console: `python -m deploy.local.console build|check|types`."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.cache import file_lock
from deploy.local.errors import PartUnavailableError, StackError

HOME = Path(__file__).resolve().parents[2] / "gateway" / "console"
BUILT = HOME / "dist"
_INSTALLED = HOME / "node_modules" / ".installed-from"
_BUILT_FROM = BUILT / ".built-from"
_TYPES = HOME / "src" / "api" / "schema.d.ts"
_PACKAGES = ("package.json", "package-lock.json", ".npmrc")
_BUILD_INPUTS = (*_PACKAGES, "index.html", "vite.config.ts", "tsconfig.json")
_NODE = "install Node.js 20 or newer"


async def build(report: Report) -> None:
    """The files that the gateway serves, unless they are those of these sources already.

    Raises `PartUnavailableError` without npm, `StackError` when the build fails.
    """
    sources = _stamp([*(HOME / name for name in _BUILD_INPUTS), *sorted(_files(HOME / "src"))])
    if _read(_BUILT_FROM) == sources:
        return
    await install(report)
    await run_build("console", [_npm(), "run", "build"], report, cwd=HOME)
    _BUILT_FROM.write_text(sources)


async def install(report: Report) -> None:
    """The packages of the lock file. Raises as `build` does."""
    packages = _stamp([HOME / name for name in _PACKAGES])
    # A second `npm ci` would take the packages from whoever uses them.
    async with file_lock(
        HOME.parents[1] / ".local" / "console.lock", lambda: report("console packages: another one installs them")
    ):
        if _read(_INSTALLED) != packages:
            await run_build("console packages", [_npm(), "ci"], report, cwd=HOME)
            _INSTALLED.write_text(packages)


def generate_types(place: Path = _TYPES) -> None:
    """TypeScript's types of the API, from the gateway's OpenAPI document."""
    document = json.dumps(_without_examples(_openapi()))
    done = subprocess.run(
        [str(HOME / "node_modules/.bin/openapi-typescript"), "--output", str(place)],
        input=document,
        capture_output=True,
        text=True,
        check=False,
        cwd=HOME,
    )
    if done.returncode != 0:
        raise StackError(f"console: types of the API: {done.stderr.strip()}")


def _openapi() -> dict[str, Any]:
    # Here, because nothing else of the stack needs the gateway's code.
    from gateway.app import create_app
    from gateway.bootstrap import build_gateway
    from gateway.settings import Settings

    return create_app(build_gateway(Settings(), engines={})).openapi()


def _without_examples(value: Any) -> Any:
    """They are half of the document, and no part of a type."""
    if isinstance(value, dict):
        return {
            name: _without_examples(member)
            for name, member in value.items()
            if name not in ("example", "examples") or not isinstance(member, dict | list)
        }
    return [_without_examples(member) for member in value] if isinstance(value, list) else value


def _npm() -> str:
    return require_tool("console", "npm", _NODE)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _stamp(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(HOME)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _check() -> int:
    """Lint, types and unit tests of the console, and whether the API's types are those of this gateway."""
    code = 0
    for arguments in (["run", "lint"], ["run", "types"], ["test"]):
        code |= subprocess.run([_npm(), "--silent", *arguments], cwd=HOME, check=False).returncode
    fresh = HOME / "node_modules" / "schema.d.ts"
    generate_types(fresh)
    if fresh.read_bytes() != _TYPES.read_bytes():
        print("the types of the API are old: run `make console-types`", file=sys.stderr)
        code = 1
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.console", description="The console's tools.")
    parser.add_argument("command", choices=("build", "check", "types"))
    command = parser.parse_args().command
    try:
        if command == "build":
            asyncio.run(build(print))
            print(f"the console's files are in {BUILT}")
            return 0
        asyncio.run(install(print))
        if command == "check":
            return _check()
        generate_types()
    except (StackError, PartUnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
