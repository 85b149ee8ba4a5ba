"""What ranking asks of a text, worked out once, when it is written, with the tokenizer of the full-text index.

A search looks at what stands around some hundred candidates. To stem all of that again for each question would
take longer than everything else; as hashed words it is one pass of NumPy over a few kilobytes.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias, cast

import apsw

from mimo.storage.sql import run_many

# As in the migration of engram_words: a question's words must be cut and stemmed like those of the texts.
TOKENIZER = ("porter", ["unicode61", "remove_diacritics", "2"])
# A longer text is represented by its beginning. It would otherwise weigh on every search that passes it.
MOST_TERMS = 4_096
MOST_HASHES = 1 << 15

# Words that bind a sentence together but say nothing by themselves, and their stems where those differ.
BINDING = frozenset(
    """
    a an the and or but of to in on at for from by with about into over after before during between through is are
    was were be been being am do does did done doing has have had having will would shall should can could may might
    must what when where who whom whose which why how that this these those there here it its i you he she they we
    me him them us his her their my your our hers theirs yours mine ours as if than then so not no nor s t d ll m re
    ve any some all both each more most other such only own same too very just also ever get got go goes going went
    ani ar befor doe dure goe ha hi her it mai onli our their thei thi veri wa whi your
    """.split()
)
SPEAKER = re.compile(r"\s*([^\W\d_][\w.'-]{0,30}(?: [^\W\d_][\w.'-]{0,30})?)\s?:\s")
WHEN = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|last|next|ago|weeks?|weekend|months?|years?|january|february|march|april|"
    r"may|june|july|august|september|october|november|december|monday|tuesday|wednesday|thursday|friday|saturday|"
    r"sunday|recently|since|\d{4})\b"
)

Tokenize: TypeAlias = Callable[[str], list[str]]


class Traits(NamedTuple):
    terms: bytes
    told: int
    asks: bool
    dated: bool
    speaker: str


def tokenizer(db: apsw.Connection) -> Tokenize:
    """The words of a text as the full-text index has them: cut, folded and stemmed."""
    cut = db.fts5_tokenizer(TOKENIZER[0], TOKENIZER[1])

    def tokenize(text: str) -> list[str]:
        if not text:
            return []
        found = cut(
            text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False
        )
        return cast("list[str]", found)

    return tokenize


def hashed(terms: Iterable[str]) -> array[int]:
    """Each term as 32 bits. Two of a language's words meet in one value too seldom to matter."""
    return array("I", map(_HASHES.__getitem__, terms))


class _Hashes(dict[str, int]):
    """A language's common words come again and again, and are looked up in a tenth of a microsecond."""

    def __missing__(self, term: str) -> int:
        if len(self) >= MOST_HASHES:
            self.clear()
        found = self[term] = zlib.crc32(term.encode())
        return found


_HASHES = _Hashes()


def speaker_of(content: str) -> str:
    """Who says it, in lower case, where the text begins with a name and a colon; else nothing."""
    said = SPEAKER.match(content)
    return said[1].lower() if said else ""


def traits_of(content: str, extra: str, tokenize: Tokenize) -> Traits:
    words = tokenize(content)
    speaker = speaker_of(content)
    return Traits(
        terms=hashed([*words, *tokenize(extra)][:MOST_TERMS]).tobytes(),
        told=len(set(words) - BINDING),
        asks=content.rfind("?") > max(content.rfind("."), content.rfind("!")),
        dated=WHEN.search(content.lower(), len(speaker)) is not None,
        speaker=speaker,
    )


def keep_traits(db: apsw.Connection, engrams: Iterable[tuple[int, str, str]]) -> None:
    """Writes down the traits of engrams (id, content, extra) that were added or reworded, in the same transaction."""
    tokenize = tokenizer(db)
    run_many(
        db,
        "INSERT OR REPLACE INTO engram_traits (engram_id, terms, told, asks, dated, speaker)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [_row(engram, traits_of(content, extra, tokenize)) for engram, content, extra in engrams],
    )


def _row(engram: int, traits: Traits) -> tuple[int | bytes | str, ...]:
    return engram, traits.terms, traits.told, int(traits.asks), int(traits.dated), traits.speaker
