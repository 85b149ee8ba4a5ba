"""The language model behind an OpenAI-compatible service: asked with a deadline, behind a breaker, its key never told."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from mimo import __version__
from mimo.errors import Busy, InvalidArguments, MimoError, NotFound, TooSlow, Unavailable, Unusable
from mimo.resilience import Breaker, BreakerChanged, is_failure
from mimo.services.skills.http import Http, Reply
from mimo.tool import JsonObject

# A conversation's answer is text; whoever sends more of it sends something else.
LARGEST, LARGEST_ERROR = 16 << 20, 64 << 10


class Upstream:
    """`/chat/completions` of a service. One connection a request: beside a model's work it costs nothing."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        seconds: float = 120.0,
        rest: float = 30.0,
        on_change: Callable[[BreakerChanged], None] | None = None,
    ) -> None:
        """`seconds` is for how long it may be silent: before an answer, and between the pieces of a stream.

        Raises:
            Unusable: `url` is no address.
        """
        self.model = model
        self._key = key
        self._seconds = seconds
        try:
            self._http = Http(f"{url.rstrip('/')}/chat/completions")
        except Unavailable as error:
            raise Unusable(f"upstream.url: {error.message}") from error
        self._breaker = Breaker(
            "chat",
            failures=3,
            rest=rest,
            trials=1,
            on_change=on_change,
            # Who has too much to do is there, and says when to come again.
            counts=lambda error: is_failure(error) and not isinstance(error, Busy),
        )

    async def complete(self, messages: Sequence[JsonObject]) -> str:
        """What the model says to this. Raises: MimoError."""
        whole = bytearray()

        async def keep(piece: bytes) -> None:
            whole.extend(piece)
            await trio.lowlevel.checkpoint()

        await self.pass_on({"model": self.model, "messages": list(messages)}, keep)
        try:
            said = json.loads(whole)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise Unavailable(f"{self._http.url} answered without a message") from error
        if not isinstance(said, str):
            raise Unavailable(f"{self._http.url} answered without a message")
        return said

    async def pass_on(self, body: Mapping[str, Any], emit: Callable[[bytes], Awaitable[None]]) -> None:
        """Ask, and hand on the answer's bytes as they come. Cancelling it hangs up.

        Raises, before the first byte or between two:
            Unavailable: nobody there, cut off, a 5xx, or it does not let mimo in.
            Busy: it has too much to do. TooSlow: it was silent for too long.
            InvalidArguments, NotFound: it refused this request, and says why.
        """
        sent = json.dumps(body).encode()
        with self._breaker.attempt():
            with trio.move_on_after(self._seconds) as patience:
                async with self._http.request("POST", self._headers(), sent) as reply:
                    if reply.status != 200:
                        raise await self._refusal(reply)
                    size = 0
                    async for piece in reply.chunks():
                        size += len(piece)
                        if size > LARGEST:
                            raise Unavailable(f"{self._http.url} answered more than {LARGEST >> 20} MB")
                        patience.deadline = math.inf  # a slow reader is not the model's fault
                        await emit(piece)
                        patience.deadline = trio.current_time() + self._seconds
            if patience.cancelled_caught:
                raise TooSlow(f"{self._http.url} was silent for {self._seconds:g} s")

    def _headers(self) -> dict[str, str]:
        head = {
            "User-Agent": f"mimo/{__version__}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Connection": "close",
        }
        return head | ({"Authorization": f"Bearer {self._key}"} if self._key else {})

    async def _refusal(self, reply: Reply) -> MimoError:
        status, said = reply.status, await reply.body(LARGEST_ERROR)
        if status in (401, 403):  # what they say of the key is not for our callers
            return Unavailable(
                f"the language model's service does not let mimo in ({status}): set upstream.key"
            )
        message = f"the language model's service answered {status}: {_reason(said)}"
        after = reply.headers.get("retry-after", "")
        more = {"after": float(after)} if after.isascii() and after.isdigit() and len(after) < 7 else {}
        match status:
            case 429:
                return Busy(message, **more)
            case 408:
                return TooSlow(message)
            case 404:
                return NotFound(message)
            case _ if 400 <= status < 500:
                return InvalidArguments(message)
            case _:
                return Unavailable(message, **more)


def _reason(said: bytes) -> str:
    told: Any = None
    try:
        told = json.loads(said)["error"]
        told = told["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        if not isinstance(told, str):
            told = said.decode("utf-8", "replace")
    return " ".join(str(told).split())[:300] or "(nothing said)"
