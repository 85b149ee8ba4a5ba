"""What is no procedure that could run says everything that is wrong, with its place; and what is one has one text and one hash."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.errors import InvalidArguments, UnknownTool
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.schema import schema_of
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.procedures.definition import KEPT, number_of, published_schema
from mimo.services.procedures.pictures import mermaid, svg
from mimo.services.procedures.reading import from_text, kept, problems_of, read
from mimo.tool import Answer, Arguments, Call, JsonObject, Tool
from mimo.transports.http.procedures import procedure_routes


class Work(Arguments):
    """Work."""

    what: str
    number: int = 0


async def work(asked: Work, call: Call) -> Answer:
    raise AssertionError("nobody calls it here")


WORK = Tool("work", Work, work)


def find(name: str) -> tuple[Tool, JsonObject]:
    if name != "work":
        raise UnknownTool(f"no tool {name!r}; did you mean 'work'?")
    return WORK, schema_of(Work)


GOOD: dict[str, Any] = {
    "name": "good",
    "version": "1.2",
    "initial": "a",
    "states": {
        "a": {
            "action": {
                "type": "tool",
                "tool": "work",
                "arguments": {"what": "x", "number": "${input.n}"},
                "save": "got",
            },
            "transitions": [
                {"to": "b", "guard": "got.n == 1"},
                {"to": "end", "guard": "got.n == 2"},
                {"to": "end"},
                {"event": "error", "to": "bad"},
            ],
        },
        "b": {"action": {"type": "wait", "seconds": 5}, "transitions": [{"to": "a"}]},
        "end": {"terminal": "success", "output": "${got}"},
        "bad": {"terminal": "failure"},
    },
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """GOOD, but for one thing."""
    whole = copy.deepcopy(GOOD)
    place: Any = whole
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return whole


def told(raw: object) -> list[str]:
    return [str(each) for each in problems_of(raw, find)]


def test_a_good_one_has_no_problems_and_one_hash_however_it_is_written() -> None:
    assert told(GOOD) == []
    one = read(GOOD, find)
    other = read(json.loads(json.dumps(GOOD, sort_keys=True)) | {"description": ""}, find)
    assert (one.hash, one.text) == (other.hash, other.text)
    assert kept(one.text, one.hash) == one.definition
    with pytest.raises(ValueError, match="hash differs"):
        kept(one.text.replace("work", "play"), one.hash)
    assert read(changed("version", to="1.3"), find).hash != one.hash


A = ("states", "a")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (changed("initial", to="z"), "initial: no state 'z'"),
        (changed(*A, "action", "tool", to="wrok"), "states.a.action.tool: no tool 'wrok'; did you mean 'work'?"),
        (changed(*A, "action", "arguments", to={}), "states.a.action: arguments.what is missing"),
        (changed(*A, "action", "arguments", to={"what": 5}), "arguments.what must be string, not a number"),
        (changed(*A, "action", "arguments", to={"what": "x", "no": 1}), "arguments has no 'no'; there are: what, number"),
        (changed(*A, "action", "tool", to="procedure"), "is run by an action of type 'procedure'"),
        (changed(*A, "action", "save", to="input"), "'input' is the context's own"),
        (changed(*A, "transitions", 0, "to", to="c"), "states.a.transitions[0].to: no state 'c'"),
        (changed(*A, "transitions", 0, "guard", to="1 +"), "states.a.transitions[0].guard: a value is wanted"),
        (changed(*A, "transitions", 0, "guard", to="gto.n == 1"), "nothing in the context is called 'gto'; did you mean 'got'?"),
        (changed(*A, "transitions", 0, "guard", to="got.n > 1"), "states.a.transitions[1]: its guard and an earlier one of 'done' may both hold"),
        (changed(*A, "transitions", 1, "guard", to="got.n == 1"), "states.a.transitions[1]: a duplicate"),
        (changed(*A, "action", "arguments", to={"what": "${"}), "states.a.action.arguments.what: a '${' has no '}'"),
        (changed("states", "end", "output", to="${nope}"), "states.end.output: nothing in the context is called 'nope'"),
        (changed("states", "lost", to={"transitions": [{"to": "end"}]}), "states.lost: cannot be reached"),
        (changed("states", "b", "transitions", to=[]), "states.b: leads nowhere"),
        (changed("states", "b", "action", to={"type": "wait"}), "states.b.action: give either seconds or until"),
        (changed("states", "b", "action", to={"type": "await"}), "give the events that it waits for"),
        (changed("states", "b", "action", to={"type": "await", "events": ["done"]}), "'done' is what actions end with"),
        (changed("states", "b", "action", to={"type": "await", "approval": "?"}), "no transition for the event 'approved'"),
        (changed("states", "b", "action", to={"type": "set", "values": {"x": 1}}), "goes round (a > b) without a wait or a bound"),
        (changed("states", "b", "action", to={"type": "wait", "seconds": 0}), "without a wait or a bound"),
        (changed("states", "b", "transitions", 0, "to", to="b"), "states.b: no terminal state can be reached from it"),
        (changed("states", "end", "transitions", to=[{"to": "a"}]), "states.end.transitions: a terminal state is the end"),
        (changed("states", "b", "action", "type", to="dance"), "states.b.action: input tag 'dance'"),
        (changed("input", to={"type": "object", "properties": {"n": {"type": "int"}}}), "no type 'int'"),
        (changed("input", to={"pattern": "(a+)+"}), "no word 'pattern'"),
        (changed("timeout", to=-1), "timeout: input should be greater than 0"),
        (changed("name", to="Good Name"), "name: string should match"),
        (changed("version", to="1"), "version: string should match"),
        (changed("states", to={}), "states: must be an object with at least one"),
        (changed("states", to={"a": {"transitions": [{"to": "a"}], "max_visits": 3}}), "none is terminal"),
        (changed("extra", to=1), "extra: nothing is called so here"),
        ([], "a definition is an object"),
        (changed("states", "ｅnd", to={"terminal": "success"}), "states.\\uff45nd: a state's name matches"),
        (changed("states", "a\u202e", to={}), "states.a\\u202e: a state's name"),
        (GOOD | {"states": {**GOOD["states"], True: {"terminal": "success"}}}, "states.True: a state's name"),
        (changed("states", "\ud800", to={}), "states.\\ud800: a state's name"),
        (changed("name", to="gооd"), "name: string should match"),
        (changed("description", to="\ud800"), ""),
        (changed("timeout", to=float("nan")), "not JSON"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place(raw: object, problem: str) -> None:
    problems = told(raw)
    assert problems or not problem
    assert any(problem in each for each in problems) or not problem, problems
    assert all(each.isprintable() for each in problems if "\ud800" not in each)
    if problems:
        with pytest.raises(InvalidArguments, match="this is no procedure that could run"):
            read(raw, find)


def test_all_mistakes_are_told_at_once() -> None:
    raw = changed("initial", to="z")
    raw["states"]["a"]["action"]["tool"] = "x"
    raw["states"]["b"]["transitions"][0]["guard"] = "1 +"
    raw["states"]["c"] = {"surprise": 1}
    places = {each.place for each in problems_of(raw, find)}
    assert places >= {"initial", "states.a.action.tool", "states.b.transitions[0].guard", "states.c.surprise"}


def test_guards_with_an_order_may_overlap_and_opposites_need_none() -> None:
    overlapping = [
        {"to": "b", "guard": "got.n > 1", "order": 2},
        {"to": "end", "guard": "got.n > 5", "order": 1},
    ]
    for ways in (
        overlapping,
        [{"to": "b", "guard": "got.n > 1"}, {"to": "end", "guard": "got.n <= 1"}],
        [{"to": "b", "guard": "got.ok"}, {"to": "end", "guard": "not got.ok"}],
        [{"to": "b", "guard": "got.a == 1 and got.n > 1"}, {"to": "end", "guard": "got.a == 2"}],
    ):
        assert told(changed(*A, "transitions", to=[*ways, {"event": "error", "to": "bad"}])) == []


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (changed("description", to="x" * 10_000_000), "at most 262,144 characters"),
        (changed("states", to={f"s{n}": {"terminal": "success"} for n in range(10_000)}), "at most"),
        (changed("states", to={f"s{n}": {} for n in range(501)}), "states: at most 500 (got 501)"),
        (changed("states", "a", "action", "arguments", to=json.loads("[" * 100 + "]" * 100)), "nested more than 40 deep"),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused_without_being_read_whole(raw: object, problem: str) -> None:
    assert any(problem in each for each in told(raw))


@pytest.mark.parametrize("name", KEPT)
def test_a_name_that_is_an_address_of_its_own_is_refused(name: str) -> None:
    assert told(changed("name", to=name)) == [
        f"name: {name!r} is an address of its own; kept are runs, schema, validate"
    ]
    assert not told(changed("name", to=f"{name}-it"))
    assert name in published_schema()["properties"]["name"]["not"]["enum"]


def test_every_address_beside_those_of_procedures_is_kept() -> None:
    paths = [
        route.path.split("/") for route in procedure_routes(Dispatch(Toolbox(Events()), Events(), Metrics()))
    ]
    beside = {path[3] for path in paths if len(path) > 3 and not path[3].startswith("{")}
    assert beside == set(KEPT)


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ('{"name": "a", "name": "b"}', "", "run: 'name' stands twice"),
        (
            '{"states": {"a": {}, "b": [{}, {"to": 1, "to": 2}], "a": {"x": 1, "x": 1}}}',
            "",
            (
                "run: states: 'a' stands twice in one object; states.a: 'x' stands twice in one object;"
                r" states.b\[1\]: 'to' stands twice in one object"
            ),
        ),
        ("states:\n  a:\n  - to: x\n    to: y\n", "p.yaml", r"run: states.a\[0\]: 'to' stands twice"),
        ('{"a": {"\u202e": 1, "\u202e": 2}}', "", "u202e' stands twice"),
        ("{", "", "not JSON"),
        ('{"a": NaN}', "", "NaN is no JSON"),
        ("[" * 100_000, "", "nested more than"),
        ("x" * 600_000, "", "at most"),
        ("a: &x [1]\nb: *x", "p.yaml", "aliases"),
        ("a: 1\na: 2", "p.yaml", "stands twice"),
        ("a: !!python/object:os.system {}", "p.yaml", "not YAML"),
        ("a: [", "p.yml", "not YAML"),
    ],
)
def test_texts_that_are_no_data_say_so(text: str, name: str, why: str) -> None:
    if name:
        pytest.importorskip("yaml")
    with pytest.raises(InvalidArguments, match=why):
        from_text(text, name)


def test_yaml_says_what_json_says_and_on_is_a_word() -> None:
    pytest.importorskip("yaml")
    text = "name: good\nversion: '1.0'\nlist: [1, 2.5, yes, on, true, null, 2031-05-23, 22:30]\n"
    assert from_text(text, "p.yaml") == {
        "name": "good",
        "version": "1.0",
        "list": [1, 2.5, "yes", "on", True, None, "2031-05-23", "22:30"],
    }


def test_versions_are_compared_as_numbers_and_the_schema_is_published() -> None:
    assert number_of("1.10") > number_of("1.9") > number_of("0.99")
    schema = published_schema()
    assert schema["title"] == "Definition"
    assert {"ToolAction", "ParallelAction", "State"} <= schema["$defs"].keys()


def test_pictures_show_every_state_and_light_the_one() -> None:
    definition = read(GOOD, find).definition
    text = mermaid(definition, "b")
    assert text.startswith("stateDiagram-v2\n    [*] --> s0\n")
    assert text.count("-->") == 1 + 5 + 2
    assert "class s1 lit" in text
    assert "lit" not in mermaid(definition)
    picture = svg(definition, "b")
    assert picture.count("<rect") == 4
    assert picture.count('class="lit"') == 1
    assert "<script" not in picture
    hostile = changed(*A, "transitions", 0, "guard", to="got.n == '<script>'")
    assert "<script" not in svg(read(hostile, find).definition)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type tool action transitions to guard event states terminal name initial a b x".split()
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=80, deadline=None)
@given(ANYTHING, st.sampled_from(["states", "initial", "input", "timeout", "name"]))
def test_whatever_is_given_is_a_definition_or_has_problems(value: Any, where: str) -> None:
    for raw in (
        value,
        changed(where, to=value),
        changed("states", "a", to=value),
        changed(*A, "action", to=value),
    ):
        problems = problems_of(raw, find)
        if problems:
            assert all(each.text for each in problems)
        else:
            assert read(raw, find).definition.name


def test_the_examples_are_valid() -> None:
    folder = Path(__file__).parents[3] / "docs" / "how-to" / "procedures"
    names = sorted(path.stem for path in folder.glob("*.json"))
    assert names == ["approval", "deploy", "pipeline"]
