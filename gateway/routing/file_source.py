"""The LaunchDarkly SDK's data from a file on this machine, in the format of the SDK's own file source.

The SDK's `Files` source is not used, for what was found in its version 9.18: with `watchdog` it never notices a
file that was replaced by rename (it looks at the event's source only), by polling it resolves symbolic links once
(so a Kubernetes ConfigMap never changes), it takes an empty object for "no flags, everybody off", prints a
traceback for a malformed file, and parses JSON as YAML (0.35 s of CPU for 10,000 tenants, against 1 ms).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ldclient.config import Config
from ldclient.interfaces import DataSourceErrorInfo, DataSourceErrorKind, DataSourceState, UpdateProcessor
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

from gateway.routing.errors import FlagFileInvalid
from gateway.routing.flag_document import FlagData, numbered, parse_document

logger = logging.getLogger(__name__)

#: Seconds between two looks at the file: one `stat` each, so a change is in force well within a second.
LOOK_SECONDS = 0.2

#: What tells one content of the file from another: device, inode, times of content and inode, size.
Mark = tuple[int, int, int, int, int] | None


class FlagFileSource(UpdateProcessor):
    """Hands the file's flags to the SDK, and each later content that is valid; looks at it by polling.

    A malformed or missing file changes nothing: what was last read stays in force, and `problem` says so. Before
    the first valid content there are no flags (`loaded` is False). `stop` may be called from any thread.
    """

    def __init__(
        self,
        path: Path,
        flag_key: str,
        config: Config,
        ready: threading.Event,
        on_problem: Callable[[], None],
    ) -> None:
        self._path = path
        self._flag_key = flag_key
        assert config.data_source_update_sink is not None  # the client sets it before it makes a source
        self._sink = config.data_source_update_sink
        self._ready = ready
        self._on_problem = on_problem
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="taskgate-flag-file", daemon=True)
        self._mark: Mark = None
        self._data: FlagData | None = None
        self._doubtful = False
        self._loads = 0
        self.problem: str | None = None
        self.loaded = False
        self.version: int | None = None
        """The version in force, as the file says; None before there is one."""

    def start(self) -> None:
        self._sink.init({FEATURES: {}, SEGMENTS: {}})
        self._look(patient=False)
        self._ready.set()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=1)

    def initialized(self) -> bool:
        """True: an absent file is an answer too (no flags)."""
        return True

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._look(patient=True)
            except Exception:
                logger.exception(
                    "The flag file %s could not be looked at; the last known flags stay in force", self._path
                )

    def _look(self, *, patient: bool) -> None:
        """Take the file's content over if it changed. `patient`: invalid content counts when it is still there at the
        next look, because an editor that writes in place shows half a file for a moment."""
        mark = self._read_mark()
        if mark == self._mark and not self._doubtful:
            return
        again, self._mark, self._doubtful = self._doubtful and mark == self._mark, mark, False
        try:
            data = self._read(mark)
        except FlagFileInvalid as error:
            if patient and not again:
                self._doubtful = True
            else:
                self._report(str(error))
            return
        if data is not None and data != self._data:
            self._loads += 1
            self._data = data
            self.version = int(data.features[self._flag_key]["version"])
            features, segments = numbered(data.features, self._loads), numbered(data.segments, self._loads)
            self._sink.init({FEATURES: features, SEGMENTS: segments})
            self._sink.update_status(DataSourceState.VALID, None)
            self.loaded = True
            # The first look is also that of everybody who only asks what a document would do.
            logger.log(logging.INFO if patient else logging.DEBUG, "Flags read from %s", self._path)
        self._report(None)

    def _read(self, mark: Mark) -> FlagData | None:
        if mark is None:
            if not self.loaded:
                return None
            raise FlagFileInvalid("it is gone")
        try:
            return parse_document(self._path.read_text(encoding="utf-8"), self._flag_key)
        except OSError as error:
            raise FlagFileInvalid(f"it cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise FlagFileInvalid(f"it is not UTF-8: {error.reason} at byte {error.start}") from error

    def _read_mark(self) -> Mark:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size

    def _report(self, reason: str | None) -> None:
        problem = None
        if reason is not None:
            kept = "the last known flags stay in force" if self.loaded else "every tenant is at stage off"
            problem = f"flag file {self._path}: {reason}; {kept}"
        if problem != self.problem:
            self.problem = problem
            if problem is None:
                logger.info("The flag file %s is valid again", self._path)
            else:
                logger.error("%s", problem)
                info = DataSourceErrorInfo(DataSourceErrorKind.INVALID_DATA, 0, time.time(), reason)
                self._sink.update_status(DataSourceState.INTERRUPTED, info)
            self._on_problem()
