"""Settings files of others, edited in place: what is not ours keeps its bytes, and the result says what was wanted."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.cli import jsonc, toml_text

ENTRY: dict[str, Any] = {"command": "/bin/mimo", "args": ["stdio", "--home", "/h, i"], "env": {}}
PATH = ["servers", "mimo"]

JSONC = [
    "",
    "\n",
    "{}",
    "{ }\n",
    "// first\n{\n}\n",
    '{"a": 1}',
    '{"a":1,"servers":{"x":{}}}',
    '{"servers": {}, "b": [1,2]}',
    '{\n    "a": 1 // about a\n}\n',
    '{\n\t"a": 1, // about a\n\t// the end\n}\n',
    '{\n  "servers": {\n    "x": {"command": "y"}, /* about x */\n  },\n}',
    '{\n  "servers": { /* none */ }\n}\n',
    '{\n  // "servers": {"mimo": 1}\n  "b": "// no comment, {"\n}',
    '\ufeff{\r\n  "a": 1\r\n}\r\n',
    '{"a": 1 // one line\n}',
]


@pytest.mark.parametrize("text", JSONC)
def test_an_entry_is_put_into_any_layout_and_all_comments_stay(text: str) -> None:
    edited = jsonc.put(text, PATH, ENTRY)
    before = jsonc.parse(text).plain() if text.strip() else {}
    before.setdefault("servers", {})["mimo"] = ENTRY
    assert jsonc.parse(edited).plain() == before
    rest = iter(edited)
    assert all(character in rest for character in text if not character.isspace()), "only insertions"
    if "\r\n" in text:
        assert "\n" not in edited.replace("\r\n", "")


@pytest.mark.parametrize("text", JSONC)
def test_what_was_put_can_be_taken_out(text: str) -> None:
    edited = jsonc.remove(jsonc.put(text, PATH, ENTRY), PATH)
    before = jsonc.parse(text).plain() if text.strip() else {}
    before.setdefault("servers", {})
    assert jsonc.parse(edited).plain() == before


def test_an_edit_looks_like_its_surroundings() -> None:
    text = '{\n    "a": 1, // about a\n    "servers": {\n        "x": {}\n    }\n}\n'
    assert jsonc.put(text, PATH, ENTRY) == (
        '{\n    "a": 1, // about a\n    "servers": {\n        "x": {},\n        "mimo": {\n'
        '            "command": "/bin/mimo",\n            "args": ["stdio", "--home", "/h, i"],\n            "env": {}\n'
        "        }\n    }\n}\n"
    )
    told = '{\n  "a": 1 // about a\n}'
    assert jsonc.put(told, ["b"], 2) == '{\n  "a": 1, // about a\n  "b": 2\n}'
    assert jsonc.put('{"a": 1}', ["b"], {"c": 2}) == '{"a": 1, "b": {"c": 2}}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", 'line 1, column 2: a name in quotes, or "}", is missing'),
        ('{"a"}', 'line 1, column 5: ":" is missing'),
        ('{"a": }', "line 1, column 7: a value is missing or wrong"),
        ('{"a": 1\n "b": 2}', 'line 2, column 2: "," or "}" is missing'),
        ('{"a": "\n"}', "line 1, column 7: a string that is wrong or does not end"),
        ('{"a": 01}', "line 1, column 7: a value is missing or wrong"),
        ("{} {}", "line 1, column 4: something after the end"),
        ("{} /* open", "line 1, column 4: something after the end"),
        ("[" * 5000, "more than 100 levels deep"),
        ("[]", "the whole is no object"),
        ('{"servers": null}', "servers is no object"),
    ],
)
def test_what_is_no_jsonc_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(jsonc.NotJsonc) as refused:
        jsonc.put(text, PATH, ENTRY)
    assert told in str(refused.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


@given(tree=OBJECTS, indent=st.sampled_from([None, 2, 4, "\t"]), key=st.text(max_size=4), value=VALUES)
def test_putting_changes_that_and_nothing_else(
    tree: dict[str, Any], indent: Any, key: str, value: Any
) -> None:
    """Invariant: put(text, path, value) reads as the old tree with value at path; remove reads as it without."""
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    assert jsonc.parse(text).plain() == tree
    edited = jsonc.put(text, [key], value)
    assert jsonc.parse(edited).plain() == tree | {key: value}
    assert jsonc.parse(jsonc.remove(edited, [key])).plain() == {k: v for k, v in tree.items() if k != key}


PIECES = st.sampled_from(['"a"', '"servers"', ":", ",", "{", "}", "[", "]", "1", "true", "//c\n", "/*c*/", " ", "\n", '"', "/*"])  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_edited_rightly_or_refused(text: str) -> None:
    """Invariant: either `NotJsonc`, or a text whose entry is ours and whose rest is as it was."""
    try:
        before = jsonc.parse(text).plain() if text.strip() else {}
        edited = jsonc.put(text, PATH, ENTRY)
    except jsonc.NotJsonc:
        return
    before["servers"] = before.get("servers", {}) | {"mimo": ENTRY}
    assert jsonc.parse(edited).plain() == before
    assert jsonc.parse(jsonc.remove(edited, PATH)).plain()["servers"].get("mimo") is None


TABLE = {"command": "/bin/mimo", "args": ["stdio", 'a "quoted" one']}
OLD = '[servers.mimo]\ncommand = "old" # why\nargs = [\n  "x", # ]\n]\nenv_vars = ["A"]\n\n[servers.mimo.env]\nX = "1"\n\n'
REST = '# rest\n[other]\nz = """\n[servers.mimo]\n"""\n'


@pytest.mark.parametrize(
    "text", ["", "a = 1", "a = 1\r\n", "# c\n[b]\nc = 'd'\n", REST, "[servers.x]\ny = 1\n"]
)
def test_a_table_is_added_to_toml_and_taken_out(text: str) -> None:
    edited = toml_text.put(text, PATH, TABLE)
    assert edited.startswith(text)
    assert tomllib.loads(edited)["servers"]["mimo"] == TABLE
    assert toml_text.remove(edited, PATH).rstrip("\r\n") == text.rstrip("\r\n")


def test_a_table_that_is_there_keeps_its_other_keys_and_comments() -> None:
    edited = toml_text.put(OLD + REST, PATH, TABLE | {"more": 1})
    table = tomllib.loads(edited)["servers"]["mimo"]
    assert table == TABLE | {"more": 1, "env_vars": ["A"], "env": {"X": "1"}}
    assert "# why" in edited
    assert edited.endswith(REST)
    assert toml_text.remove(edited, PATH).strip() == REST.strip()


@pytest.mark.parametrize("text", ["servers = {mimo = {command = 'x'}}", "[servers]\nmimo = {command = 'x'}", "servers = 5", "[[servers]]", "x = = 1"])  # fmt: skip
def test_toml_that_cannot_be_edited_safely_is_refused(text: str) -> None:
    with pytest.raises(toml_text.NotToml):
        toml_text.put(text, PATH, TABLE)


LINES = st.sampled_from(["[servers]", "[servers.mimo]", "[servers.mimo.env]", "[x]", "a = 1", "command = 'y'", "# c", "", "b = [", "]", "'z',", 's = """', '"""'])  # fmt: skip


@given(st.lists(LINES, max_size=10).map("\n".join))
def test_any_toml_is_edited_rightly_or_refused(text: str) -> None:
    """Invariant: either `NotToml`, or a text whose table holds ours and whose rest reads as it did."""
    try:
        edited = toml_text.put(text, PATH, TABLE)
        without = toml_text.remove(edited, PATH)
    except toml_text.NotToml:
        return
    wanted = tomllib.loads(text)
    wanted.setdefault("servers", {}).setdefault("mimo", {}).update(TABLE)
    assert tomllib.loads(edited) == wanted
    assert "mimo" not in tomllib.loads(without).get("servers", {})
