"""May this caller speak to us at all? A web page that a person visits can reach a local port; it must not get in.

A browser cannot forge `Host` or `Origin`, so both are held against a list. Programs send no `Origin`.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

WRONG_HOST = 421  # Misdirected Request: a name was made to point at us (DNS rebinding)
WRONG_ORIGIN = 403


def refusal(host: str | None, origin: str | None, allowed: Collection[str] = LOCAL) -> tuple[int, str] | None:
    """Status and reason to refuse with, or None. `allowed` are host names without ports."""
    if host is None or _name("//" + host) not in allowed:
        return WRONG_HOST, f"this server does not answer for the host {(host or '')[:100]!r}"
    if origin is not None and _name(origin) not in allowed:
        return WRONG_ORIGIN, f"pages of {origin[:100]!r} may not use this server"
    return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
