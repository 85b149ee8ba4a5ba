"""skills.json: what it may hold, and a place for each thing that it may not."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import Unusable
from mimo.services.skills.configuration import Faulty, read
from mimo.services.skills.fields import FIELDS, schema
from mimo.services.skills.names import LONGEST, RESERVED, cleaned, digest, name_of, prefix_of, visible

X = {"command": "x"}


def written(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "skills.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_the_form_that_clients_know_is_understood(tmp_path: Path) -> None:
    said = {"command": "npx", "args": ["-y", "thing"], "env": {"A": "b"}, "type": "stdio", "//": "mine"}
    for content in ({"a": said, "// note": "text"}, {"mcpServers": {"a": said, "c": "a comment"}}):
        (found,) = read(written(tmp_path, content)).values()
        assert (found.name, found.command, found.args, dict(found.env)) == (
            "a",
            "npx",
            ("-y", "thing"),
            {"A": "b"},
        )
        assert found.prefix == "a"


def test_no_file_is_no_skills(tmp_path: Path) -> None:
    assert read(str(tmp_path / "skills.json")) == {}


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ("{", ["line 1, column 2"]),
        ("[]", [""]),
        ('{"a": {"command": "x"}, "a": {"command": "y"}}', ["a"]),
        ({"a": 1}, ["a"]),
        ({"a": {}}, ["a"]),
        ({"a": {"command": "x", "url": "http://x"}}, ["a"]),
        ({"a": {"command": ["x"]}}, ["a.command", ]),
        ({"a": {"command": ""}}, ["a.command"]),
        ({"a": X | {"args": ["y", 1, None]}}, ["a.args[1]", "a.args[2]"]),
        ({"a": X | {"args": "y"}}, ["a.args"]),
        ({"a": X | {"env": {"A": 1, "B=": "x"}}}, ["a.env.A", "a.env.B="]),
        ({"a": X | {"timeout": 0, "idle": "x"}}, ["a.timeout", "a.idle"]),
        ({"a": X | {"timeout": True}}, ["a.timeout"]),
        ({"a": X | {"enabled": "yes"}}, ["a.enabled"]),
        ({"a": X | {"comand": "y"}}, ["a.comand"]),
        ({"a": X | {"prefix": "a b"}}, ["a.prefix"]),
        ({"a": X | {"prefix": "Memory"}}, ["a.prefix"]),
        ({"a": X | {"headers": {}}}, ["a.headers"]),
        ({"a": {"url": "ftp://x"}}, ["a.url"]),
        ({"a": {"url": "http://u:p@x"}}, ["a.url"]),
        ({"a": {"url": "http://x", "args": [], "cwd": "/"}}, ["a.args", "a.cwd"]),
        ({"a": X | {"env": {"A": "${B}"}}}, ["a.env.A"]),
        ({"a": X | {"variables": ["MIMO_KEY"]}}, ["a.variables"]),
        ({"a/b": X}, ["a/b"]),
        ({"a": X, "b": X | {"prefix": "a"}}, ["b.prefix"]),
        ({"a": X, "b": X | {"prefix": "a_b"}}, ["b.prefix"]),
        ({"a": X | {"prefix": ""}, "b": X | {"prefix": ""}}, ["b.prefix"]),
    ],
)  # fmt: skip
def test_each_problem_has_its_place(tmp_path: Path, content: Any, places: list[str]) -> None:
    with pytest.raises(Faulty) as raised:
        read(written(tmp_path, content))
    assert [problem.place for problem in raised.value.problems] == places
    assert all(place in raised.value.message for place in places)


def test_a_file_that_is_no_text_or_too_large_or_too_deep_is_refused(tmp_path: Path) -> None:
    for data in (b"\xff\xfe", b"[" * 200_000, b'{"a": "' + b"x" * (1 << 20) + b'"}'):
        path = tmp_path / "skills.json"
        path.write_bytes(data)
        with pytest.raises(Faulty):
            read(str(path))
    with pytest.raises(Faulty, match="cannot be read"):
        read(str(tmp_path))


def test_variables_are_filled_in_only_where_they_are_listed_and_set(tmp_path: Path) -> None:
    said = X | {"env": {"TOKEN": "${T}"}, "variables": ["T"]}
    skill = read(written(tmp_path, {"a": said}))["a"]
    assert skill.environment({"T": "secret", "HOME": "/h", "OTHER": "x"}) == {"HOME": "/h", "TOKEN": "secret"}
    with pytest.raises(Unusable, match="the variable T is not set"):
        skill.environment({})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*FIELDS, "a", "mcpServers", "//"]) | st.text(max_size=6), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    content=JSON
    | st.fixed_dictionaries({"a": st.dictionaries(st.sampled_from(list(FIELDS)), JSON, max_size=5)})
)
def test_whatever_is_in_the_file_it_is_read_or_refused_with_places(
    tmp_path_factory: pytest.TempPathFactory, content: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps(content))
    try:
        found = read(str(path))
    except Faulty as error:
        problems = error.problems
        assert problems
    else:
        assert all(each.command or each.url for each in found.values())


def test_the_schema_takes_what_we_take() -> None:
    check = jsonschema.Draft202012Validator(schema())
    check.check_schema(schema())
    check.validate({"a": {"command": "x", "args": ["y"], "//": "comment", "expose": True}, "note": "text"})
    check.validate({"mcpServers": {"a": {"url": "http://x", "headers": {"A": "b"}}}})
    assert not check.is_valid({"a": {"command": "x", "comand": "y"}})
    assert not check.is_valid({"a": {}})


@given(prefix=st.sampled_from(["", "a", "sixteen_letters_"]), original=st.text(min_size=1, max_size=120))
def test_every_name_fits_and_different_ones_stay_different(prefix: str, original: str) -> None:
    name = name_of(prefix, original)
    assert 1 <= len(name) <= LONGEST
    assert name.replace("_", "").replace("-", "").isalnum() or set(name) <= set("_-")
    assert name.isascii()
    assert name == name_of(prefix, original)
    assert name != name_of(prefix, original + "x")


def test_a_plain_name_is_kept_and_an_odd_one_is_rewritten_with_a_mark() -> None:
    assert name_of("git", "status") == "git_status"
    assert name_of("", "status") == "status"
    assert name_of("git", "a.b") != name_of("git", "a_b")
    assert name_of("git", "a.b").startswith("git_a_b_")


@given(name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}", fullmatch=True))
def test_every_skill_has_a_prefix_that_is_not_ours(name: str) -> None:
    prefix = prefix_of(name)
    assert 1 <= len(prefix) <= 16
    assert prefix[0].isalpha()
    assert prefix.lower() not in RESERVED


def test_what_a_person_does_not_see_an_agent_does_not_read() -> None:
    hidden = "Adds.\u200b\u202e\U000e0041\x1b[31m\x00 Numbers\n\tonly.\ufeff"
    assert visible(hidden) == "Adds.[31m Numbers\n\tonly."
    schema = {"properties": {"a\u200b": {"description": hidden, "enum": ["\u200b"]}}}
    shown = cleaned({"name": "x\u200b", "description": hidden, "inputSchema": schema})
    assert shown["name"] == "x\u200b"
    assert shown["inputSchema"]["properties"]["a\u200b"] == {
        "description": visible(hidden),
        "enum": ["\u200b"],
    }


def test_a_hash_of_a_definition_is_of_all_that_an_agent_reads() -> None:
    one = {"name": "a", "description": "b", "inputSchema": {"x": 1, "y": 2}, "_meta": {"n": 1}}
    assert digest(one) == digest({**one, "inputSchema": {"y": 2, "x": 1}, "_meta": {}})
    for key, value in (("description", "c"), ("inputSchema", {}), ("title", "t"), ("annotations", {})):
        assert digest({**one, key: value}) != digest(one)
