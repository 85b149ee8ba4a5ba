"""Keys, tokens and passwords in a text, and the text without them.

Every rule (see secret_signs.py) begins at a literal word and consumes a bounded run of characters, so the time is
linear in the text. What has a shape of its own (a private key, a vendor's prefix) is taken by its shape; what has
none is taken only where the text calls it a secret and it looks random enough to be one.

The rules know the keyboard's signs only. A text from a web page, a mail or a word processor is read in a plain copy,
and what is found in the copy is taken out of the text at the same places, so that nothing else of it is changed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mimo.services.memory.secret_signs import CALLED, SHAPES, Asked


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text that may be stored, and the names of what was taken out of it."""

    text: str
    found: tuple[str, ...]


_SHORTEST_SHAPE = 15
_SHAPE_PATTERNS = tuple((name, hints, re.compile(pattern, re.ASCII)) for name, hints, pattern in SHAPES)
_CALLED_PATTERNS = tuple(
    (name, asked, hints, re.compile(pattern, re.IGNORECASE | re.ASCII))
    for name, asked, hints, _, pattern in CALLED
)
_BEHIND = tuple(re.compile(behind, re.ASCII) for _, _, _, behind, _ in CALLED)
# Most texts have neither of the two signs that most shapes have, and then half of the hints need not be looked for.
_SHAPE_HINTS = tuple(
    (sign, tuple((hint, at) for hint, at in every if next((c for c in "_-" if c in hint), "") == sign))
    for every in [[(hint, at) for at, (_, hints, _) in enumerate(_SHAPE_PATTERNS) for hint in hints]]
    for sign in ("", "_", "-")
)
_CALLED_HINTS = {
    hint: tuple(at for at, (_, _, hints, _) in enumerate(_CALLED_PATTERNS) if hint in hints)
    for hint in dict.fromkeys(hint for _, _, hints, _ in _CALLED_PATTERNS for hint in hints)
}
_PLACEHOLDER = re.compile(
    r"^(?:x{3,}|\*{3,}|\.{3,}|[-_]{2,}|your|my[_-]|the[_-]|example|changeme|placeholder|redacted|none|null|undefined|true|false"
    r"|required|optional|string|env\b|process\.|os\.|\$|%|<|\[|config|settings|secrets\.|self\.|args\.|vault:)",
    re.IGNORECASE,
)

# `src/auth2.py`, `v1.2`, `users.id2`, `Ctrl+F4`: names of things, not secrets.
_REFERENCE = re.compile(
    r"(?:[A-Za-z_]\w{0,40}[./]){1,8}\w{1,40}(?:\.\w{1,8})?|v?\d{1,4}(?:\.\d{1,6}){1,3}\w{0,10}"
    r"|(?:Ctrl|Alt|AltGr|Shift|Cmd|Meta|Win)(?:\+\w{1,8}){1,3}"
)
# `/usr/bin/apt2`, `~/.ssh/id_rsa2`, `/Users/bob`
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[A-Za-z_.-][a-z0-9_.-]{0,30}){1,10}/?")
# A base64 in an address has signs of its own in it.
_PIECES = re.compile(r"[A-Za-z0-9+%=]+")
# Both are something else as often.
_HALF_SAID = {"pass", "pw"}
# `user_id2`, `max_tokens_16k`
_VARIABLE = re.compile(r"_?[A-Za-z]{2,20}(?:_[A-Za-z]{1,20}){1,5}_?\d{0,3}[A-Za-z]{0,2}")
# No word is so long in one piece, nor are four words joined by chance.
_WORDS_RUN_TOGETHER = re.compile(r"[a-z]{20,64}|[a-z]{3,12}(?:[-.][a-z]{3,12}){3,8}")
_FIELD = re.compile(
    r"pass|wort|string|text|field|secret|hidden|required|optional|invalid|change|forgot", re.IGNORECASE
)


