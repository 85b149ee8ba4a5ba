"""A text as the numbers of its word pieces, exactly as BERT's uncased reference splits it.

One difference is wanted: "[CLS]" and its like in a text are text here, never a mark of the model.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from mimo_core._characters import BLANKS, DROPPED, MARKS, PUNCTUATION
from mimo_core._weights import BadWeights

# A longer run of letters is no word: the reference calls it unknown, and so the search for pieces is bounded.
LONGEST_WORD = 100
# Words repeat; their pieces are kept, and all forgotten together when somebody sends too many different ones.
MOST_WORDS = 30_000
MOST_CHARACTERS = 20_000

# Chinese characters stand alone, each a word; private use is dropped. Ranges, as they are the largest sets.
# The gap from 2B820 to 2B91F is the reference's own.
_ALONE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
_PRIVATE = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
_SURROGATES = ((0xD800, 0xDFFF),)  # half a character: the reference cannot even be asked


class WordPiece:
    """The vocabulary, and how a text is cut into it. Safe to use from several threads at once.

    Raises:
        BadWeights: it is no vocabulary, or not of so many words.
    """

    def __init__(self, vocabulary: Path, words: int | None = None) -> None:
        try:
            entries = vocabulary.read_text(encoding="utf-8").split("\n")
            self._ids = {entry: number for number, entry in enumerate(entries) if entry}
            self.start, self.end, self.unknown = (self._ids[mark] for mark in ("[CLS]", "[SEP]", "[UNK]"))
        except (KeyError, UnicodeDecodeError) as error:
            raise BadWeights(f"{vocabulary} is no vocabulary ({error})") from error
        if words is not None and len(self._ids) != words:
            raise BadWeights(f"{vocabulary} has {len(self._ids):,} words, and the weights {words:,}")
        self._characters = _Characters()
        self._words: dict[str, tuple[int, ...]] = {}

    def pieces(self, text: str) -> list[int]:
        """The text's pieces, all of them, without the marks of start and end."""
        found: list[int] = []
        known = self._words
        for word in text.translate(self._characters).split():
            pieces = known.get(word)
            if pieces is None:
                pieces = self._cut(word)
                if len(known) >= MOST_WORDS:
                    known.clear()
                known[word] = pieces
            found += pieces
        return found

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest entry that begins the word, then the longest that goes on from there, to the end."""
        if len(word) > LONGEST_WORD:
            return (self.unknown,)
        found: list[int] = []
        at = 0
        while at < len(word):
            mark = "##" if at else ""
            for end in range(len(word), at, -1):
                number = self._ids.get(mark + word[at:end])
                if number is not None:
                    break
            else:
                return (self.unknown,)
            found.append(number)
            at = end
        return tuple(found)


class _Characters(dict[int, str]):
    """What becomes of each character, worked out when it is first seen. For `str.translate`."""

    def __missing__(self, code: int) -> str:
        becomes = _cleaned(chr(code))
        if len(self) < MOST_CHARACTERS:
            self[code] = becomes
        return becomes


def _cleaned(character: str) -> str:
    """Lower case without accents; a blank for white space; blanks around what stands alone; nothing for controls.

    The reference takes these steps over the whole text one after the other; none of them looks at a
    character's neighbours in a way that the vocabulary could tell, so they can be taken one by one.
    """
    code = ord(character)
    if code in BLANKS:
        return " "
    if code in DROPPED or _within(code, _PRIVATE) or _within(code, _SURROGATES):
        return ""
    made = ""
    for part in unicodedata.normalize("NFD", character):
        if ord(part) not in MARKS:
            for letter in part.lower():
                made += f" {letter} " if ord(letter) in PUNCTUATION else letter
    return f" {made} " if _within(code, _ALONE) else made


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)
