"""`taskgate codec-server`."""

from __future__ import annotations


def codec_server() -> None:
    """Decrypt payloads for Temporal's UI and CLI: a server of its own, for administrators; each use is recorded."""
    from gateway.running import importing, run

    with importing():
        from gateway.codec_server.server import serve

    run(serve)
