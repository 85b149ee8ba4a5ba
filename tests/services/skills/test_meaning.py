"""Tools found by what they mean, with the model in the box."""

from collections.abc import Sequence

import numpy as np
import pytest

from mimo.embedding.box import Box
from mimo.embedding.embedder import State, Vectors
from mimo.errors import Unavailable
from mimo.services.skills.finding import rank
from mimo.services.skills.meaning import Meaning, fused
from mimo.services.skills.offers import Forwarded
from mimo.tool import Answer, Call, Tool

DESCRIPTIONS = {
    "git_commit": "Records changes to the repository",
    "list_directory": "Get a detailed listing of all files and directories in a specified path",
    "get_current_time": "Get current time in a specific timezone",
    "send_mail": "Sends an e-mail message to one or several recipients",
    "create_entities": "Create multiple new entities in the knowledge graph",
}


async def nothing(_: Forwarded, call: Call) -> Answer:
    return Answer()


TOOLS = [
    Tool(name, Forwarded, nothing, text=text, meta={"mimo/skill": "s", "mimo/name": name})
    for name, text in DESCRIPTIONS.items()
]


@pytest.mark.vectors
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("what o'clock is it", "get_current_time"),
        ("show the folder's contents", "list_directory"),
        ("write somebody a letter", "send_mail"),
    ],
)
async def test_a_tool_is_found_by_other_words_than_its_own(query: str, wanted: str) -> None:
    meaning = Meaning(Box())
    near = await meaning.nearest(query, TOOLS)
    assert fused(rank(query, TOOLS, {}), near)[0].name == wanted


class Away:
    """An embedder that cannot be reached, and counts who tries."""

    model, dim, state = "none", 4, State.DOWN

    def __init__(self) -> None:
        self.texts = list[str]()
        self.up = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        if not self.up:
            raise Unavailable("away")
        return np.ones((len(texts), 4), np.float32)


async def test_without_vectors_words_are_enough() -> None:
    assert await Meaning(Away()).nearest("time", TOOLS) == []


async def test_a_description_is_embedded_once() -> None:
    away = Away()
    away.up = True
    meaning = Meaning(away)
    await meaning.nearest("a", TOOLS)
    await meaning.nearest("b", TOOLS)
    assert len(away.texts) == len(TOOLS) + 2


def test_who_is_in_both_lists_is_first() -> None:
    a, b, c = TOOLS[:3]
    assert fused([a, b], [c, b])[0] is b
    assert fused([a], []) == [a]
