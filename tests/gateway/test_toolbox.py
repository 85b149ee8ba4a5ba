"""The toolbox: one order, no name twice, and the nearest name when there is nothing."""

from collections.abc import Sequence
from typing import Any

import pytest

from mimo.errors import NotFound, UnknownTool
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.news import ToolboxChanged
from mimo.tool import Answer, Arguments, Call, Contents, Message, Prompt, Resource, ResourceTemplate, Tool


class Nothing(Arguments):
    """Use when nothing is to be said."""


async def handler(arguments: Nothing, call: Call) -> Answer:
    return Answer.text("done")


async def read(uri: str, call: Call) -> Sequence[Contents]:
    return [Contents(uri, "text")]


async def get(arguments: Any, call: Call) -> Sequence[Message]:
    return []


def tool(name: str, **changes: Any) -> Tool:
    return Tool(name, Nothing, handler, **changes)


def foreign(name: str) -> Tool:
    return tool(name, schema={"type": "object", "oneOf": [{"$ref": "#/$defs/x"}]})


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def toolbox(events: Events) -> Toolbox:
    toolbox = Toolbox(events)
    toolbox.add(tool("memory_search"), tool("memory_add", writes=True), tool("graph_query", listed=False))
    return toolbox


def names(tools: Sequence[Tool]) -> list[str]:
    return [each.name for each in tools]


def changes(events: Events) -> list[tuple[bool, bool, bool]]:
    return [
        (event.tools, event.resources, event.prompts)
        for event in events.since(0)
        if isinstance(event, ToolboxChanged)
    ]


def test_a_tool_is_found_by_its_name_and_listed_in_the_order_of_adding(toolbox: Toolbox) -> None:
    assert toolbox.find("memory_add").writes
    assert names(toolbox.tools()) == ["memory_search", "memory_add", "graph_query"]
    assert names(toolbox.listed()) == ["memory_search", "memory_add"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("memory_serach", "did you mean 'memory_search'?"),
        ("search_memory", "did you mean 'memory_search'?"),
        ("delete_everything", "there are: memory_search, memory_add"),
        ("", "there are: memory_search"),
        ("x" * 100_000, "there are: memory_search"),
        ("memory-add", "did you mean 'memory_add'?"),
    ],
)
def test_a_tool_that_is_not_there_is_answered_with_what_is(toolbox: Toolbox, name: str, hint: str) -> None:
    with pytest.raises(UnknownTool) as caught:
        toolbox.find(name)
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_empty_toolbox_says_so() -> None:
    with pytest.raises(UnknownTool, match="there is none at the moment"):
        Toolbox().find("memory_search")


@pytest.mark.parametrize(
    "name", ["", "ab", "Memory", "memory-search", "1memory", "m" * 42, "memory.add", "mémoire"]
)
def test_a_name_that_breaks_the_rule_of_the_house_is_refused(toolbox: Toolbox, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        toolbox.add(tool(name))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 129, "naïve", "a\n"])
def test_a_foreign_name_has_a_looser_rule_that_is_still_a_rule(toolbox: Toolbox, name: str) -> None:
    toolbox.replace("files", [foreign("files.Read-File_2")])
    with pytest.raises(ValueError, match="cannot be called"):
        toolbox.replace("files", [foreign(name)])
    assert toolbox.find("files.Read-File_2")


def test_a_name_is_not_given_twice_and_a_refused_addition_changes_nothing(toolbox: Toolbox) -> None:
    with pytest.raises(ValueError, match="a tool 'memory_add' already"):
        toolbox.add(tool("memory_edit"), tool("memory_add"))
    with pytest.raises(ValueError, match="a tool 'memory_add' already"):
        toolbox.replace("skill", [foreign("memory_add")])
    with pytest.raises(ValueError, match="a tool 'twice' already"):
        toolbox.replace("skill", [foreign("twice"), foreign("twice")])
    assert names(toolbox.tools()) == ["memory_search", "memory_add", "graph_query"]


