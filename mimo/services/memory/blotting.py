"""The secrets of a memory that comes in from outside with its history, taken out wherever they stand. Pure.

Of an export of mimo's own, too: it may have been written before a rule was known, or by hand. Nothing is
refused for it, so that no memory is lost; and it costs a small part of what reading a line does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from mimo.services.memory.drafts import content_hash
from mimo.services.memory.secrets import kind_of_secret, redactor
from mimo.services.memory.words import extra_of


class Blotting:
    """One memory's texts; `found` grows as they are looked through."""

    def __init__(self, content: str, tags: Sequence[str], before: Sequence[Mapping[str, Any]]) -> None:
        self._redact = redactor([content, *tags, *(text for each in before for text in _texts_in(each))])
        self.found: list[str] = []

    def text(self, text: str) -> str:
        redacted = self._redact(text)
        self.found += redacted.found
        return redacted.text

    def name(self, name: str) -> str:
        kind = kind_of_secret(name)
        if kind is None:
            return name
        self.found.append(kind)
        return f"[redacted {kind}]"

    def maybe(self, name: str | None) -> str | None:
        return None if name is None else self.name(name)

    def before(self, before: dict[str, Any]) -> dict[str, Any]:
        """What an event of the history says that was before it."""
        content: Any = before.get("content")
        tags: Any = before.get("tags")
        if isinstance(tags, list):
            every = cast("list[Any]", tags)
            before = before | {"tags": [self.text(tag) if isinstance(tag, str) else tag for tag in every]}
        if isinstance(content, str) and (clean := self.text(content)) != content:
            hash_ = content_hash(clean).hex()
            before = before | {"content": clean, "extra": extra_of(clean), "content_hash": hash_}
        return before


def _texts_in(before: Mapping[str, Any]) -> Iterator[str]:
    tags: Any = before.get("tags")
    for value in (before.get("content"), *(cast("list[Any]", tags) if isinstance(tags, list) else ())):
        if isinstance(value, str):
            yield value
