"""Runs the gateway's faces in one process and one event loop."""

from __future__ import annotations

import logging

import uvicorn

from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.settings import Settings

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished."""
    gateway = build_gateway(settings)
    config = uvicorn.Config(
        create_app(gateway),
        host=settings.http_host,
        port=settings.http_port,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        lifespan="on",
    )
    await uvicorn.Server(config).serve()
