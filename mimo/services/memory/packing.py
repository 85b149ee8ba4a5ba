"""Hits into a budget of characters: the best first, nothing nearly twice, long ones shortened before any is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from mimo.services.memory.found import Hit

# Texts that share this much of their words say the same to a reader.
NEARLY_THE_SAME = 0.9
BRIEF_CHARS = 240
LEAST_CHARS = 80
WORD = re.compile(r"\w+")


def packed(hits: Sequence[Hit], max_chars: int | None, *, brief: bool = False) -> tuple[Hit, ...]:
    """Those that fit, in order, without near repeats; `brief` and a tight budget shorten their texts."""
    chosen: list[Hit] = []
    seen: list[frozenset[str]] = []
    left = max_chars
    for hit in hits:
        words = frozenset(WORD.findall(hit.content.lower()))
        if any(_alike(words, other) for other in seen):
            continue
        longest = BRIEF_CHARS if brief else len(hit.content)
        if left is not None:
            longest = min(longest, left)
        if longest < min(LEAST_CHARS, len(hit.content)):
            break
        seen.append(words)
        chosen.append(
            hit if longest >= len(hit.content) else replace(hit, content=shortened(hit.content, longest))
        )
        if left is not None:
            left -= len(chosen[-1].content)
    return tuple(chosen)


def shortened(text: str, longest: int) -> str:
    """The beginning of a text, cut between words, with a sign that it goes on."""
    if len(text) <= longest:
        return text
    cut = text[: max(longest - 1, 0)]
    at = cut.rfind(" ")
    return (cut[:at] if at > longest // 2 else cut).rstrip() + "…"


def most_that_fit(most: int, fits: Callable[[int], bool]) -> int:
    """The greatest number up to `most` that fits; 0 if none does. What fits does so with less, too."""
    if most <= 0 or fits(most):
        return max(most, 0)
    fitting, too_many = 0, most
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        if fits(middle):
            fitting = middle
        else:
            too_many = middle
    return fitting


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    if not one or not other:
        return one == other
    return len(one & other) >= NEARLY_THE_SAME * len(one | other)
