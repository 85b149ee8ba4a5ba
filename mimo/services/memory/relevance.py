"""How likely it is that something bears on the question, and when to say that nothing does.

Only what speaks of the question counts here: its words and its meaning, in the thing and around it. That a text
says much, or is from the right day, makes it a better answer among several but no answer by itself.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mimo.services.memory.ranking import FEATURES, Floats

Bools: TypeAlias = npt.NDArray[np.bool_]

# Measured on five long conversations, each asked its own questions and those of another: at 5.7 some 99 % of the
# answerable questions keep their answers, and 86 % of the others get none. By words alone there is less to go by.
EVEN, EVEN_BY_WORDS = 5.7, 1.2
STEEPNESS = 0.8
# The same for the whole sum, which orders the hits: half of the best hits stand above 17, chance hits around 7.
EVEN_IN_ALL, STEEPNESS_IN_ALL = 12.0, 0.5
EVIDENCE = {"words": 5.5, "own_meaning": 1.0, "meaning": 10.0}
# Who says all the words of a question is an answer, however common they are here.
ALL_SAID, AT_LEAST = 2.0, 0.55
THRESHOLD = 0.5


def scores(features: Floats, weights: Floats) -> Floats:
    """From 0 to 1, in the order of the weighted sums."""
    return _share(features @ weights, EVEN_IN_ALL, STEEPNESS_IN_ALL)


def relevance(features: Floats, by_words: Bools, said: Floats) -> Floats:
    """How likely each bears on the question, from 0 to 1, whatever the strategy.

    `by_words`: those of which the meaning is not known (yet), which the words alone may recommend. `said`: how many
    of the question's words each says itself, as a share. A word that is in everything tells nothing apart, but who
    asks for it has not asked for nothing.
    """
    whole_question = (ALL_SAID * np.clip(2 * said - 1, 0, 1)).astype(np.float32)
    words = EVIDENCE["words"] * features[:, FEATURES.index("words")] + whole_question
    total = whole_question.copy()
    for name, worth in EVIDENCE.items():
        total += np.float32(worth) * features[:, FEATURES.index(name)]
    whole = _share(total, EVEN, STEEPNESS)
    found = np.where(by_words, np.maximum(whole, _share(words, EVEN_BY_WORDS, STEEPNESS)), whole)
    return np.where(said == 1, np.maximum(found, np.float32(AT_LEAST)), found)


def says_nothing(relevant: Floats, threshold: float = THRESHOLD) -> bool:
    """Whether the best of them is too weak to be an answer."""
    return len(relevant) == 0 or float(relevant.max()) < threshold


def _share(total: Floats, even: float, steepness: float) -> Floats:
    return (1 / (1 + np.exp(-steepness * (np.clip(total, -40, 40) - even)))).astype(np.float32)
