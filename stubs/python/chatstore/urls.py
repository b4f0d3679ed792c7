"""Where a server is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from chatstore.errors import InvalidArgument

EMBEDDED = "embedded:"
SCHEMES = ("ipc", "tcp", "tls+tcp")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address. path: of a unix socket, else None; with it host is empty and port 0."""

    url: str
    path: str | None
    host: str
    port: int
    tls: bool


def default_url() -> str:
    """$CHATSTORE_URL, else where chatstored listens by itself."""
    url = os.environ.get("CHATSTORE_URL")
    if url:
        return url
    folder = os.environ.get("XDG_RUNTIME_DIR")
    return f"ipc://{folder}/chatstore.sock" if folder else "ipc:///run/chatstore/chatstore.sock"


def is_url(text: str) -> bool:
    """Whether this names a server, and not a file."""
    return any(text.startswith(scheme + "://") for scheme in (*SCHEMES, "ws", "wss", "abstract"))


def parse_url(url: str) -> Endpoint:
    """Raises InvalidArgument for what this client cannot reach."""
    if url.startswith("ipc://") and len(url) > len("ipc://"):
        return Endpoint(url, url[len("ipc://"):], "", 0, False)
    if url.startswith("abstract://"):
        return Endpoint(url, "\0" + url[len("abstract://"):], "", 0, False)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(f'"{url}" is no URL: {error}') from None
    if parts.scheme not in ("tcp", "tls+tcp"):
        raise InvalidArgument(
            f'"{url}": the Python client knows ipc:///path, tcp://host:port, tls+tcp://host:port '
            "and embedded:file")
    if not parts.hostname or port is None or parts.path not in ("", "/"):
        raise InvalidArgument(f'"{url}" needs a host and a port, as in {parts.scheme}://host:5555')
    return Endpoint(url, None, parts.hostname, port, parts.scheme == "tls+tcp")
