"""The tools, resources and prompts that the official conformance suite expects, behind our own dispatch and HTTP door.

Run as a program it prints the address of its MCP endpoint and serves until it is stopped. With `--gateway` that is a
mimo which has none of these things, but a skill that has: this same program, with `--stdio`.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from pydantic import ConfigDict, Field

from mimo.errors import NotFound
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.protocol.mcp.about import ServerInfo
from mimo.services.skills.service import Skills
from mimo.services.skills.skill import Patience
from mimo.supervision import Supervisor
from mimo.tool import (
    Answer,
    Arguments,
    Call,
    Client,
    Contents,
    JsonObject,
    Message,
    Prompt,
    PromptArgument,
    Resource,
    ResourceTemplate,
    Tool,
)
from mimo.transports.desk import Desk
from mimo.transports.http.mcp import McpOverHttp
from mimo.transports.stdio import StdioDoor

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
OWNER = "fixture"

SCHEMA_2020_12: JsonObject = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


class Nothing(Arguments):
    """A tool of the conformance suite."""


class Prompted(Arguments):
    """A tool of the conformance suite that asks the client's model."""

    prompt: str = "Hello"


class Said(Arguments):
    """A tool of the conformance suite that asks the person."""

    message: str = "Please answer"


class Region(Arguments):
    """A tool of the conformance suite whose argument is repeated in a header."""

    region: str = Field(json_schema_extra={"x-mcp-header": "Region"})


class Anything(Arguments):
    """A tool of the conformance suite with a schema of its own."""

    model_config = ConfigDict(frozen=True, extra="allow")


def text(said: str) -> JsonObject:
    return {"type": "text", "text": said}


def form(message: str, **properties: JsonObject) -> JsonObject:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"message": message, "requestedSchema": schema}


def sampling(prompt: str, most: int = 100) -> JsonObject:
    return {"messages": [{"role": "user", "content": text(prompt)}], "maxTokens": most}


async def fixed(*blocks: JsonObject) -> Answer:
    return Answer(blocks)


