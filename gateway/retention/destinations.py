"""Where rows of `task_logs` go before they are deleted: a folder, or an S3-compatible store."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Protocol

from gateway.retention.errors import ArchiveExtraMissing, ExportFailed

S3 = "s3://"


class Destination(Protocol):
    """Keeps files."""

    async def put(self, name: str, content: bytes) -> None:
        """Once this returns, the whole file is on stable storage. Raises `ExportFailed`."""


class Folder:
    """Files below a folder. One that was cut in the middle has another name (`.part`), and is written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, name: str, content: bytes) -> None:
        try:
            await asyncio.to_thread(self._write, self._path / name, content)
        except OSError as error:
            raise ExportFailed(f"{self._path}: {error.strerror}") from error

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)  # it would keep the disk full
            raise
        folder = path.parent
        while True:
            _sync(folder)
            if folder == self._path:
                return
            folder = folder.parent


class Bucket:
    """Objects below a prefix, `s3://bucket/prefix`. Keys, region and endpoint: the variables `AWS_…`."""

    def __init__(self, url: str) -> None:
        """Raises `ArchiveExtraMissing`."""
        try:
            from obstore.store import S3Store
        except ImportError:
            raise ArchiveExtraMissing from None

        self._url = url
        self._store = S3Store.from_url(url)

    async def put(self, name: str, content: bytes) -> None:
        from obstore.exceptions import BaseError

        try:
            await self._store.put_async(name, content)
        except (BaseError, OSError) as error:
            raise ExportFailed(f"{self._url}: {type(error).__name__}") from error


def destination_of(place: str) -> Destination:
    """By what `TASKGATE_RETENTION_EXPORT` says. Raises `ArchiveExtraMissing`."""
    return Bucket(place) if place.startswith(S3) else Folder(Path(place))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
