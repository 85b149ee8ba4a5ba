"""What mimo's own programs may ask of procedures beside the tool: to watch a run while it goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mimo.errors import InvalidArguments
from mimo.services.procedures import texts
from mimo.services.procedures.runner import Runner
from mimo.services.procedures.runs import ENDED
from mimo.services.procedures.service import Procedures
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored
from mimo.tool import Client, Json, JsonObject

# Says a notification before the answer.
Tell = Callable[[str, JsonObject], Awaitable[None]]


class Controls:
    def __init__(self, database: Database, service: Procedures, runner: Runner) -> None:
        self._database = database
        self._service = service
        self._runner = runner

    async def watch(self, params: JsonObject, client: Client, tell: Tell) -> Json:
        """`{"run": "r12", "after": 0}`: the lines of its history as they come, until it has ended."""
        name: Any = params.get("run")
        if not isinstance(name, str) or not name[1:].isascii() or not name[1:].isdigit():
            raise InvalidArguments('mimo/procedure_watch takes {"run": "r12"}')
        id_, after = int(name[1:19]), int(params.get("after", 0))
        while True:
            changed = self._runner.changed(id_)
            row, run = await self._service.found(id_)
            for line in await self._database.read(stored.history, id_, after):
                after = line.number
                (told,) = texts.history_data([line])
                await tell("mimo/procedure_line", {"run": name, "text": texts.line_text(line), **told})
            if run.entries > after:
                continue
            if run.status in ENDED:
                return {"run": name, "status": row.status, "state": row.state, "output": run.output}
            await changed.wait()
