"""Where the arrows of a picture go: from box to box, with their words beside the boxes and not under them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mimo.services.procedures.definition import Definition
from mimo.services.procedures.pictures import HEIGHT, WIDTH, svg

EVERY_WAY: dict[str, list[str]] = {
    "a": ["b", "c", "d", "a"],
    "b": ["c", "d", "e"],
    "c": ["b", "a", "f"],
    "d": ["b", "a", "c"],
    "e": ["a", "end"],
    "f": ["d", "end"],
}


def picture() -> str:
    states: dict[str, Any] = {
        name: {"transitions": [{"event": f"to_{each}", "to": each} for each in onward]}
        for name, onward in EVERY_WAY.items()
    }
    states["end"] = {"terminal": "success"}
    return svg(Definition.model_validate({"name": "all", "initial": "a", "states": states}))


BOXES = [(int(x), int(y)) for x, y in re.findall(r'<rect x="(\d+)" y="(\d+)"', picture())]
ARROWS = re.findall(r'<path d="(M[^"]+)" fill="none".*?/><text x="(\d+)" y="(\d+)"[^>]*>(\w+)<', picture())


def test_all_arrows_are_drawn() -> None:
    assert len(ARROWS) == sum(map(len, EVERY_WAY.values()))


@pytest.mark.parametrize(("path", "x", "y", "label"), ARROWS)
def test_an_arrow_begins_and_ends_at_a_box_and_its_words_lie_on_none(
    path: str, x: str, y: str, label: str
) -> None:
    numbers = [int(each) for each in re.findall(r"-?\d+", path)]
    for end in (numbers[:2], numbers[-2:]):
        assert any(touches(box, end[0], end[1]) for box in BOXES), path
    assert not any(left < int(x) < left + WIDTH and top < int(y) < top + HEIGHT for left, top in BOXES), label


def touches(box: tuple[int, int], x: int, y: int) -> bool:
    across, down = x - box[0], y - box[1]
    on_side = across in (0, WIDTH) and 0 <= down <= HEIGHT
    return on_side or (down in (0, HEIGHT) and 0 <= across <= WIDTH)
