"""A client for the conformance suite's servers: mimo, with the server as a skill over HTTP, calling all that it offers.

The suite starts it with the server's address as last word. Which calls a scenario wants, its context says; where
it says nothing each tool is called once, with something for every argument that it needs.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import trio

from mimo.errors import MimoError
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.skills.service import Skills
from mimo.services.skills.skill import Patience
from mimo.supervision import Supervisor
from mimo.tool import Call, Json, JsonObject

CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
# To who can be asked a server may speak unasked, which takes a stream that this scenario counts as a mistake.
SILENT = os.environ.get("MCP_CONFORMANCE_SCENARIO") == "sse-retry"
OFFERS: JsonObject = {} if SILENT else {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
SAMPLES: dict[str, Any] = {
    "string": "x",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "array": [],
    "object": {},
}


class Person:
    """Says yes to whatever is asked, and takes what is proposed."""

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def log(self, level: str, data: Any, logger: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def ask(self, method: str, params: JsonObject, key: str | None = None) -> JsonObject:
        await trio.lowlevel.checkpoint()
        properties = params.get("requestedSchema", {}).get("properties", {})
        return {
            "action": "accept",
            "content": {name: said.get("default", filled(said)) for name, said in properties.items()},
        }

    async def ask_all(self, questions: Mapping[str, tuple[str, JsonObject]]) -> Mapping[str, JsonObject]:
        return {key: await self.ask(*question) for key, question in questions.items()}

    def keep(self, name: str, value: Json) -> None:
        pass

    def kept(self, name: str) -> Any:
        return None


def filled(schema: Mapping[str, Any]) -> Any:
    return schema.get("enum", [SAMPLES.get(schema.get("type", ""), "x")])[0]


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mimo-") as home:
        await trio.Path(home, "skills.json").write_text(
            json.dumps({"suite": {"url": sys.argv[-1], "prefix": ""}})
        )
        events, supervisor = Events(), Supervisor("skills")
        toolbox = Toolbox(events)
        dispatch = Dispatch(toolbox, events, Metrics())
        skills = Skills(
            home,
            supervisor,
            toolbox,
            events,
            dispatch.call,
            patience=Patience(call=30, start=20),
            result_cap=100_000,
            updated=print,
            supervised=lambda event: None,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            nursery.start_soon(skills.run)
            tested: Any = await skills.control("test", {"name": "suite"})
            print(tested)
            await call_all(toolbox, dispatch)
            nursery.cancel_scope.cancel()


async def call_all(toolbox: Toolbox, dispatch: Dispatch) -> None:
    call = Call("1", outlet=Person(), offers=OFFERS)
    calls = [(each["name"], each["arguments"]) for each in CONTEXT.get("toolCalls", [])]
    if not calls:
        for tool in toolbox.tools():
            if "mimo/skill" in tool.meta:
                schema = toolbox.schema(tool)
                properties: Any = schema.get("properties", {})
                calls.append(
                    (tool.name, {name: filled(properties[name]) for name in schema.get("required", ())})
                )
    async with trio.open_nursery() as nursery:

        async def one(name: str, arguments: dict[str, Any]) -> None:
            try:
                print(name, (await dispatch.call(name, arguments, call)).as_text())
            except MimoError as error:
                print(name, error.kind, error.message)

        for name, arguments in calls:
            nursery.start_soon(one, name, arguments)
    for resource in toolbox.resources():
        print(resource.uri, await resource.read(resource.uri, call))
    for prompt in toolbox.prompts():
        print(prompt.name, await prompt.get({each.name: "x" for each in prompt.arguments}, call))


if __name__ == "__main__":
    trio.run(main)
