"""How connections to Temporal are secured: TLS, a certificate of our own (mTLS), an API key. Files are followed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from temporalio.service import TLSConfig

from backends.errors import EngineUnavailable

log = logging.getLogger(__name__)

#: How often files and keys are looked at, at most (seconds).
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one connection is opened with."""

    tls: TLSConfig | bool
    api_key: str | None


class Security:
    """Without arguments nothing is secured.

    `server_ca`: authorities that may sign the server's certificate (default: those of the system). `server_name`: the
    name in it, if the address has another. `certificate`, `key`: our own. `api_key` returns the key of now. Files are
    PEM.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        server_ca: Path | None = None,
        server_name: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        api_key: Callable[[], str] | None = None,
    ) -> None:
        self._tls = tls or server_ca is not None or certificate is not None or api_key is not None
        self._server_name = server_name
        self._files = {"server_ca": server_ca, "certificate": certificate, "key": key}
        self._api_key = api_key
        self._looked_at = -LOOK_SECONDS
        self._version: tuple[object, ...] = ()

    def version(self) -> tuple[object, ...]:
        """Another one than before: connections are to be opened anew. Looks at most once a second."""
        if self._tls and (now := time.monotonic()) - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                self._version = (self._api_key and self._api_key(), *(_stamp(file) for file in self._files.values()))
            except OSError as error:
                # It is being replaced, perhaps: what is open stays open.
                log.warning("a certificate of the connection to Temporal cannot be read: %s", error)
        return self._version

    def credentials(self) -> Credentials:
        """As the files and the key are now. Raises `EngineUnavailable` when a file cannot be read, or is no PEM."""
        if not self._tls:
            return Credentials(False, None)
        parts: dict[str, bytes | None] = {}
        for name, file in self._files.items():
            try:
                parts[name] = None if file is None else file.read_bytes()
            except OSError as error:
                raise EngineUnavailable(f"{file}, for TLS to Temporal, cannot be read: {error.strerror}") from error
            if file is not None and b"-----BEGIN" not in (parts[name] or b""):
                raise EngineUnavailable(f"{file}, for TLS to Temporal, holds no PEM")
        config = TLSConfig(
            server_root_ca_cert=parts["server_ca"],
            domain=self._server_name,
            client_cert=parts["certificate"],
            client_private_key=parts["key"],
        )
        return Credentials(config, self._api_key and self._api_key())


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    if file is None:
        return None
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
