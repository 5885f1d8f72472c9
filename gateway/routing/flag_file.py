"""The flag file as an editor sees it: read, changed under a lock, replaced in one step, with a record of who and why.

The record, `<file>.history.jsonl`, is written before the file is replaced: a crash between the two leaves a change
that is recorded and did not happen (its version will be used again), never one that nobody answers for.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from gateway.routing.errors import FlagChangeRefused, FlagFileBusy, FlagFileInvalid, FlagVersionStale
from gateway.routing.flag_document import Json, parse_document
from gateway.routing.flag_edit import new_flag

#: Seconds an edit waits for another one to end.
LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One line of the record. `before` and `after` say in words what stood for `what`."""

    at: str
    who: str
    what: str
    before: str
    after: str
    why: str
    version: int


def now() -> str:
    """The time of a change."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class FlagFile:
    """Edits of one flag in one file; several processes may edit at once, and readers never see half a file."""

    def __init__(self, path: Path, flag_key: str) -> None:
        self.path = path
        self.flag_key = flag_key
        self.history_path = path.with_name(path.name + ".history.jsonl")

    def read(self) -> Json | None:
        """The flag, None when there is no file. Raises `FlagFileInvalid`."""
        document = self._read_document()
        return None if document is None else self._flag_in(document)

    def edit(
        self,
        change: Callable[[Json], Json],
        *,
        who: str,
        why: str,
        what: str,
        describe: Callable[[Json], str],
    ) -> FlagChange:
        """Replace the flag by what `change` makes of it; a file that does not exist begins with `off` for all.

        `what` names the thing changed, `describe` says what a flag holds for it. Raises `FlagFileInvalid` (the file
        was malformed, and stays as it is), `FlagFileBusy`, `FlagChangeRefused`, `OSError`.
        """
        if not why.strip():
            raise FlagChangeRefused("say why")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            document = self._read_document() or {"flags": {self.flag_key: new_flag(self.flag_key)}}
            before = self._flag_in(document)
            after = {**change(before), "version": int(before.get("version", 0)) + 1}
            document["flags"][self.flag_key] = after
            record = FlagChange(now(), who, what, describe(before), describe(after), why.strip(), after["version"])
            self._write(document, record)
        return record

    def document(self) -> Json | None:
        """All that the file holds, None when there is no file. Raises `FlagFileInvalid`."""
        return self._read_document()

    def replace(self, document: Json, change: FlagChange, *, instead_of: Json | None) -> FlagChange:
        """Write a whole document; `instead_of` is what the file must hold still (None: anything).

        Raises `FlagVersionStale` when it holds something else, and what `edit` raises.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if instead_of is not None and (self._read_document() or {}) != instead_of:
                raise FlagVersionStale
            self._write(document, change)
        return change

    def history(self) -> list[FlagChange]:
        """Every recorded change, the oldest first; lines that are no record are passed over."""
        try:
            lines = self.history_path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(FlagChange(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return found

    def _read_document(self) -> Json | None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise FlagFileInvalid(f"flag file {self.path}: it is not UTF-8 ({error.reason})") from error
        try:
            parse_document(text, self.flag_key)
        except FlagFileInvalid as error:
            raise FlagFileInvalid(f"flag file {self.path}: {error}") from None
        document: Json = json.loads(text)
        return document

    def _flag_in(self, document: Json) -> Json:
        flag = (document.get("flags") or {}).get(self.flag_key)
        if flag is None:
            raise FlagFileInvalid(
                f"flag file {self.path}: the flag stands under 'flagValues', where it cannot be changed by tenant"
            )
        return dict(flag)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The file itself cannot carry the lock, since every edit replaces it."""
        tries = Retrying(
            retry=retry_if_exception_type(BlockingIOError), stop=stop_after_delay(LOCK_SECONDS), wait=wait_fixed(0.02)
        )
        with open(self.path.with_name(self.path.name + ".lock"), "a") as lock:
            try:
                tries(fcntl.flock, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except RetryError:
                raise FlagFileBusy from None
            yield

    def _write(self, document: Json, record: FlagChange) -> None:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        parse_document(text, self.flag_key)
        self._replace(text, record)

    def _replace(self, text: str, record: FlagChange) -> None:
        target = Path(os.path.realpath(self.path))
        old = _stat(target)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(descriptor, 0o644 if old is None else old.st_mode & 0o777)
                if old is not None:
                    with suppress(PermissionError):
                        os.fchown(descriptor, old.st_uid, old.st_gid)
                os.fsync(descriptor)
            self._append(record)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)

    def _append(self, record: FlagChange) -> None:
        with open(self.history_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _sync_directory(path: Path) -> None:
    """Makes the rename itself survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
