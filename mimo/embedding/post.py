"""One JSON request over HTTP/1.1, for embedders that live elsewhere: h11 for the protocol, Trio for the wire."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
import trio
import trio.abc

from mimo import __version__
from mimo.errors import Busy, InvalidArguments, TooSlow, Unavailable, Unusable
from mimo.trust import trusted

# 64 vectors of 4,096 numbers in full digits are some 6 MB. Whoever sends more sends no embeddings.
LARGEST_REPLY = 32 << 20
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Address:
    """Where to post to."""

    host: str
    port: int
    path: str
    tls: bool

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{_bracketed(self.host)}:{self.port}{self.path}"


def address(base: str, path: str) -> Address:
    """The address of `path` under a base such as `http://127.0.0.1:11434`.

    Raises:
        Unusable: this is no http or https address.
    """
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError as error:
        raise Unusable(f"{base!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Unusable(f"an embedder's address begins with http:// or https:// and a host (got {base!r})")
    if parts.username is not None:
        raise Unusable("put a key into the settings, not into the address")
    tls = parts.scheme == "https"
    return Address(parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/") + path, tls)


async def post(to: Address, question: Mapping[str, Any], key: str | None = None) -> Any:
    """The JSON of the answer. One connection a request: beside the model's work it costs nothing.

    Raises:
        Unavailable: nobody there, the connection was cut, a 5xx, or an answer that makes no sense.
        Busy: 429; `details["after"]` says how long to wait, if the other side did.
        TooSlow: 408.
        Unusable: not let in, no such model or path, or moved: the settings want a look.
        InvalidArguments: any other refusal of these texts.
    """
    body = json.dumps(question).encode()
    headers = [
        ("Host", f"{_bracketed(to.host)}:{to.port}"),
        ("User-Agent", f"mimo/{__version__}"),
        ("Accept", "application/json"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    if key:
        headers.append(("Authorization", f"Bearer {key}"))
    try:
        async with await _connect(to) as stream:
            status, said, reply = await _exchange(stream, to.path, headers, body)
    except (OSError, trio.BrokenResourceError, ssl.SSLError, h11.ProtocolError) as error:
        why = str(error.__cause__ or error) or type(error).__name__
        raise Unavailable(f"{to} did not answer: {why}") from error
    if status != 200:
        raise _refusal(to, status, said, reply)
    try:
        return json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{to} answered with what is not JSON") from error


async def _connect(to: Address) -> trio.abc.Stream:
    stream = await trio.open_tcp_stream(to.host, to.port)
    if not to.tls:
        return stream
    return trio.SSLStream(stream, await trusted(), server_hostname=to.host, https_compatible=True)


async def _exchange(
    stream: trio.abc.Stream, path: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = h11.Connection(h11.CLIENT)
    sent = [
        h11.Request(method="POST", target=path, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ]
    for event in sent:
        await stream.send_all(connection.send(event) or b"")
    status, said, reply = 0, dict[str, str](), bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(CHUNK)))
        elif isinstance(event, h11.Response):
            status = event.status_code
            said = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            reply += event.data
            if len(reply) > LARGEST_REPLY:
                raise Unavailable(f"an answer of more than {LARGEST_REPLY >> 20} MB was not read to its end")
        elif isinstance(event, h11.EndOfMessage):
            return status, said, bytes(reply)
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed before it had answered")


def _refusal(
    to: Address, status: int, said: Mapping[str, str], reply: bytes
) -> Unavailable | Busy | TooSlow | Unusable | InvalidArguments:
    message = f"{to} answered {status}: {_reason(reply)}"
    after = _seconds(said.get("retry-after"))
    details = {} if after is None else {"after": after}
    if status == 429:
        return Busy(message, **details)
    if status == 408:
        return TooSlow(message)
    if status in (401, 403, 404, 405) or 300 <= status < 400:
        return Unusable(message)
    if 400 <= status < 500:
        return InvalidArguments(message)
    return Unavailable(message, **details)


def _reason(reply: bytes) -> str:
    """What the other side says, briefly; both protocols put it under "error"."""
    said: Any = None
    try:
        said = json.loads(reply)["error"]
        said = said["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        if not isinstance(said, str):
            said = reply.decode("utf-8", "replace")
    return " ".join(str(said).split())[:200] or "(nothing said)"


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds. As a date it is left alone: clocks differ, and the pauses grow anyway."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
