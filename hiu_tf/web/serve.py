"""Serves the page on this machine, with the headers that let WebAssembly use threads."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hiu_tf.errors import UserError

HOST = "127.0.0.1"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


class _Handler(SimpleHTTPRequestHandler):
    # Set here, because the machine's own table of MIME types may be wrong, and browsers refuse modules of a wrong type.
    extensions_map = {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".tflite": "application/octet-stream",
        ".jpg": "image/jpeg",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        "": "application/octet-stream",
    }

    def end_headers(self):
        """Adds our headers."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args):
        """Logs nothing, so that the terminal shows only the address."""


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Opens a server of a folder at 127.0.0.1; call its `serve_forever`. Port 0 selects a free port.

    Raises:
      UserError: the port is taken.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise UserError(
            f"port {port} of this machine cannot be used ({error.strerror}): give another, --serve PORT"
        ) from error


def address(server: ThreadingHTTPServer) -> str:
    """Address of the page for a browser of this machine."""
    return f"http://localhost:{server.server_address[1]}/"
