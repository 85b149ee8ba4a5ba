"""No file in the folder of procedures ends anything but itself: whatever lies there, the others are registered."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.abc import Clock

from mimo.errors import InvalidArguments
from mimo.services.procedures import folder
from mimo.services.procedures.reading import from_text

WAIT = {
    "a": {"action": {"type": "wait", "seconds": 1}, "transitions": [{"to": "ok"}]},
    "ok": {"terminal": "success"},
}
YAML = """\
name: soft
version: '1.0'
initial: a
states:
  a:
    action: {type: set, values: {x: "text", y: [1, 2.5]}}
    transitions:
    - to: ok
  ok: {terminal: success}
"""
# What YAML's own constructors raise all sorts of errors for, and what its scanner does.
BITS = (
    "!!int ''", "!!int -", "!!int 0x", "!!int 1:99:x", "!!float ''", "!!float .", "!!bool maybe", "!!null x", "!!map a",
    "!!map [a]", "!!seq a", "!!str [a]", "!!omap [a]", "!!timestamp x", "!!binary x", "!<tag:yaml.org,2002:int> ''", "! x",
    '"\\UFFFFFFFF"', '"\\ud800"', '"\\xZZ"', "? [a] : b", "? {a: b}\n: c", "<<: {a: b}", "&a b", "*a", "|9\n", "1e999", "{",
    "%YAML 9.9\n---\n", "---\n", "\x00", "\ud800", "\t", "'", "99999999999999999999999",
)  # fmt: skip


def definition(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "initial": "a", "states": WAIT, **more}


async def looked(house: Any) -> Mapping[str, str]:
    with house.database.holding_the_clock():
        await house.parts.folder.look()
    return house.parts.folder.refused


def lay(house: Any, name: bytes, text: str) -> None:
    house.folder.mkdir(exist_ok=True)
    with open(os.path.join(os.fsencode(house.folder), name), "w") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("bad.json", json.dumps(definition("bad", input={"type": {"a": 1}})), "input: input.type"),
        ("bad.yaml", "name: bad\nversion: !!int ''\n", "line 2, column 10: not YAML: tags"),
        ("bad.yaml", "name: bad\nversion: !!bool maybe\n", "line 2, column 10: not YAML: tags"),
        ("bad.yaml", "name: !!map bad\n", "line 1, column 7: not YAML: tags"),
        ("bad.yaml", 'name: "\\UFFFFFFFF"\n', "line 1, column 10: not YAML"),
    ],
)
async def test_a_file_that_is_none_is_refused_and_the_others_are_registered(
    house: Any, autojump_clock: Clock, name: str, text: str, why: str
) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    lay(house, name.encode(), text)
    lay(house, b"good.json", json.dumps(definition("good")))
    refused = await looked(house)
    assert refused.keys() == {name}
    assert refused[name].startswith(why)
    assert await house.text("list") == "good 1.0"


async def test_a_file_whose_name_is_no_utf_8_is_registered_and_its_name_written_out(
    house: Any, autojump_clock: Clock
) -> None:
    lay(house, b"caf\xe9.json", json.dumps(definition("latin")))
    lay(house, b"gar\xe7on\n.json", "{")
    assert set(await looked(house)) == {"gar\\xe7on\\x0a.json"}
    assert await house.text("list") == "latin 1.0"
    (told,) = (await house.data("list"))["procedures"]
    assert told["source"] == "file:caf\\xe9.json"
    assert house.told("procedure:refused")[0].file == "gar\\xe7on\\x0a.json"


async def test_a_bug_that_one_file_meets_is_logged_and_ends_nothing_else(
    house: Any, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str) -> Any:
        raise ZeroDivisionError("a tool whose schema cannot be had")

    work = {"type": "tool", "tool": "broken", "arguments": {}}
    states = {"a": {"action": work, "transitions": [{"to": "ok"}]}, "ok": {"terminal": "success"}}
    lay(house, b"good.json", json.dumps(definition("good")))
    lay(house, b"bad.json", json.dumps(definition("bad", states=states)))
    house.parts.registry._find = lambda name: broken(name)
    refused = await looked(house)
    assert refused == {"bad.json": "a bug of mimo's (ZeroDivisionError), told in its log"}
    assert await house.text("list") == "good 1.0"
    assert "Traceback" in caplog.text
    caplog.clear()
    await looked(house)
    assert not caplog.text, "it is told once"


async def test_of_too_many_files_the_first_are_followed_and_the_number_of_the_others_is_told_once(
    house: Any, autojump_clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MOST_FILES", 5)
    for number in range(8):
        lay(house, b"%d.json" % number, json.dumps(definition(f"p{number}")))
    refused = await looked(house)
    assert refused == {
        "5.json": "it and 2 more files are not looked at:"
        " the folder may have 5, and those that are first by name are taken"
    }
    assert await house.text("list") == "\n".join(f"p{number} 1.0" for number in range(5))
    await looked(house)
    assert caplog.text.count("2 more files") == 1, "it is told once"
    for number in range(3):
        (house.folder / f"{number}.json").unlink()
    assert not await looked(house)
    assert "p7" in await house.text("list")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(BITS), st.integers(0, len(YAML)), st.booleans()), min_size=1, max_size=2
    )
)
def test_whatever_a_yaml_text_says_it_is_data_or_a_refusal(bits: list[tuple[str, int, bool]]) -> None:
    pytest.importorskip("yaml")
    text = YAML
    for bit, at, instead in bits:
        value = text.find(": ", at) + 2
        text = (
            text[:value] + bit + text[max(text.find("\n", value), value) :]
            if instead and value > 1
            else text[:at] + bit + text[at:]
        )
    with suppress(InvalidArguments):
        json.dumps(from_text(text, "p.yaml"))
