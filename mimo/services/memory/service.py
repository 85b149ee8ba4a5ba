"""The memory: what agents may do with it, declared as tools at the foot of this page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mimo.services.memory import arguments, texts
from mimo.services.memory.adding import Adding
from mimo.services.memory.context import Context
from mimo.services.memory.editing import Editing
from mimo.services.memory.finding import Finding
from mimo.services.memory.spaces import writable
from mimo.tool import Answer, Call, Tool

ALWAYS_LOADED = {"anthropic/alwaysLoad": True}


class Memory:
    """Tools over the parts that do the work."""

    def __init__(self, adding: Adding, finding: Finding, editing: Editing, context: Context) -> None:
        self._context = context
        self._adding = adding
        self._editing = editing
        self._finding = finding

    async def add(self, asked: arguments.Add, call: Call) -> Answer:
        done = await self._adding.add(
            asked.all_items(), writable(asked.namespace, call.client), call.client, asked.key or call.key
        )
        if asked.format == "json":
            return _json({"results": texts.remembered_json(done)})
        return Answer.text(texts.remembered_text(done))

    def tools(self) -> Sequence[Tool]:
        return [
            Tool(
                "memory_search",
                arguments.Search,
                self._finding.search,
                title="Search memory",
                idempotent=True,
                meta=ALWAYS_LOADED,
            ),
            Tool(
                "memory_add",
                arguments.Add,
                self.add,
                title="Remember",
                writes=True,
                keyed=True,
                meta=ALWAYS_LOADED,
            ),
            Tool(
                "memory_edit",
                arguments.Edit,
                self._editing.edit,
                title="Edit memories",
                writes=True,
                destructive=True,
                keyed=True,
            ),
            Tool("memory_get", arguments.Get, self._finding.get, title="Read memories", idempotent=True),
            Tool(
                "memory_context",
                arguments.Context,
                self._context.context,
                title="Context of the session",
                idempotent=True,
            ),
        ]


def _json(data: dict[str, Any]) -> Answer:
    return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