def test_a_tool_without_a_flat_schema_is_refused_when_it_is_added(toolbox: Toolbox) -> None:
    class Loose(Arguments):
        whatever: Any

    with pytest.raises(TypeError, match="Loose: whatever"):
        toolbox.add(Tool("loose_tool", Loose, handler))
    with pytest.raises(UnknownTool):
        toolbox.find("loose_tool")


def test_the_order_does_not_depend_on_which_skill_came_first(toolbox: Toolbox) -> None:
    toolbox.replace("zebra", [foreign("z.one")])
    toolbox.replace("ant", [foreign("a.two"), foreign("a.one")])
    before = names(toolbox.tools())
    assert before[-3:] == ["a.two", "a.one", "z.one"]
    toolbox.replace("ant", [])
    toolbox.replace("ant", [foreign("a.two"), foreign("a.one")])
    assert names(toolbox.tools()) == before


def test_replacing_takes_away_what_is_no_longer_offered(toolbox: Toolbox) -> None:
    toolbox.replace("files", [foreign("read"), foreign("write")])
    assert toolbox.find("write").name == "write"
    toolbox.replace("files", [foreign("read")])
    with pytest.raises(UnknownTool):
        toolbox.find("write")
    toolbox.replace("files", [])
    with pytest.raises(UnknownTool):
        toolbox.find("read")


def test_removing_takes_away_by_name_and_what_is_not_there_is_a_mistake(toolbox: Toolbox) -> None:
    toolbox.remove("memory_add")
    assert names(toolbox.tools()) == ["memory_search", "graph_query"]
    with pytest.raises(ValueError, match="memory_add"):
        toolbox.remove("memory_add")


def test_a_change_is_told_with_the_lists_that_it_touches(toolbox: Toolbox, events: Events) -> None:
    toolbox.add(Prompt("recall", get))
    toolbox.add(
        Resource("mimo://status", "status", read), ResourceTemplate("mimo://memory/{id}", "memory", read)
    )
    toolbox.replace("files", [foreign("read")])
    toolbox.replace("files", [])
    toolbox.replace("files", [])
    yes, no = True, False
    assert changes(events) == [(yes, no, no), (no, no, yes), (no, yes, no), (yes, no, no), (yes, no, no)]


def test_our_schema_is_made_once_and_a_foreign_one_is_forwarded_word_for_word(toolbox: Toolbox) -> None:
    ours, theirs = toolbox.find("memory_search"), foreign("read")
    toolbox.replace("files", [theirs])
    assert toolbox.schema(ours) is toolbox.schema(ours)
    assert toolbox.schema(theirs) is theirs.schema


def test_an_address_is_answered_by_a_resource_or_by_the_first_template_that_fits(toolbox: Toolbox) -> None:
    status = Resource("mimo://memory/status", "status", read)
    one = ResourceTemplate("mimo://memory/{id}", "memory", read)
    path = ResourceTemplate("mimo://file/{+path}", "file", read)
    toolbox.add(status, one, path)
    assert toolbox.find_resource("mimo://memory/status") is status
    assert toolbox.find_resource("mimo://memory/abc.1") is one
    assert toolbox.find_resource("mimo://file/a/b") is path
    for wrong in ["mimo://memory/", "mimo://memory/a/b", "mimoX//memory/a", "mimo://memory/a\n/", ""]:
        with pytest.raises(NotFound, match="no resource"):
            toolbox.find_resource(wrong)
    assert [len(toolbox.resources()), len(toolbox.templates())] == [1, 2]


def test_a_resource_needs_an_address(toolbox: Toolbox) -> None:
    with pytest.raises(ValueError, match="no scheme"):
        toolbox.add(Resource("status", "status", read))


def test_a_prompt_is_found_by_its_name(toolbox: Toolbox) -> None:
    recall = Prompt("recall", get)
    toolbox.add(recall)
    assert toolbox.find_prompt("recall") is recall
    assert list(toolbox.prompts()) == [recall]
    with pytest.raises(NotFound, match="did you mean 'recall'"):
        toolbox.find_prompt("recal")
