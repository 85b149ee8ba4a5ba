"""What the things of a skill are called here, and what of their texts is fit to be shown. One rule, always.

A name never depends on which other skills there are: what an agent learned yesterday works today.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

# Clients put their own prefix before it, and models accept 64 characters in all.
LONGEST = 50
LONGEST_PREFIX = 16
HASH = 6
# Of our own tools, now or one day: a skill that is called so gets another prefix.
RESERVED = frozenset(
    "memory gateway graph procedure procedures code codebase ask mimo skill skills session system".split()
)
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,15}")
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
# Controls but tab and newline; zero-width and direction marks; variation selectors; tags that nobody sees.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def prefix_of(skill: str) -> str:
    """The prefix of a skill that names none: its own name, as far as it is fit."""
    prefix = _ODD.sub("_", skill)[:LONGEST_PREFIX].strip("_")
    if not prefix or not prefix[0].isalpha() or prefix.lower() in RESERVED:
        prefix = f"skill_{prefix}"[:LONGEST_PREFIX]
    return prefix


@lru_cache(4096)  # asked for with every call
def name_of(prefix: str, original: str) -> str:
    """Under which name this is offered. What had to be rewritten or cut carries a hash of the original."""
    fit = _ODD.sub("_", original)
    before = f"{prefix}_" if prefix else ""
    name = before + fit
    if fit == original and fit and len(name) <= LONGEST:
        return name
    mark = hashlib.sha256(original.encode(errors="surrogatepass")).hexdigest()[:HASH]
    return f"{name[: LONGEST - HASH - 1]}_{mark}"


def visible(text: str) -> str:
    """The text without what a person would not see."""
    return _HIDDEN.sub("", text)


def cleaned(value: Any) -> Any:
    """A definition whose titles and descriptions, wherever they are, hold only what a person would see.

    Names, enums and patterns are not touched: they are sent back, and must stay what they are.
    """
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {
            key: visible(member) if key in _TEXTS and isinstance(member, str) else cleaned(member)
            for key, member in members.items()
        }
    if isinstance(value, list):
        return [cleaned(item) for item in cast("list[Any]", value)]
    return value


_TEXTS = frozenset({"description", "title"})
_PINNED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


def digest(definition: Mapping[str, Any]) -> str:
    """A hash of all that tells an agent what this is."""
    said = {key: definition[key] for key in _PINNED if key in definition}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
