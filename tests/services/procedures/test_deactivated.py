"""A person's word against a file's: what was deactivated stays so until somebody lays the file anew."""

from __future__ import annotations

import json
from typing import Any

DEFINITION = {
    "name": "one",
    "initial": "a",
    "states": {
        "a": {"action": {"type": "wait", "seconds": 1}, "transitions": [{"to": "ok"}]},
        "ok": {"terminal": "success"},
    },
}


async def active(house: Any) -> list[str]:
    with house.database.holding_the_clock():
        await house.parts.folder.look()
        return [each.name for each in await house.parts.registry.all() if each.active]


async def test_what_was_deactivated_stays_so_when_mimo_begins_again(idle: Any) -> None:
    idle.folder.mkdir()
    (idle.folder / "one.json").write_text(json.dumps(DEFINITION))
    async with idle.running():
        assert await active(idle) == ["one"]
        await idle.data("deactivate", name="one")
        assert await active(idle) == []
    async with idle.restarted():
        assert await active(idle) == []
        (idle.folder / "two.json").write_text(json.dumps(DEFINITION, indent=1))
        assert await active(idle) == ["one"]
