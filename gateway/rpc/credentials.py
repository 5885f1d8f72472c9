"""TLS of the gRPC face: a certificate of its own, and, for mTLS, the authorities whose clients are let in."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files. They are read anew when one of them was changed: a renewed certificate needs no restart."""

    certificate: Path
    key: Path
    client_ca: Path | None

    def context(self) -> ssl.SSLContext:
        """TLS for a server. Raises `OSError` for an unreadable file, `ValueError` for one without PEM."""
        stamps = self._stamps()
        first = current = self._read()

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            nonlocal stamps, current
            try:
                if (now := self._stamps()) != stamps:
                    current, stamps = self._read(), now
                    log.info("the certificate files of the gRPC face were read anew")
            except (OSError, ValueError) as error:
                # Half-written, perhaps: the old one still serves, and the next connection looks again.
                log.warning("the certificate files of the gRPC face cannot be read: %s", error)
            if current is not first:
                connection.context = current

        first.sni_callback = choose  # called for clients that name no server, too
        return first

    def _files(self) -> list[Path]:
        return [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [(found.st_mtime_ns, found.st_size, found.st_ino) for found in (file.stat() for file in self._files())]

    def _read(self) -> ssl.SSLContext:
        for file in self._files():
            if "-----BEGIN" not in file.read_text(encoding="latin-1"):
                raise ValueError(f"{file} holds no PEM")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)
        return context


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """The files that the settings name; None: no TLS. Raises `ValueError` for settings that do not go together."""
    certificate, key, client_ca = settings.grpc_tls_certificate, settings.grpc_tls_key, settings.grpc_tls_client_ca
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ValueError("TASKGATE_GRPC_TLS_CERTIFICATE and TASKGATE_GRPC_TLS_KEY belong together")
    return CertificateFiles(certificate, key, client_ca)