# What does not show where it stands: a reader sees one word, and a line may be broken there or not.
_UNSEEN = "\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_BLANKS = "\t\x0b\x0c\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_LINE_ENDS = "\x85\u2028\u2029"
_QUOTES = {
    '"': "\u201c\u201d\u201e\u201f\xab\xbb\u2033\uff02",
    "'": "\u2018\u2019\u201a\u201b\u2039\u203a\u2032\uff07",
}
_PLAIN = tuple(
    (re.compile(odd), plain)
    for odd, plain in (
        (f"[{_BLANKS}]", " "),
        (f"[{_LINE_ENDS}]", "\n"),
        # Within a word it is an apostrophe, and may be one of a password.
        *((rf"(?s:[{odd}](?:(?<!\w.)|(?!\w)))", plain) for plain, odd in _QUOTES.items()),
        ("[\uff1a\ufe55\ufe13]", ":"),
        ("[\uff1d\ufe66]", "="),
    )
)
_IS_UNSEEN = re.compile(f"[{_UNSEEN}]")
_IS_ODD = re.compile(
    f"[{_UNSEEN}{_BLANKS}{_LINE_ENDS}{''.join(_QUOTES.values())}\uff1a\ufe55\ufe13\uff1d\ufe66]"
)
# Each character that shows, with the unseen before it, and what is unseen at the end.
_PIECE = re.compile(f"[{_UNSEEN}]*[^{_UNSEEN}]|[{_UNSEEN}]+$")


def redact(text: str) -> Redacted:
    """The text with each secret replaced by its name in brackets."""
    return redactor([text])(text)


def kind_of_secret(name: str) -> str | None:
    """What a name holds that has the shape of a secret. That a name is only called one says little."""
    if len(name) < _SHORTEST_SHAPE:
        return None
    for plain in _readings(name) if _is_odd(name) else (name,):
        for sign, hints in _SHAPE_HINTS:
            if sign in plain:
                for hint, at in hints:
                    if hint in plain and _SHAPE_PATTERNS[at][2].search(plain):
                        return _SHAPE_PATTERNS[at][0]
        for kind, asked, _, pattern in _CALLED_PATTERNS[:2] if "://" in plain else ():
            address = pattern.search(plain)
            if address and _looks_secret(address, asked):
                return kind
    return None


def redactor(texts: Sequence[str]) -> Callable[[str], Redacted]:
    """`redact` for texts that come together. Few have a secret: what none of them hints at is looked for once."""
    together = "\n".join(texts)
    odd = {} if _is_typed(together) else {text: _readings(text) for text in texts if _is_odd(text)}
    if odd:
        together = "\n".join([plain for text in texts for plain in odd.get(text, (text,))])
    # Most words come again and again, and every hint is in one of them.
    words = "\n".join(set(together.split()))
    lowered = words.lower()
    shapes = [
        (hint, at) for sign, hints in _SHAPE_HINTS if sign in words for hint, at in hints if hint in words
    ]
    called = [(hint, at) for hint, its in _CALLED_HINTS.items() if hint in lowered for at in its]
    if not odd:
        return lambda text: _redacted(text, None, shapes, called)
    return lambda text: (
        _redacted_in_its_readings(text, odd[text], shapes, called)
        if text in odd
        else _redacted(text, None, shapes, called)
    )


def _is_typed(text: str) -> bool:
    """Whether it has the keyboard's signs only. Most texts have, and `isascii` knows it without looking."""
    return text.isascii() and not ("\t" in text or "\x0b" in text or "\x0c" in text)


def _is_odd(text: str) -> bool:
    return not _is_typed(text) and _IS_ODD.search(text) is not None


def _readings(text: str) -> list[str]:
    """The text as typed: as it shows and, if something in it does not show, with a blank for that."""
    for odd, plain in _PLAIN:
        text = odd.sub(plain, text)
    if not _IS_UNSEEN.search(text):
        return [text]
    return [_IS_UNSEEN.sub("", text), _IS_UNSEEN.sub(" ", text)]


def _redacted_in_its_readings(
    text: str,
    readings: Sequence[str],
    shapes: Sequence[tuple[str, int]],
    called: Sequence[tuple[str, int]],
) -> Redacted:
    first = _redacted(readings[0], _PIECE.findall(text), shapes, called)
    if len(readings) == 1:
        return first
    again = _redacted(_readings(first.text)[-1], list(first.text), shapes, called)
    return Redacted(again.text, first.found + again.found)


