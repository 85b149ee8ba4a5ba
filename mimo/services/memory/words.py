"""From a text to the words that full-text search knows: identifiers fall apart into their parts."""

from __future__ import annotations

import re
from collections.abc import Iterable

# An identifier is a word with a hump, a digit beside a letter, or an underscore inside.
IDENTIFIER = re.compile(r"[^\W_]+(?:_+[^\W_]+)*")
HUMP = re.compile(r"(?<=[a-zß-öø-ÿ0-9])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])")
# What every identifier has somewhere. Most texts have it nowhere, and are done with one look: an expression that
# begins with a set of characters skips all others at once, so what stands before is looked at afterwards.
BEND = re.compile(
    r"[_A-ZÀ-ÖØ-Þ0-9](?:(?<=_)|(?<=[a-zß-öø-ÿ0-9][A-ZÀ-ÖØ-Þ])|(?<=[A-Z]{2})|(?<=[A-Za-z][0-9]))"
)


def pieces_of(text: str) -> list[str]:
    """The parts of the text's identifiers, each once, where the index would not cut by itself.

    `parseHttpRequest` gives parse, Http, Request. Underscores cut in the index already, so of `read_file`
    comes what the index does not have: readfile, as somebody who writes readFile will look for it.
    """
    if BEND.search(text) is None:
        return []
    found: dict[str, None] = {}
    for match in IDENTIFIER.finditer(text):
        word = match[0]
        if "_" in word:
            found[word.replace("_", "")] = None
        for part in word.split("_"):
            if part.isalpha() and part[1:].islower():
                continue  # as most are: one word, and no hump in it
            humps = HUMP.split(part)
            if len(humps) > 1:
                found.update(dict.fromkeys(hump for hump in humps if len(hump) > 1))
    return list(found)


def extra_of(content: str, tags: Iterable[str] = ()) -> str:
    """What an engram's column `extra` holds: its tags, and the parts of its identifiers."""
    return " ".join([*tags, *pieces_of(content)])
