"""What was found or looked up, as one answer that keeps to its caller's budget of characters, all of it counted.

The best that fit, and at least one, if need be shortened; then it says how to get the rest.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mimo.errors import InvalidArguments
from mimo.services.memory import arguments, full_texts, texts
from mimo.services.memory.found import Found, Hit
from mimo.services.memory.names import name_of
from mimo.services.memory.packing import most_that_fit, packed, shortened
from mimo.storage.engrams.history import LookedUp
from mimo.tool import Answer

# What an agent is shown when nothing bears on its question.
NEAREST = 3
# A text that is cut below this says nothing.
LEAST = 40
REST = "cut with …; memory_get has it whole"


class Page(NamedTuple):
    answer: Answer
    shown: Sequence[Hit]


def page_of(asked: arguments.Search, found: Found) -> Page:
    return _data_page(asked, found) if asked.format == "json" else _text_page(asked, found)


def offset_of(asked: arguments.Search) -> int:
    """Where in the whole list the page begins that its cursor names.

    Raises:
        InvalidArguments: it is the cursor of another question.
    """
    if asked.cursor is None:
        return 0
    number, _, mark = asked.cursor.partition("-")
    if not (number.isascii() and number.isdigit()) or len(number) > 6 or mark != _mark(asked):
        raise InvalidArguments(
            "cursor belongs to another question; take it from the answer to this one", fields=["cursor"]
        )
    return int(number)


def looked_up_page(asked: arguments.Get, there: Sequence[LookedUp], missing: Sequence[str]) -> Answer:
    if asked.format == "json":
        return _answer(_looked_up_data(asked, there, missing))
    parts = [full_texts.looked_up_text(each, history=asked.history) for each in there]
    if missing:
        parts.append(f"not there: {', '.join(missing)}")
    return Answer.text(full_texts.cut("\n\n".join(parts), asked.max_chars))


def _text_page(asked: arguments.Search, found: Found) -> Page:
    full, budget = asked.detail == "full", asked.max_chars
    hits = found.hits[:NEAREST] if found.abstained else found.hits
    kept = packed(hits, None)  # who reads it need not read it twice

    def text(shown: Sequence[Hit], *, why: bool = asked.why, cut: bool = False) -> str:
        behind = hits.index(kept[len(shown)]) if len(shown) < len(kept) else len(hits)
        more = (behind < len(hits) or found.more) and not found.abstained
        cursor = _cursor(asked, behind) if more else None
        return texts.found_text(asked.query, shown, found, full=full, why=why, cursor=cursor, cut=cut)

    could = _reaching(kept, budget, lambda hit: len(texts.line(hit, full=full)))
    count = most_that_fit(could, lambda n: len(text(kept[:n])) <= budget)
    if count or not kept:
        return Page(Answer.text(texts.within(text(kept[:count]), budget)), kept[:count])
    first = kept[0]
    shown = texts.content_of(first, full=full)
    for why in dict.fromkeys([asked.why, False]):

        def with_first(n: int, why: bool = why) -> str:
            return text([replace(first, content=shortened(shown, n))], why=why, cut=True)

        length = most_that_fit(min(len(shown), budget), lambda n: len(with_first(n)) <= budget)
        if length >= LEAST:
            return Page(Answer.text(with_first(length)), [first])
    if found.abstained:
        return Page(Answer.text(texts.within(text([]), budget)), [])
    return Page(Answer.text(texts.within(texts.line(first, full=full), budget)), [first])


def _data_page(asked: arguments.Search, found: Found) -> Page:
    """A program that sets no budget gets every result it asked for, as far as texts are of a usual length."""
    hits = found.hits
    budget = asked.max_chars if "max_chars" in asked.model_fields_set else None
    could = _reaching(hits, budget or arguments.MOST_CHARS, lambda hit: len(hit.content))
    if budget is None:
        could = could - 1 if could > 1 and _contents(hits[:could]) > arguments.MOST_CHARS else could
        return Page(_answer(_found_data(asked, found, [_told(hit) for hit in hits[:could]])), hits[:could])
    count = most_that_fit(
        could, lambda n: _size(_found_data(asked, found, [_told(hit) for hit in hits[:n]])) <= budget
    )
    if count or not hits:
        return Page(_answer(_found_data(asked, found, [_told(hit) for hit in hits[:count]])), hits[:count])
    first = _told(hits[0])
    slim = {"id": first["id"]}
    data: dict[str, Any] = {}
    without_arms: dict[str, Any] = {"arms": {}}
    for told, more in ((first, {"note": REST}), (slim, {"note": REST}), (slim, without_arms)):

        def with_first(n: int, told: dict[str, Any] = told, more: dict[str, Any] = more) -> dict[str, Any]:
            cut = told | {"content": shortened(hits[0].content, n), "cut": True}
            return _found_data(asked, found, [cut]) | more

        length = most_that_fit(min(len(hits[0].content), budget), lambda n: _size(with_first(n)) <= budget)
        data = with_first(max(length, 1))
        if length >= LEAST:
            break
    return Page(_answer(data), hits[:1])


def _found_data(asked: arguments.Search, found: Found, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    more = len(results) < len(found.hits) or found.more
    return {
        "results": list(results),
        "arms": dict(found.arms),
        "abstained": found.abstained,
        "relevance": round(found.relevance, 4),
        "cursor": _cursor(asked, len(results)) if more else None,
        **({"note": texts.ENDED} if found.ended and not more else {}),
    }


def _looked_up_data(
    asked: arguments.Get, there: Sequence[LookedUp], missing: Sequence[str]
) -> dict[str, Any]:
    whole = [full_texts.looked_up_json(each, history=asked.history) for each in there]
    data: dict[str, Any] = {"results": whole, "missing": list(missing)}
    contents = [each.engram.content for each in there]
    if "max_chars" not in asked.model_fields_set or (
        sum(map(len, contents)) <= asked.max_chars and _size(data) <= asked.max_chars
    ):
        return data
    slim = [{"id": name_of(each.engram.id)} for each in there]

    def with_texts_of(n: int, told: Sequence[dict[str, Any]], ids: Sequence[str]) -> dict[str, Any]:
        results = [
            each | {"content": shortened(content, n), **({"cut": True} if len(content) > n else {})}
            for each, content in zip(told, contents, strict=False)
        ]
        cut = (
            {"note": "cut with …; ask for fewer ids, or with more max_chars"}
            if any(map(_is_cut, results))
            else {}
        )
        left = {"left_out": len(there) - len(told)} if len(told) < len(there) else {}
        return {"results": results, "missing": list(ids)} | left | cut

    longest = min(max(map(len, contents)), asked.max_chars)
    for told in (whole, slim):
        n = most_that_fit(
            longest, lambda n, told=told: _size(with_texts_of(n, told, missing)) <= asked.max_chars
        )
        if n >= LEAST:
            return with_texts_of(n, told, missing)
    for ids in (missing, missing[:1]):
        n = most_that_fit(
            len(slim), lambda n, ids=ids: _size(with_texts_of(LEAST, slim[:n], ids)) <= asked.max_chars
        )
        if n:
            break
    return with_texts_of(LEAST, slim[: max(n, 1)], ids)


def _is_cut(told: dict[str, Any]) -> bool:
    return "cut" in told


def _told(hit: Hit) -> dict[str, Any]:
    return texts.hit_json(hit, full=True)


def _contents(hits: Sequence[Hit]) -> int:
    return sum(len(hit.content) + 1 for hit in hits)


def _reaching(hits: Sequence[Hit], budget: int, size: Callable[[Hit], int]) -> int:
    """How many there are until they are more than the budget holds, with the one that is too much."""
    for at, hit in enumerate(hits):
        budget -= size(hit) + 1
        if budget < 0:
            return at + 1
    return len(hits)


def _size(data: dict[str, Any]) -> int:
    return len(json.dumps(data, ensure_ascii=False))


def _answer(data: dict[str, Any]) -> Answer:
    return Answer.text(json.dumps(data, ensure_ascii=False), data=data)


def _cursor(asked: arguments.Search, further: int) -> str:
    """Where the next page begins, and a mark of the question, for it fits no other."""
    return f"{offset_of(asked) + further}-{_mark(asked)}"


def _mark(asked: arguments.Search) -> str:
    what = asked.model_dump_json(exclude={"cursor", "limit", "max_chars", "detail", "why", "format"})
    return f"{zlib.crc32(what.encode()):08x}"
