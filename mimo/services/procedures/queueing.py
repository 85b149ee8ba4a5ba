"""An action that finds no free place for its call waits for one: that others are busy is no failure of its own."""

from __future__ import annotations

import trio

from mimo.errors import Busy
from mimo.services.procedures.calling import CallTool
from mimo.tool import Answer, Call

LONGEST = 5.0


def patient(call_tool: CallTool) -> CallTool:
    """The same, but for calls that would be refused for want of a place. The state's timeout ends the waiting."""

    async def call_when_there_is_room(name: str, arguments: object, call: Call) -> Answer:
        while True:
            try:
                return await call_tool(name, arguments, call)
            except Busy as busy:
                if "capacity" not in busy.details:  # the tool itself says so
                    raise
                after = busy.details.get("after")
                await trio.sleep(min(LONGEST, max(0.1, after)) if isinstance(after, int | float) else LONGEST)

    return call_when_there_is_room
