"""Whose certificates are believed: those of this machine's authorities. For all who speak TLS outward."""

from __future__ import annotations

import os
import ssl
import time
from functools import lru_cache

import trio

AN_HOUR = 3600.0


async def trusted() -> ssl.SSLContext:
    """A client's side. The authorities are read once an hour, in a thread: that takes some 50 ms."""
    chosen = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return await trio.to_thread.run_sync(_read, *chosen, int(time.monotonic() // AN_HOUR))


@lru_cache(maxsize=1)
def _read(file: str | None, folder: str | None, hour: int) -> ssl.SSLContext:
    return ssl.create_default_context()
