"""What programs drive: hooks, completions, and the arguments of `mimo tool`."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.cli.commands import COMMANDS, EVENTS, SHELLS
from mimo.cli.tools import arguments
from mimo.cli.words import Wrong

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("given", ["", "{", "[]", '{"prompt": "what did we decide?", "session_id": "s"}', "\x00"])  # fmt: skip
def test_a_hook_without_a_daemon_is_silent_and_succeeds(event: str, given: str, inside: Run) -> None:
    said = inside("hook", event, given=given)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_a_hook_costs_little_more_than_two_bare_interpreters(
    beside_bare: Callable[..., tuple[float, float]],
) -> None:
    bare, hook = beside_bare("-m", "mimo", "hook", "prompt")
    assert hook < 2.25 * bare


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_know_every_command_and_option(shell: str, inside: Run) -> None:
    script = inside("completions", shell).stdout
    for name, command in COMMANDS.items():
        assert all(word in script for word in name.split())
        for option in command.options:
            assert option.name in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["mimo", "stat"], {"status"}),
        (["mimo", "install", "c"], {"claude-code", "claude-desktop", "cursor", "codex", "copilot"}),
        (["mimo", "config", "s"], {"show"}),
        (["mimo", "doctor", "--f"], {"--fix"}),
    ],
)
def test_bash_completes_what_is_begun(typed: list[str], completed: set[str], inside: Run) -> None:
    script = inside("completions", "bash").stdout
    words = " ".join(typed)
    asked = f"{script}\nCOMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _mimo; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    said = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert set(said.stdout.split()) == completed


SCHEMA = {
    "properties": {
        "query": {"type": "string"},
        "limit": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "why": {"type": "boolean"},
        "items": {"type": "array", "items": {"type": "object"}},
    }
}


@pytest.mark.parametrize(
    ("pairs", "understood"),
    [
        (["query=5"], {"query": "5"}),
        (["query=a=b"], {"query": "a=b"}),
        (["query="], {"query": ""}),
        (["limit=5"], {"limit": 5}),
        (["limit=five"], {"limit": "five"}),
        (["limit:=5"], {"limit": 5}),
        (["why=true"], {"why": True}),
        (["tags=a"], {"tags": ["a"]}),
        (["tags=a", "tags=5"], {"tags": ["a", "5"]}),
        (['tags=["a","b"]'], {"tags": ["a", "b"]}),
        (['items={"content": "x"}'], {"items": [{"content": "x"}]}),
        (["unheard=5"], {"unheard": "5"}),
        ([], {}),
    ],
)
def test_arguments_are_read_as_the_tool_wants_them(pairs: list[str], understood: dict[str, Any]) -> None:
    assert arguments(pairs, SCHEMA) == understood


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["query"], "arguments are key=value or key:=JSON, not 'query'"),
        (["=x"], "not '=x'"),
        ([":=x"], "not ':=x'"),
        (["limit:=five"], "limit:= takes JSON, and 'five' is none"),
        (["query=a", "query=b"], "query is given twice"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(pairs: list[str], told: str) -> None:
    with pytest.raises(Wrong, match=told.replace("(", "\\(")):
        arguments(pairs, SCHEMA)


def test_an_argument_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("line\nline\n")
    assert arguments([f"query=@{tmp_path / 'text'}"], SCHEMA) == {"query": "line\nline\n"}


@given(st.dictionaries(st.sampled_from(list(SCHEMA["properties"])), st.integers() | st.booleans() | st.none() | st.lists(st.text())))  # fmt: skip
def test_json_arguments_come_through_unchanged(wanted: dict[str, Any]) -> None:
    """Invariant: `key:=JSON` gives exactly that value."""
    assert arguments([f"{key}:={json.dumps(value)}" for key, value in wanted.items()], SCHEMA) == wanted
