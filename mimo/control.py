"""What our own programs may ask of the running daemon, over its socket: `mimo/status` and its like."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from mimo.choices import Settings
from mimo.errors import InvalidArguments, NotFound
from mimo.gateway.dispatch import Dispatch
from mimo.observability.metrics import Metrics
from mimo.storage.database import Database
from mimo.tool import Call, Client, Json, JsonObject

Answering: TypeAlias = Callable[[JsonObject, Client], Awaitable[Json]]
# Says a notification before the answer; waits until the client has room for more.
Tell: TypeAlias = Callable[[str, JsonObject], Awaitable[None]]
# A method that has more to say than one answer can hold.
Telling: TypeAlias = Callable[[JsonObject, Client, Tell], Awaitable[Json]]


class Control:
    """Answers requests whose methods begin with `mimo/`. Raises only MimoErrors.

    `status`, `stop`, `reload` and `settings` are the daemon's own; `more` are methods of services,
    and `streams` those that send notifications before their answer.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        database: Database,
        metrics: Metrics,
        *,
        status: Callable[[], dict[str, Any]],
        stop: Callable[[], None],
        reload: Callable[[], None],
        settings: Callable[[], Settings],
        more: Mapping[str, Answering] | None = None,
        streams: Mapping[str, Telling] | None = None,
    ) -> None:
        self._dispatch = dispatch
        self._database = database

        def at_once(give: Callable[[], Json]) -> Answering:
            async def answer(params: JsonObject, client: Client) -> Json:
                return give()

            return answer

        def done(name: str, act: Callable[[], None]) -> Answering:
            async def answer(params: JsonObject, client: Client) -> Json:
                act()
                return {name: True}

            return answer

        self._methods: Mapping[str, Answering] = {
            "mimo/status": at_once(status),
            "mimo/stop": done("stopping", stop),
            "mimo/reload": done("reloaded", reload),
            "mimo/settings": at_once(lambda: settings().model_dump(mode="json")),
            "mimo/metrics": at_once(lambda: metrics.render().decode()),
            "mimo/backup": self._backup,
            "mimo/tool": self._tool,
            "mimo/tools": self._tools,
            **(more or {}),
        }
        self._streams = streams or {}

    async def answer(self, method: str, params: JsonObject, client: Client, tell: Tell) -> Json:
        if method in self._streams:
            return await self._streams[method](params, client, tell)
        if method not in self._methods:
            known = ", ".join(sorted({*self._methods, *self._streams}))
            raise NotFound(f"no method {method!r}; there are {known}")
        return await self._methods[method](params, client)

    async def _backup(self, params: JsonObject, client: Client) -> Json:
        path: Any = params.get("path")
        if path is not None and not isinstance(path, str):
            raise InvalidArguments("path must be text")
        made = await self._database.backup(path)
        return {"path": made.path, "bytes": made.bytes}

    async def _tool(self, params: JsonObject, client: Client) -> Json:
        name: Any = params.get("name")
        if not isinstance(name, str):
            raise InvalidArguments('mimo/tool takes {"name": "...", "arguments": {...}}')
        key: Any = params.get("key")
        call = Call(secrets.token_hex(4), client, key=key if isinstance(key, str) else None)
        patience: Any = params.get("seconds")
        seconds = float(patience) if isinstance(patience, int | float) and patience > 0 else None
        answer = await self._dispatch.call(name, params.get("arguments", {}), call, seconds=seconds)
        return {"text": answer.as_text(), "data": answer.data, "failed": answer.failed}

    async def _tools(self, params: JsonObject, client: Client) -> Json:
        toolbox = self._dispatch.toolbox
        return {
            "tools": [
                {"name": tool.name, "description": tool.description, "inputSchema": toolbox.schema(tool)}
                for tool in toolbox.tools()
            ]
        }
