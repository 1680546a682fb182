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
    # Said here, as a machine's own table of types may be wrong, and browsers refuse modules of a wrong type.
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
        """Adds ours."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args):
        """Says nothing: the terminal shows the address."""


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder at 127.0.0.1, whose `serve_forever` is still to be called; port 0 takes a free one.

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
    """Where a browser of this machine finds the page."""
    return f"http://localhost:{server.server_address[1]}/"
