"""Answers that are too long for an agent: their beginning now, and an address at which the rest is read."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import trio

from mimo.errors import NotFound
from mimo.protocol.jsonrpc import Object
from mimo.tool import Answer, Call, Contents, ResourceTemplate

ADDRESS = "mimo://skill-results/"
# What is not read within minutes was not wanted; and never more than this.
MOST_BYTES = 16 << 20
KEPT_FOR = 900.0


class Results:
    """Cuts long texts, and keeps what was cut off for a while."""

    def __init__(self, cap: int) -> None:
        self._cap = cap  # characters of an answer
        self._kept = OrderedDict[str, tuple[str, float]]()
        self._size = 0

    def fitting(self, answer: Answer, tool: str) -> Answer:
        """The answer, or one whose texts are cut where they became too many."""
        long = sum([len(block["text"]) for block in answer.content if _is_text(block)])
        if long <= self._cap:
            return answer
        left, blocks, rest = self._cap, list[Object](), list[str]()
        for block in answer.content:
            if not _is_text(block):
                blocks.append(dict(block))
                continue
            text: str = block["text"]
            if left > 0:
                blocks.append({**block, "text": text[:left]})
            if len(text) > left:
                rest.append(text[max(0, left) :])
            left -= len(text)
        uri = f"{ADDRESS}{self._keep(chr(10).join(rest))}/1"
        told = f"(cut after {self._cap} of {long} characters; the rest is the resource {uri})"
        link = {"type": "resource_link", "uri": uri, "name": f"rest of {tool}", "mimeType": "text/plain"}
        # The data says the same once more, and is as long.
        return replace(answer, content=(*blocks, {"type": "text", "text": told}, link), data=None)

    def template(self) -> ResourceTemplate:
        return ResourceTemplate(
            f"{ADDRESS}{{id}}/{{part}}",
            "skill-result",
            self.read,
            title="Rest of a skill's answer",
            description="What did not fit into an answer, part by part; kept for 15 minutes.",
        )

    async def read(self, uri: str, call: Call) -> Sequence[Contents]:
        """Raises: NotFound: there is nothing, or not any more."""
        await trio.lowlevel.checkpoint()
        identity, _, part = uri.removeprefix(ADDRESS).partition("/")
        text, until = self._kept.get(identity, ("", 0.0))
        number = int(part) if part.isascii() and part.isdigit() and len(part) < 6 else 0
        begin = (number - 1) * self._cap
        if until < trio.current_time() or not 0 <= begin < len(text):
            raise NotFound(f"there is no {uri[:100]}, or not any more; call the tool again", uri=uri[:256])
        shown = text[begin : begin + self._cap]
        if begin + self._cap < len(text):
            shown += f"\n(more: {ADDRESS}{identity}/{number + 1})"
        return [Contents(uri, shown)]

    def _keep(self, text: str) -> str:
        identity = secrets.token_urlsafe(9)
        now = trio.current_time()
        self._kept[identity] = text, now + KEPT_FOR
        self._size += len(text)
        while self._kept and (self._size > MOST_BYTES or next(iter(self._kept.values()))[1] < now):
            _, (gone, _) = self._kept.popitem(last=False)
            self._size -= len(gone)
        return identity


def _is_text(block: Any) -> bool:
    said = cast("Object", block)
    return said.get("type") == "text" and isinstance(said.get("text"), str)
