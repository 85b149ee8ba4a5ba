"""Facts that a text says by the form of its sentences. What is not of a known form is left alone.

Precision comes first: questions, negations, conditions and hopes say nothing; a subject that stands for another
word ("it", "they", "this") says nothing; names are short and have no verbs in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_FACTS = 500
MOST_WORDS = 6
SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\b[DMS]r\.)(?<!\bMrs\.)(?<!\bNo\.)(?<!\bSt\.)(?<!e\.g\.)(?<!i\.e\.)\s+(?=[\"'(\[]?[A-Z0-9`])|\n+"
)
# A sentence with one of these does not claim what its form says.
DOUBTFUL = re.compile(
    r"\b(?:not|never|no longer|n't|cannot|if|unless|whether|maybe|perhaps|might|could|should|would|may|wants?|hopes?|"
    r"plans?|used to|instead of|or|but|except|think|thinks|believe|believes|seems?|almost|was|were|will|let's|please)\b"
    r"|n't\b",
    re.IGNORECASE,
)
PRONOUNS = frozenset(
    "it he she they we you i this that these those there here what which who whom whose its his her their our my "
    "your one some any all both each every everything nothing something someone anyone everybody nobody".split()
)
STOP = frozenset(
    "is are be been being has have had do does did the a an of to in on at by for with from and as when while because "
    "since then than so also very just only".split()
)
# In a name these are fine between its words: Bank of England, Tales from the Loop.
WITHIN = frozenset("of the and for in on to".split())

NAME = r"(?P<{0}>`[^`\n]{{1,80}}`|\"[^\"\n]{{1,80}}\"|[^\s,;:.!?()\[\]`\"][^,;:!?()\[\]`\"\n]{{0,79}}?)"
# A list may stand on either side.
_S, _O = NAME.format("s"), r"(?P<o>\S[^;:!?()\[\]\n]{0,199})"
_LIST = r"(?P<s>\S[^;:!?()\[\]\n]{0,199}?)"
_ADVERB = r"(?:(?:currently|now|also|directly|mainly|primarily)\s+)?"


def _form(
    verb: str, predicate: str, confidence: float = 1.0, *, swap: bool = False
) -> tuple[re.Pattern[str], str, float, bool]:
    pattern = rf"^{_LIST}\s+{_ADVERB}(?P<v>{verb})\s+{_O}$"
    return re.compile(pattern, re.IGNORECASE), predicate, confidence, swap


# What is more exact comes first; the first that fits a sentence is the only one.
FORMS = (
    _form(r"(?:reports?|is reporting) to", "reports_to"),
    _form(r"(?:manages?|is the manager of|is managing)", "manages"),
    _form(r"is managed by", "manages", swap=True),
    _form(r"(?:depends?|is dependent|relies|rely) (?:up)?on", "depends_on"),
    _form(r"(?:requires?|needs?)", "requires", 0.9),
    _form(r"is (?:required|needed) by", "requires", 0.9, swap=True),
    _form(r"(?:is|are) (?:a )?(?:parts?|components?) of", "part_of"),
    _form(r"(?:is|are) (?:a )?members? of", "member_of"),
    _form(r"belongs? to", "belongs_to"),
    _form(r"(?:is|are) (?:located|situated|based|hosted) (?:in|at|on)", "located_in"),
    _form(r"(?:contains?|includes?)", "contains", 0.9),
    _form(r"(?:is|are) (?:adjacent|next) to", "adjacent_to"),
    _form(r"(?:is|was|are|were) (?:created|founded|built|made|developed) by", "created_by"),
    _form(r"(?:is|was|are|were) (?:written|authored) by", "authored_by"),
    _form(r"(?:wrote|authored)", "authored_by", 0.9, swap=True),
    _form(r"(?:created|founded)", "created_by", 0.9, swap=True),
    _form(r"(?:is|are) owned by", "owned_by"),
    _form(r"owns?", "owns"),
    _form(r"(?:is|are) used by", "uses", swap=True),
    _form(r"uses?", "uses"),
    _form(r"provides?", "provides", 0.9),
    _form(r"(?:is|are) provided by", "provided_by"),
    _form(r"(?:precedes?|comes? before|runs? before)", "precedes"),
    _form(r"(?:follows?|comes? after|runs? after)", "follows"),
    _form(r"works? (?:for|at)", "works_for"),
    _form(r"lives? in", "lives_in"),
    _form(r"(?:is|are) (?:a )?(?:kinds?|types?|sorts?|subclass(?:es)?) of(?: an?)?", "subclass_of"),
    _form(r"is an instance of(?: an?)?", "instance_of"),
    _form(r"is the same as", "same_as"),
)
# "Ann is the manager of Bob": the noun is the relation. "X is the Y of Z" gives Z Y X.
Y_OF = re.compile(rf"^{_S}\s+is\s+the\s+(?P<p>[a-z][a-z -]{{1,38}}?)\s+(?:of|for)\s+{_O}$", re.IGNORECASE)
# "The owner of Atlas is Ann", "Atlas's owner is Ann".
THE_Y = re.compile(rf"^the\s+(?P<p>[a-z][a-z -]{{1,38}}?)\s+(?:of|for)\s+{_S}\s+is\s+{_O}$", re.IGNORECASE)
OWN_Y = re.compile(rf"^{_S}(?:'s|’s)\s+(?P<p>[a-z][a-z -]{{1,38}}?)\s+is\s+{_O}$", re.IGNORECASE)
IS_A = re.compile(rf"^{_S}\s+is\s+an?\s+{_O}$", re.IGNORECASE)
# Of "a database written in C" it is a database that it is; "a bit slow" is no kind of thing.
BEYOND_KIND = re.compile(
    r"\s+(?:that|which|who|whose|where|used|written|made|built|based|running|called|named|for|by|with|from|in|on|at|to)\s.*"
)
NO_KIND = frozenset(
    "bit lot little few good bad great nice big must shame pity pleasure problem mess".split()
)
KEY_VALUE = re.compile(r"^\s*(?:[-*]\s+)?\**(?P<k>[A-Za-z][\w /-]{1,30}?)\**\s*:\**\s+(?P<v>\S.{0,98})$")
LINK = re.compile(r"(?<!!)\[(?P<t>[^\]\n]{1,80})\]\((?P<u>https?://[^)\s]{1,300})\)")
HEADING = re.compile(r"^#{1,6}\s+(?P<h>\S.{0,78})$")


@dataclass(frozen=True, slots=True)
class Extracted:
    """A fact and the sentence that says it."""

    subject: str
    predicate: str
    object: str
    sentence: str
    confidence: float = 1.0
    by: str = ""  # which model has read it; empty: its form says it


def extracted(text: str, about: str | None = None) -> list[Extracted]:
    """Up to some hundred facts, in the order of the text, each once. Lines like `owner: Ann` are of the heading
    above them, or else of what the text is `about`."""
    found: dict[tuple[str, str, str], Extracted] = {}
    for each in _all(text, about):
        found.setdefault((each.subject, each.predicate, each.object), each)
        if len(found) >= MOST_FACTS:
            break
    return list(found.values())


def _all(text: str, about: str | None) -> Iterator[Extracted]:
    heading = about
    for line in text.splitlines():
        for match in LINK.finditer(line):
            if (name := _name(match["t"])) is not None:
                yield Extracted(name, "has_link", match["u"], line.strip())
        line = LINK.sub(lambda match: match["t"], line)
        if titled := HEADING.match(line):
            heading = _name(titled["h"])
            continue
        told = KEY_VALUE.match(line)
        if told is not None and heading is not None and not DOUBTFUL.search(line):
            yield from _key_value(heading, told, line)
            continue
        for sentence in SENTENCE.split(line):
            yield from _sentence(sentence.strip().lstrip("-*•> ").strip())


def _key_value(heading: str, told: re.Match[str], line: str) -> Iterator[Extracted]:
    predicate = _predicate(told["k"])
    if predicate is None:
        return
    for part in re.split(r",\s*", told["v"].rstrip(".")):
        if (name := _name(part, most=8)) is not None:
            yield Extracted(heading, _has(predicate), name, line.strip(), 0.9)


def _sentence(sentence: str) -> Iterator[Extracted]:
    if not 5 <= len(sentence) <= 400 or sentence.endswith("?") or sentence.startswith(("```", "|", "//")):
        return
    bare = re.sub(r"\s+", " ", sentence.rstrip(".! "))
    said = re.sub(
        r"\b(?:was|were) (?=(?:created|founded|built|made|developed|written|authored) by\b)", "is ", bare
    )
    if DOUBTFUL.search(said):
        return
    for form, predicate, confidence, swap in FORMS:
        if match := form.match(bare):
            for subject in _subjects(match["s"], match["v"]):
                yield from _facts(subject, predicate, match["o"], sentence, confidence, swap)
            return
    for form, confidence in ((THE_Y, 1.0), (OWN_Y, 1.0)):
        if match := form.match(bare):
            if (predicate := _predicate(match["p"])) is not None:
                yield from _facts(match["s"], _has(predicate), match["o"], sentence, confidence, False)
            return
    if match := Y_OF.match(bare):
        if (predicate := _predicate(match["p"])) is not None:
            yield from _facts(match["o"], _has(predicate), match["s"], sentence, 1.0, False)
        return
    if match := IS_A.match(bare):
        kind = BEYOND_KIND.sub("", match["o"])
        if kind.split()[0].lower() not in NO_KIND:
            yield from _facts(match["s"], "is_a", kind, sentence, 0.9, False)


def _facts(
    subject: str, predicate: str, object_: str, sentence: str, confidence: float, swap: bool
) -> Iterator[Extracted]:
    """One for each thing of a list on the right."""
    if (left := _name(subject)) is None:
        return
    parts = _listed(object_)
    rights = [_name(part) for part in parts]
    if any(_goes_on(parts[0], part) for part in parts[1:]):
        return
    for right in rights:
        if right is None or right == left:
            return  # a list is taken whole or not at all
    for right in rights:
        assert right is not None
        one, other = (right, left) if swap else (left, right)
        yield Extracted(one, predicate, other, sentence, confidence)


def _subjects(text: str, verb: str) -> list[str]:
    """`Ann and Bob manage` are two, `Research and Development manages` is one: the verb tells. Whole or not at all."""
    several = _listed(text)
    first = verb.split()[0].lower()
    if len(several) == 1:
        return several
    if first.endswith("s") and first != "was":
        return [] if "," in text else [text]
    return several if all(_name(each) is not None for each in several) else []


def _listed(text: str) -> list[str]:
    """`A, B and C` is three; names with a comma in them cannot be told from a list, and are none."""
    return [part for part in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", text) if part]


def _goes_on(first: str, other: str) -> bool:
    """Whether it is no more of the list but what the sentence says next: `manages Bob and likes tea`."""
    words = other.split()
    if not words[0][0].islower():
        return False
    return not first[0].islower() or (len(words) > 1 and words[0].endswith("s"))


def _name(text: str, most: int = MOST_WORDS) -> str | None:
    """What can be the name of a thing: a few words, none of which stands for something else."""
    text = text.strip().strip("*_").strip()
    if len(text) > 2 and text[0] == text[-1] and text[0] in '`"':
        return text[1:-1].strip() or None
    text = re.sub(r"^(?:the|a|an|our|my|its|their)\s+", "", text, flags=re.IGNORECASE)
    words = text.split()
    if not words or len(words) > most or not any(c.isalnum() for c in text):
        return None
    lowered = [word.lower().strip("'\"") for word in words]
    if lowered[0] in PRONOUNS or lowered[0] in STOP or lowered[-1] in STOP or lowered[-1] in PRONOUNS:
        return None
    if any((word in STOP or word in PRONOUNS) and word not in WITHIN for word in lowered[1:-1]):
        return None
    return text


def _predicate(noun: str) -> str | None:
    words = noun.lower().split()
    if not 1 <= len(words) <= 3 or any(word in STOP or word in PRONOUNS for word in words):
        return None
    return "_".join(re.sub(r"[^\w]", "_", word) for word in words)


def _has(noun: str) -> str:
    """The relation behind a noun: the manager of Bob manages Bob, said from Bob's side."""
    return {
        "manager": "reports_to",
        "owner": "owned_by",
        "author": "authored_by",
        "creator": "created_by",
    }.get(noun, noun)
