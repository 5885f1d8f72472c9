"""The console's built files under `/console`: immutable assets, and one page for every address in there."""

from __future__ import annotations

import mimetypes
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

CONSOLE: Final = "/console"

#: What the pages may load and whom they may ask: this gateway alone. Nothing is inline, and nothing is evaluated.
#: Scripts set styles of elements one by one, which needs no permission.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_NOT_BUILT: Final = "The console is not built here: run `make console`.\n"


class Console:
    """Serves the folder of built files, an ASGI application for what is mounted at `/console`."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` None: that of the package."""
        self._folder = (folder or Path(str(files("gateway"))) / "console" / "dist").resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Method not allowed\n", 405, {**_HEADERS, "Allow": "GET, HEAD"})
        path = scope["path"].removeprefix(CONSOLE).lstrip("/")
        if path.startswith("assets/"):
            return self._asset(path)
        if scope["path"] == CONSOLE:
            # Relative, because a proxy in front may have taken a prefix away.
            return RedirectResponse("console/", 307, _HEADERS)
        try:
            page = (self._folder / "index.html").read_text("utf-8")
        except OSError:
            return PlainTextResponse(_NOT_BUILT, 503, {**_HEADERS, "Cache-Control": "no-store"})
        # As a browser counts: a slash within a name, which stands there as %2F, is no step.
        up = "../" * scope["raw_path"].split(b"?")[0].removeprefix(CONSOLE.encode()).lstrip(b"/").count(b"/")
        # Every page is this one; the files it names are found from wherever it is shown.
        page = page.replace('<base href="./" />', f'<base href="{up or "./"}" />', 1)
        return HTMLResponse(page, headers={**_HEADERS, "Cache-Control": "no-store"})

    def _asset(self, path: str) -> Response:
        try:
            file = (self._folder / path).resolve()
            is_asset = file.is_relative_to(self._folder / "assets") and file.is_file()
        except (OSError, ValueError):  # a name that no file can have
            is_asset = False
        if not is_asset:
            return PlainTextResponse("Not found\n", 404, {**_HEADERS, "Cache-Control": "no-store"})
        kind = mimetypes.guess_type(file.name)[0]
        return FileResponse(
            file, media_type=kind, headers={**_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        )
