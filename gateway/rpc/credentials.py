"""TLS of the gRPC face: a certificate of its own, and, for mTLS, the authorities whose clients are let in."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files. They are read anew when one of them was changed: a renewed certificate needs no restart."""

    certificate: Path
    key: Path
    client_ca: Path | None

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for a server. Raises `OSError` for an unreadable file, `ValueError` for one without PEM."""
        stamps = self._stamps()
        current = self._read()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal stamps
            try:
                if (now := self._stamps()) == stamps:
                    return None
                renewed = self._read()
            except (OSError, ValueError) as error:
                # Half-written, perhaps: the old one still serves, and the next connection looks again.
                log.warning("the certificate files of the gRPC face cannot be read: %s", error)
                return None
            stamps = now
            log.info("the certificate files of the gRPC face were read anew")
            return renewed

        return grpc.dynamic_ssl_server_credentials(
            current,
            fetch,  # type: ignore[arg-type]  # None: nothing new, as grpc documents it
            require_client_authentication=self.client_ca is not None,
        )

    def _files(self) -> list[Path]:
        return [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [(found.st_mtime_ns, found.st_size, found.st_ino) for found in (file.stat() for file in self._files())]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        certificate, key, *authorities = (file.read_bytes() for file in self._files())
        for file, content in zip(self._files(), (certificate, key, *authorities), strict=True):
            if b"-----BEGIN" not in content:
                raise ValueError(f"{file} holds no PEM")
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=authorities[0] if authorities else None
        )


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """The files that the settings name; None: no TLS. Raises `ValueError` for settings that do not go together."""
    certificate, key, client_ca = settings.grpc_tls_certificate, settings.grpc_tls_key, settings.grpc_tls_client_ca
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ValueError("TASKGATE_GRPC_TLS_CERTIFICATE and TASKGATE_GRPC_TLS_KEY belong together")
    return CertificateFiles(certificate, key, client_ca)
