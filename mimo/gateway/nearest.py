"""The name that was meant, when a name is not there."""

import difflib
import re
from collections.abc import Iterable

# Below this a guess misleads more than it helps.
ALIKE = 0.6
# Comparing takes the product of the lengths; nobody meant more than this.
LONGEST = 64


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar of the known names, also with the words in another order; None when none is similar."""
    wrong = name[:LONGEST].lower()
    turned = _in_order(wrong)
    best, likeness = None, ALIKE
    for each in known:
        right = each[:LONGEST].lower()
        alike = max(_ratio(wrong, right), _ratio(turned, _in_order(right)) - 0.01)
        if alike > likeness:
            best, likeness = each, alike
    return best


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _in_order(name: str) -> str:
    return "_".join(sorted(re.split(r"[^a-z0-9]+", name)))
