"""What our own programs may ask of the running daemon, over its socket: `mimo/status` and its like."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from mimo import __version__
from mimo.errors import InvalidArguments, NotFound
from mimo.gateway.dispatch import Dispatch
from mimo.tool import Call, Client, Json, JsonObject

if TYPE_CHECKING:
    from mimo.app import House

Answering: TypeAlias = Callable[[JsonObject, Client], Awaitable[Json]]


class Control:
    """Answers requests whose methods begin with `mimo/`. Raises only MimoErrors."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._methods: Mapping[str, Answering] = {
            "mimo/status": self._status,
            "mimo/stop": self._stop,
            "mimo/reload": self._reload,
            "mimo/settings": self._settings,
            "mimo/metrics": self._metrics,
            "mimo/backup": self._backup,
            "mimo/tool": self._tool,
            "mimo/tools": self._tools,
        }

    def take_over(self, house: House) -> None:
        """The house is built after its control, because its doors lead here."""
        self._house = house

    async def answer(self, method: str, params: JsonObject, client: Client) -> Json:
        if method not in self._methods:
            raise NotFound(f"no method {method!r}; there are {', '.join(sorted(self._methods))}")
        return await self._methods[method](params, client)

    async def _status(self, params: JsonObject, client: Client) -> Json:
        house = self._house
        stats = house.database.stats()
        return {
            "pid": os.getpid(),
            "version": __version__,
            "home": str(house.home),
            "socket": house.home.socket,
            "began": house.began,
            "doors": house.doors(),
            "tree": house.root.tree().as_json(),
            "database": {
                "open": stats.open,
                "full": stats.full,
                "waiting": stats.waiting,
                "bytes": stats.file_bytes,
                "wal_bytes": stats.wal_bytes,
                "writes": stats.writes,
                "reads": stats.reads,
            },
            "resources": house.resources.look().values(),
            "worries": dict(house.resources.worries),
            "stalls": house.loop_watch.count,
        }

    async def _stop(self, params: JsonObject, client: Client) -> Json:
        self._house.stop_wanted.set()
        return {"stopping": True}

    async def _reload(self, params: JsonObject, client: Client) -> Json:
        self._house.reload()
        return {"reloaded": True}

    async def _settings(self, params: JsonObject, client: Client) -> Json:
        return self._house.settings.model_dump(mode="json")

    async def _backup(self, params: JsonObject, client: Client) -> Json:
        path: Any = params.get("path")
        if path is not None and not isinstance(path, str):
            raise InvalidArguments("path must be text")
        made = await self._house.database.backup(path)
        return {"path": made.path, "bytes": made.bytes}

    async def _metrics(self, params: JsonObject, client: Client) -> Json:
        return self._house.metrics.render().decode()

    async def _tool(self, params: JsonObject, client: Client) -> Json:
        name: Any = params.get("name")
        if not isinstance(name, str):
            raise InvalidArguments('mimo/tool takes {"name": "...", "arguments": {...}}')
        key: Any = params.get("key")
        call = Call(secrets.token_hex(4), client, key=key if isinstance(key, str) else None)
        answer = await self._dispatch.call(name, params.get("arguments", {}), call)
        return {"text": answer.as_text(), "data": answer.data, "failed": answer.failed}

    async def _tools(self, params: JsonObject, client: Client) -> Json:
        toolbox = self._dispatch.toolbox
        return {
            "tools": [
                {"name": tool.name, "description": tool.description, "inputSchema": toolbox.schema(tool)}
                for tool in toolbox.tools()
            ]
        }