class Fixture:
    def __init__(self, box: Toolbox, desk: Desk) -> None:
        self.box = box
        self.desk = desk

    async def simple(self, _: Nothing, call: Call) -> Answer:
        return Answer.text("This is a simple text response for testing.")

    async def image(self, _: Nothing, call: Call) -> Answer:
        return Answer(({"type": "image", "data": PNG, "mimeType": "image/png"},))

    async def audio(self, _: Nothing, call: Call) -> Answer:
        return Answer(({"type": "audio", "data": WAV, "mimeType": "audio/wav"},))

    async def embedded(self, _: Nothing, call: Call) -> Answer:
        body = "This is an embedded resource content."
        resource = {"uri": "test://embedded-resource", "mimeType": "text/plain", "text": body}
        return Answer(({"type": "resource", "resource": resource},))

    async def mixed(self, _: Nothing, call: Call) -> Answer:
        body = json.dumps({"test": "data", "value": 123})
        resource = {"uri": "test://mixed-content-resource", "mimeType": "application/json", "text": body}
        return Answer(
            (
                text("Multiple content types test:"),
                {"type": "image", "data": PNG, "mimeType": "image/png"},
                {"type": "resource", "resource": resource},
            )
        )

    async def logging(self, _: Nothing, call: Call) -> Answer:
        for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await call.outlet.log("info", said)
            await trio.sleep(0.05)
        return Answer.text("Logged.")

    async def progress(self, _: Nothing, call: Call) -> Answer:
        for done in (0, 50, 100):
            await call.outlet.progress(done, 100)
            await trio.sleep(0.05)
        return Answer.text(str(call.meta.get("progressToken", "")) or "Done.")

    async def error(self, _: Nothing, call: Call) -> Answer:
        raise NotFound("This tool intentionally returns an error for testing")

    async def sample(self, asked: Prompted, call: Call) -> Answer:
        said = await call.outlet.ask("sampling/createMessage", sampling(asked.prompt))
        return Answer.text(f"LLM response: {said['content'].get('text', '')}")

    async def elicit(self, asked: Said, call: Call) -> Answer:
        wanted = {name: {"type": "string", "description": name} for name in ("username", "email")}
        said = await call.outlet.ask("elicitation/create", form(asked.message, **wanted))
        return Answer.text(f"User response: {json.dumps(said)}")

    async def defaults(self, _: Nothing, call: Call) -> Answer:
        wanted = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        return elicited(await call.outlet.ask("elicitation/create", form("Defaults", **wanted)))

    async def enums(self, _: Nothing, call: Call) -> Answer:
        options = ["option1", "option2", "option3"]
        titled = [
            {"const": f"value{n}", "title": f"{name} Option"} for n, name in enumerate(("First", "Second"), 1)
        ]
        wanted = {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        }
        return elicited(await call.outlet.ask("elicitation/create", form("Enums", **wanted)))

    async def who(self, _: Nothing, call: Call) -> Answer:
        said = await call.outlet.ask("elicitation/create", NAME, "user_name")
        return Answer.text(f"Hello, {said.get('content', {}).get('name', 'stranger')}!")

    async def capital(self, _: Nothing, call: Call) -> Answer:
        said = await call.outlet.ask(
            "sampling/createMessage", sampling("What is the capital of France?"), "capital_question"
        )
        return Answer.text(json.dumps(said.get("content")))

    async def roots(self, _: Nothing, call: Call) -> Answer:
        return Answer.text(json.dumps(dict(await call.outlet.ask("roots/list", {}, "client_roots"))))

    async def confirm(self, _: Nothing, call: Call) -> Answer:
        await call.outlet.ask("elicitation/create", form("Please confirm", ok={"type": "boolean"}), "confirm")
        return Answer.text("state-ok")

    async def several(self, _: Nothing, call: Call) -> Answer:
        said = await call.outlet.ask_all(
            {
                "user_name": ("elicitation/create", NAME),
                "greeting": ("sampling/createMessage", sampling("Generate a greeting", 50)),
                "client_roots": ("roots/list", {}),
            }
        )
        return Answer.text(json.dumps({key: dict(value) for key, value in said.items()}))

    async def rounds(self, _: Nothing, call: Call) -> Answer:
        name = await call.outlet.ask(
            "elicitation/create", form("Step 1: What is your name?", name={"type": "string"}), "step1"
        )
        color = await call.outlet.ask(
            "elicitation/create",
            form("Step 2: What is your favorite color?", color={"type": "string"}),
            "step2",
        )
        return Answer.text(json.dumps([dict(name), dict(color)]))

    async def whatever_is_offered(self, _: Nothing, call: Call) -> Answer:
        offered = call.meta["io.modelcontextprotocol/clientCapabilities"]
        wanted: dict[str, tuple[str, JsonObject]] = {}
        if "elicitation" in offered:
            wanted["user_name"] = ("elicitation/create", NAME)
        if "sampling" in offered:
            wanted["greeting"] = ("sampling/createMessage", sampling("Generate a greeting"))
        return Answer.text(json.dumps(sorted(await call.outlet.ask_all(wanted))))

    async def region(self, asked: Region, call: Call) -> Answer:
        return Answer.text(asked.region)

    async def change_tools(self, _: Nothing, call: Call) -> Answer:
        self.box.add(Tool("test_come_and_go", Nothing, self.simple), owner="passing")
        self.box.replace("passing", [])
        return Answer.text("Changed.")

    async def change_prompts(self, _: Nothing, call: Call) -> Answer:
        self.box.add(Prompt("test_come_and_go", self.simple_prompt), owner="passing")
        self.box.replace("passing", [])
        return Answer.text("Changed.")

    async def read(self, uri: str, call: Call) -> Sequence[Contents]:
        match uri:
            case "test://static-text":
                return [Contents(uri, "This is the content of the static text resource.")]
            case "test://static-binary":
                return [Contents(uri, bytes.fromhex("89504e470d0a1a0a"), "image/png")]
            case "test://watched-resource":
                return [Contents(uri, "Watched.")]
            case _:
                name = uri.removeprefix("test://template/").removesuffix("/data")
                body = {"id": name, "templateTest": True, "data": f"Data for ID: {name}"}
                return [Contents(uri, json.dumps(body), "application/json")]

    async def simple_prompt(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        return [Message("user", text("This is a simple prompt for testing."))]

    async def prompt_with_arguments(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        said = f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
        return [Message("user", text(said))]

    async def prompt_with_resource(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        body = "Embedded resource content for testing."
        resource = {"uri": given.get("resourceUri", "test://x"), "mimeType": "text/plain", "text": body}
        return [
            Message("user", {"type": "resource", "resource": resource}),
            Message("user", text("Please process the embedded resource above.")),
        ]

    async def prompt_with_image(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        return [
            Message("user", {"type": "image", "data": PNG, "mimeType": "image/png"}),
            Message("user", text("Please analyze the image above.")),
        ]

    async def prompt_that_asks(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        asked = form("What context should the prompt use?", context={"type": "string"})
        said = await call.outlet.ask("elicitation/create", asked, "user_context")
        return [Message("user", text(f"Context: {said.get('content')}"))]

    async def complete(self, name: str, begun: str, others: JsonObject) -> Sequence[str]:
        return [value for value in ("paris", "park", "party", "london") if value.startswith(begun)]

    def tools(self) -> list[Tool]:
        handlers: dict[str, Any] = {
            "test_simple_text": self.simple,
            "test_image_content": self.image,
            "test_audio_content": self.audio,
            "test_embedded_resource": self.embedded,
            "test_multiple_content_types": self.mixed,
            "test_tool_with_logging": self.logging,
            "test_logging_tool": self.logging,
            "test_tool_with_progress": self.progress,
            "test_error_handling": self.error,
            "test_reconnection": self.simple,
            "test_elicitation_sep1034_defaults": self.defaults,
            "test_elicitation_sep1330_enums": self.enums,
            "test_streaming_elicitation": self.who,
            "test_missing_capability": self.capital,
            "test_input_required_result_elicitation": self.who,
            "test_input_required_result_sampling": self.capital,
            "test_input_required_result_list_roots": self.roots,
            "test_input_required_result_request_state": self.confirm,
            "test_input_required_result_tampered_state": self.confirm,
            "test_input_required_result_multiple_inputs": self.several,
            "test_input_required_result_multi_round": self.rounds,
            "test_input_required_result_capabilities": self.whatever_is_offered,
            "test_trigger_tool_change": self.change_tools,
            "test_trigger_prompt_change": self.change_prompts,
        }
        return [
            *(Tool(name, Nothing, handler) for name, handler in handlers.items()),
            Tool("test_sampling", Prompted, self.sample),
            Tool("test_elicitation", Said, self.elicit),
            Tool("test_header_region", Region, self.region),
            Tool("json_schema_2020_12_tool", Anything, self.simple, schema=SCHEMA_2020_12),
        ]

    def fill(self) -> None:
        required = tuple(PromptArgument(name, name, required=True) for name in ("arg1", "arg2"))
        self.box.add(
            *self.tools(),
            Resource("test://static-text", "static-text", self.read, description="Text"),
            Resource("test://static-binary", "static-binary", self.read, mime="image/png"),
            Resource("test://watched-resource", "watched-resource", self.read),
            ResourceTemplate("test://template/{id}/data", "template", self.read, mime="application/json"),
            Prompt("test_simple_prompt", self.simple_prompt, description="Simple"),
            Prompt(
                "test_prompt_with_arguments",
                self.prompt_with_arguments,
                description="With arguments",
                arguments=required,
                complete=self.complete,
            ),
            Prompt(
                "test_prompt_with_embedded_resource",
                self.prompt_with_resource,
                description="With a resource",
                arguments=(PromptArgument("resourceUri", "What to embed", required=True),),
            ),
            Prompt("test_prompt_with_image", self.prompt_with_image, description="With an image"),
            Prompt("test_input_required_result_prompt", self.prompt_that_asks, description="Asks first"),
            owner=OWNER,
        )


NAME = form("What is your name?", name={"type": "string"})


def elicited(said: JsonObject) -> Answer:
    shown = json.dumps(said.get("content", {}))
    return Answer.text(f"Elicitation completed: action={said.get('action')}, content={shown}")


async def lifespan(receive: Any, send: Any) -> None:
    """Hypercorn wants to know that we are up, and that we are down."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def built() -> tuple[Events, Toolbox, Dispatch, Desk]:
    events = Events()
    box = Toolbox(events)
    dispatch = Dispatch(box, events, Metrics())
    return events, box, dispatch, Desk(ServerInfo("mimo-conformance", "1.0.0"), box, dispatch)


async def as_skill() -> None:
    events, box, _, desk = built()
    Fixture(box, desk).fill()
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.follow, events)
        await StdioDoor(desk, {}, "/", "/").run()
        nursery.cancel_scope.cancel()


async def main() -> None:
    events, box, dispatch, desk = built()
    door = McpOverHttp(desk, lambda headers: Client())
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    config.keep_alive_max_requests = 1_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (lifespan(receive, send) if scope["type"] == "lifespan" else door(scope, receive, send))

    async with trio.open_nursery() as nursery:
        await nursery.start(desk.follow, events)
        await nursery.start(door.run)
        if "--gateway" in sys.argv:
            await nursery.start(through_a_skill, events, dispatch, desk)
        else:
            Fixture(box, desk).fill()
        binds = await nursery.start(partial(serve, app, config))
        print(f"{binds[0]}/mcp", flush=True)


def declare_the_fixture(home: str) -> None:
    declared = {
        "command": sys.executable,
        "args": [__file__, "--stdio"],
        "prefix": "",
        "expose": True,
        # Where the tests count what is run, they count this process too.
        "env": {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
    }
    with open(os.path.join(home, "skills.json"), "w") as file:
        json.dump({"fixture": declared}, file)


async def through_a_skill(
    events: Events, dispatch: Dispatch, desk: Desk, *, task_status: trio.TaskStatus[None]
) -> None:
    with tempfile.TemporaryDirectory(prefix="mimo-") as home:
        declare_the_fixture(home)
        supervisor = Supervisor("skills")
        skills = Skills(
            home,
            supervisor,
            dispatch.toolbox,
            events,
            dispatch.call,
            patience=Patience(),
            result_cap=100_000,
            updated=desk.updated,
            supervised=lambda event: None,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            nursery.start_soon(skills.run)
            await skills.control("test", {"name": "fixture"})
            task_status.started()


if __name__ == "__main__":
    trio.run(as_skill if "--stdio" in sys.argv else main)
