"""Facts that a language model reads in a text, where one is configured: beside the patterns, and marked as such.

A model may make things up. What it gives counts only with a sentence that stands in the text and names both
things; what it says of anything else is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import trio

from mimo.errors import Busy, MimoError, TooSlow, Unavailable
from mimo.resilience import Breaker, BreakerChanged, is_failure
from mimo.services.graph.extraction import Extracted
from mimo.storage.triples.names import name_key

# Believed less than a known form of sentence.
CONFIDENCE = 0.7
# Small models lose the thread in longer texts.
PORTION = 8_000
MOST_FACTS = 200
LONGEST_NAME = 200
ASK = """\
You read exact facts in the text that follows. Answer with JSON only, without any other words:
{"facts": [{"subject": "...", "predicate": "...", "object": "...", "sentence": "..."}]}
- subject and object: names of things as the sentence has them, a few words; never a pronoun.
- predicate: a verb in snake_case, as depends_on, reports_to, part_of, located_in, uses, owned_by, is_a.
- sentence: the sentence that says it, copied letter by letter.
Leave out what is asked, wished, supposed or denied. If there is no fact, answer {"facts": []}."""


class Reader(Protocol):
    """Who reads facts in a text."""

    async def read(self, text: str) -> tuple[list[Extracted], str]:
        """What was read, and why it is not all (else empty). Fails for nobody: there are the patterns."""
        ...


class Model:
    """A language model behind an OpenAI-compatible `/chat/completions`."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        seconds: float = 30.0,
        rest: float = 30.0,
        on_change: Callable[[BreakerChanged], None] | None = None,
    ) -> None:
        """`url` ends where `/chat/completions` begins. Raises: Unusable: it is no address."""
        from mimo.embedding.post import address  # HTTP and TLS are imported by who speaks them

        self._to = address(url, "/chat/completions")
        self._model, self._key, self._seconds = model, key, seconds
        self._breaker = Breaker(
            "reading",
            failures=3,
            rest=rest,
            trials=1,
            on_change=on_change,
            counts=lambda error: is_failure(error) and not isinstance(error, Busy),
        )

    async def read(self, text: str) -> tuple[list[Extracted], str]:
        await trio.lowlevel.checkpoint()
        found: list[Extracted] = []
        left = trio.current_effective_deadline() - trio.current_time()
        # Whoever asks for a text to be taught wants it taught in any case: half of the time is for that.
        seconds = self._seconds if math.isinf(left) else min(self._seconds, left / 2)
        by = trio.current_time() + seconds
        try:
            for portion in portions(text):
                found += await self._breaker.call(self._ask, portion, by)
        except MimoError as error:
            return found[:MOST_FACTS], error.message
        return found[:MOST_FACTS], ""

    async def _ask(self, text: str, by: float) -> list[Extracted]:
        from mimo.embedding.post import post

        messages = [{"role": "system", "content": ASK}, {"role": "user", "content": text}]
        question = {"model": self._model, "temperature": 0, "messages": messages}
        try:
            with trio.fail_at(by):
                answer = await post(self._to, question, self._key)
        except trio.TooSlowError as error:
            raise TooSlow(f"{self._to} took too long") from error
        return facts_in(_said(self._to, answer), text, f"llm:{self._model}")


def _said(to: object, answer: Any) -> str:
    try:
        said = answer["choices"][0]["message"]["content"]
    except (LookupError, TypeError) as error:
        raise Unavailable(f"{to} answered without a message") from error
    if not isinstance(said, str):
        raise Unavailable(f"{to} answered without a message")
    return said


def facts_in(said: str, text: str, by: str) -> list[Extracted]:
    """What a model said of a text, as far as the text bears it out. Raises: Unavailable: it is no JSON of facts."""
    try:
        told = json.loads(said[said.index("{") : said.rindex("}") + 1])
        listed = told["facts"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Unavailable("the language model answered with what are no facts") from error
    if not isinstance(listed, list):
        raise Unavailable("the language model answered with what are no facts")
    whole, found = name_key(text), list[Extracted]()
    for each in cast("list[Any]", listed)[:MOST_FACTS]:
        parts = _parts(each)
        if parts is None:
            continue
        subject, predicate, object_, sentence = parts
        flat = name_key(sentence)
        borne_out = flat in whole and name_key(subject) in flat and name_key(object_) in flat
        if borne_out and subject != object_ and not sentence.rstrip().endswith("?"):
            found.append(Extracted(subject, predicate, object_, sentence, CONFIDENCE, by))
    return found


def _parts(each: Any) -> tuple[str, str, str, str] | None:
    if not isinstance(each, dict):
        return None
    given = [
        cast("dict[str, Any]", each).get(name) for name in ("subject", "predicate", "object", "sentence")
    ]
    texts = [" ".join(one.split()) for one in given if isinstance(one, str) and "\0" not in one]
    if len(texts) < 4 or not all(texts) or max(map(len, texts[:3])) > LONGEST_NAME:
        return None
    predicate = re.sub(r"[\W_]+", "_", texts[1].casefold()).strip("_")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return None
    return (texts[0], predicate, texts[2], texts[3]) if predicate and len(predicate) <= 100 else None


def portions(text: str) -> Iterator[str]:
    """The text in parts that a small model can read, cut between lines or sentences where that can be."""
    while len(text) > PORTION:
        cut = max(text.rfind("\n", 0, PORTION), text.rfind(". ", 0, PORTION) + 1)
        cut = cut if cut > PORTION // 2 else PORTION
        yield text[:cut]
        text = text[cut:]
    if text.strip():
        yield text
