"""May this caller speak to us at all? A web page that a person visits can reach a local port; it must not get in.

A browser cannot forge `Host`, `Origin` or `Sec-Fetch-Site`, so they are held against a list. Programs send no
`Origin`. Ports are not compared: a page of another port needs a key like everybody, and a tunnel changes the port.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

WRONG_HOST = 421  # Misdirected Request: a name was made to point at us (DNS rebinding)
WRONG_ORIGIN = 403

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


def refusal(
    host: str | None, origin: str | None, allowed: Collection[str] = LOCAL, site: str | None = None
) -> tuple[int, str] | None:
    """Status and reason to refuse with, or None. `allowed` are host names without ports.

    `site` is what a browser says in `Sec-Fetch-Site`.
    """
    if host is None or _host(host) not in allowed:
        return WRONG_HOST, f"this server does not answer for the host {(host or '')[:100]!r}"
    if origin is not None and _host_of_page(origin) not in allowed:
        return WRONG_ORIGIN, f"pages of {origin[:100]!r} may not use this server"
    if site is not None and site.strip().lower() == "cross-site":
        return WRONG_ORIGIN, "pages of other sites may not use this server"
    return None


def bearer(authorization: str | None) -> str | None:
    """The key in an `Authorization: Bearer` header."""
    scheme, _, rest = (authorization or "").partition(" ")
    return rest.strip() or None if scheme.lower() == "bearer" else None


def password(authorization: str | None) -> str | None:
    """The password in an `Authorization: Basic` header, which is how a browser can show a key. The user is ignored."""
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, _, said = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return said or None


def is_loopback(host: str) -> bool:
    """Is an address to listen on one that other machines cannot reach?"""
    return host == "localhost" or host == "::1" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def speaker(peer: str, forwarded: str | None) -> str:
    """For whom a trusted proxy speaks, by `X-Forwarded-For`.

    Only the last address there is the proxy's own word; whoever came to it may have made up those before.
    """
    said = (forwarded or "").rpartition(",")[2].strip()
    if (
        found := re.fullmatch(r"\[(.+)\](?::\d+)?|([\d.]+):\d+", said)
    ) is not None:  # some proxies add the port
        said = found[1] or found[2]
    try:
        return str(ip_address(said))
    except ValueError:
        return peer


def _host(host: str) -> str | None:
    found = _HOST.fullmatch(host.strip())
    return (found[1] or found[2]).lower() if found else None


def _host_of_page(origin: str) -> str | None:
    try:
        page = urlsplit(origin)
        return page.hostname if page.scheme in {"http", "https"} else None
    except ValueError:
        return None