def _redacted(
    plain: str,
    pieces: list[str] | None,
    shapes: Sequence[tuple[str, int]],
    called: Sequence[tuple[str, int]],
) -> Redacted:
    """What the plain text is a copy of, without what is secret in the copy.

    The pieces are the original: one for each character of the copy, that ends with what this character was, and maybe
    one more. Without them the copy is the original.
    """
    found: list[str] = []
    hinted = {at for hint, at in shapes if hint in plain}
    for at in sorted(hinted):
        name, _, pattern = _SHAPE_PATTERNS[at]
        spans = [match.span() for match in pattern.finditer(plain)]
        if spans:
            plain, pieces = _blotted(plain, pieces, spans, f"[redacted {name}]")
            found += [name] * len(spans)
    lowered = plain.lower() if called else ""
    for at in sorted({at for hint, at in called if _goes_on(lowered, hint, _BEHIND[at])}):
        name, asked, _, pattern = _CALLED_PATTERNS[at]
        spans = [match.span("value") for match in pattern.finditer(plain) if _looks_secret(match, asked)]
        if spans:
            plain, pieces = _blotted(plain, pieces, spans, f"[redacted {name}]")
            found += [name] * len(spans)
    return Redacted(plain if pieces is None else "".join(pieces), tuple(found))


def _blotted(
    plain: str, pieces: list[str] | None, spans: Sequence[tuple[int, int]], blot: str
) -> tuple[str, list[str] | None]:
    between = pairwise([0, *(at for span in spans for at in span), len(plain)])
    kept = [slice(*ends) for nth, ends in enumerate(between) if nth % 2 == 0]
    copy = blot.join(plain[part] for part in kept)
    if pieces is None:
        return copy, None
    original = pieces[kept[0]]
    for (start, _), part in zip(spans, kept[1:], strict=True):
        original += [pieces[start][:-1] + blot[0], *blot[1:], *pieces[part]]
    return copy, original + pieces[len(plain) :]


def _goes_on(lowered: str, hint: str, behind: re.Pattern[str]) -> bool:
    at = lowered.find(hint)
    while at >= 0:
        at += len(hint)
        if behind.match(lowered, at):
            return True
        at = lowered.find(hint, at)
    return False


def _looks_secret(match: re.Match[str], asked: Asked) -> bool:
    """Whether somebody chose or drew this, rather than wrote it as a word."""
    value = match["value"].rstrip(".!?:")
    if _PLACEHOLDER.match(value):
        return False
    if asked is Asked.NOTHING:
        return True
    if _PATH.fullmatch(value):
        return False
    groups = match.groupdict()
    if groups.get("below"):  # what comes next is less often the value
        asked = Asked.DRAWN
    name = (groups.get("name") or "").lower()
    is_password = name.startswith(("pass", "pw", "kennwort"))
    if asked is Asked.DRAWN and not is_password:
        return _is_drawn(value)
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    signs = len(value) - digits - letters
    if digits == len(value):  # a short number is a port, a date, a count
        return len(value) >= (10 if not is_password else 8 if name in _HALF_SAID else 6)
    if len(value) >= 20 and entropy(value) >= 3.0 and (digits or _mixes_case(value)):
        return True
    if asked is Asked.MIXED and is_password and _is_of_words(match, value):
        return True
    # A short one is taken when it mixes what prose does not mix: letters with digits, or with signs inside.
    inner_signs = sum(not character.isalnum() and character not in "-_./" for character in value[1:-1])
    mixed = bool(letters) and (digits >= 1 or inner_signs >= 1)
    return (
        mixed
        and len(value) >= 6
        and entropy(value) >= 2.0
        and signs <= len(value) // 2
        and not _REFERENCE.fullmatch(value)
        and (
            (is_password and name not in _HALF_SAID and asked is Asked.MIXED)
            or not _VARIABLE.fullmatch(value)
        )
    )


def _is_drawn(value: str) -> bool:
    """Whether there is a long piece in which letters and digits take turns, as they do not in names of things."""
    return any(
        len(piece) >= 16
        and entropy(piece) >= 3.0
        and sum(one.isdigit() != other.isdigit() for one, other in pairwise(piece)) >= 3
        for piece in _PIECES.findall(value)
    )


def _is_of_words(match: re.Match[str], value: str) -> bool:
    """Many in one; or `password="swordfish"`: in quotes, to its end, and no name of a type or of a field."""
    if _WORDS_RUN_TOGETHER.fullmatch(value):
        return True
    around = match.string[match.start("value") - 1], match.string[match.end("value") : match.end("value") + 1]
    return around[0] == around[1] in {'"', "'"} and value.isalpha() and not _FIELD.search(value)


def _mixes_case(value: str) -> bool:
    inner = value[1:]
    return inner != inner.lower() and inner != inner.upper()


def entropy(text: str) -> float:
    """Bits in a character, by how often each occurs in the text itself."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
