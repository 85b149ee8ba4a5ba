"""The front of the command line: choosing a command, parsing, help, exit codes, and what it costs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo import __version__
from mimo.cli.commands import COMMANDS, overview
from mimo.cli.words import Wrong, command_of, explain, parse
from mimo.home import Home

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_version_is_one_line(mimo: Run) -> None:
    said = mimo("--version")
    assert (said.returncode, said.stdout) == (0, f"mimo {__version__}\n")


@pytest.mark.parametrize("words", [["procedure", "--help"], ["--help", "procedure"], ["help", "procedure"]])
def test_a_family_of_commands_explains_itself(mimo: Run, words: list[str]) -> None:
    told = mimo(*words)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("usage: mimo procedure COMMAND")
    assert "procedure watch" in told.stdout


def test_help_fits_a_screen_and_documents_the_exit_codes(mimo: Run) -> None:
    said = mimo("--help")
    assert said.returncode == 0
    assert len(said.stdout.splitlines()) <= 50
    assert max(map(len, said.stdout.splitlines())) <= 100
    assert "0 ok, 1 failed, 2 usage, 3 not found, 4 daemon unreachable, 5 conflict" in said.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_and_exists(name: str) -> None:
    command = COMMANDS[name]
    assert explain(command).startswith(f"usage: mimo {command.name}".rstrip())
    assert command.summary in overview() + overview(
        name.partition(" ")[0]
    )  # a large family has a page of its own
    module = __import__(
        f"mimo.{'' if command.module == 'bridge' else 'cli.'}{command.module}", fromlist=["_"]
    )
    assert callable(getattr(module, command.function))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["statsu"], 2, "no command 'statsu'; did you mean status?"),
        (["xyzzy"], 2, "no command 'xyzzy'; 'mimo --help' lists all"),
        ([""], 2, "no command ''"),
        (["skill"], 2, "'skill' needs one more word: add, "),
        (["procedure", "--json"], 2, "'procedure' needs one more word: list, "),
        (["procedure", "lst"], 2, "no command 'procedure lst'; did you mean procedure list?"),
        (["config", "shwo"], 2, "did you mean config show?"),
        (["status", "--jsn"], 2, "no option '--jsn' for mimo status; did you mean --json?"),
        (["status", "--json=1"], 2, "--json takes no value"),
        (["status", "--home"], 2, "--home needs a value: --home DIR"),
        (["status", "--home="], 2, "--home needs a directory"),
        (["--home", "/a", "status", "--home", "/b"], 2, "--home is given twice"),
        (["status", "more"], 2, "'more' is one word too many: mimo status [--json]"),
        (["show"], 2, "ID is missing: mimo show ID..."),
        (["hook", "frobnicate"], 2, "it is one of: session-start, prompt, pre-compact, stop, session-end"),
        (["install", "curser"], 2, "did you mean cursor?"),
        (["logs", "-n", "-3"], 2, "--lines takes a whole number from 0 up, not '-3'"),
        (["config", "show", "--set", "readers"], 2, "--set takes KEY=VALUE"),
        (["config", "show", "--set", "storage.readrs=3"], 1, "did you mean storage.readers?"),
        (["status"], 4, "start it with 'mimo serve', or let an editor start it with 'mimo stdio'"),
        (["reload"], 4, "no mimo daemon runs"),
        (["logs"], 3, "is not there"),
    ],
)
def test_what_went_wrong_is_told_with_its_cure_and_its_code(
    words: list[str], code: int, told: str, inside: Run
) -> None:
    said = inside(*words)
    assert told in said.stderr
    assert said.returncode == code
    assert said.stdout == ""
    assert len(said.stderr.splitlines()) == 1


def test_a_status_without_a_daemon_is_json_too(mimo: Run, home: Home) -> None:
    said = mimo("status", "--json")
    assert said.returncode == 4
    assert json.loads(said.stdout) | {"reason": ""} == {"running": False, "home": home, "reason": ""}


def test_the_data_directory_may_be_named_before_and_after_the_command(mimo: Run, home: Home) -> None:
    for words in (["--home", f"{home}x", "status"], ["status", f"--home={home}x"]):
        assert json.loads(mimo(*words, "--json").stdout)["home"] == f"{home}x"


def test_a_path_too_long_for_a_socket_is_told(mimo: Run) -> None:
    said = mimo("status", "--home", "/tmp/" + "x" * 120)
    assert said.returncode == 4
    assert "choose a shorter data directory" in said.stderr


@pytest.mark.parametrize("words", ["stop", "restart", "logs", "check", "backup", "restore /etc/hosts --yes", "remember x", "export -", "status", "reload"])  # fmt: skip
def test_a_data_directory_that_is_a_file_is_told_in_one_line(words: str, inside: Run) -> None:
    said = inside(*words.split(), "--home", __file__)
    assert said.stderr == f"mimo: {__file__} is not a directory; choose another with --home or MIMO_HOME\n"
    assert said.returncode == 1


@pytest.mark.parametrize(
    "words", ["status", "config show", "doctor", "hook prompt", "status --home relative"]
)
def test_a_working_directory_that_is_gone_is_no_bug(
    words: str, environ: dict[str, str], tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone}; exec {sys.executable} -m mimo {words}"
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run(
        ["sh", "-c", command], cwd=gone, env=environ | paths, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in said.stderr
    assert said.returncode in {0, 2, 4}


def test_a_full_disk_under_the_output_is_told(mimo: Run, environ: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        said = subprocess.run(
            [sys.executable, "-m", "mimo", "--help"],
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert said.returncode != 0
    assert "No space left on device" in said.stderr


def test_mimo_alone_shows_status_and_three_next_steps(mimo: Run) -> None:
    said = mimo()
    assert said.returncode == 0
    assert "no mimo daemon runs" in said.stdout
    assert len(said.stdout.partition("Next:")[2].strip().splitlines()) == 3
    assert "\x1b" not in said.stdout


def test_a_stop_without_a_daemon_is_no_failure(mimo: Run) -> None:
    said = mimo("stop")
    assert said.returncode == 0
    assert "no mimo daemon runs" in said.stdout


def test_settings_are_shown_with_their_origins(mimo: Run) -> None:
    said = mimo("config", "show", "--json", "--set", "log.level=debug", MIMO_STORAGE__READERS="4")
    settings = json.loads(said.stdout)["settings"]
    assert settings["log.level"] == {"value": "debug", "origin": "--set log.level"}
    assert settings["storage.readers"] == {"value": 4, "origin": "MIMO_STORAGE__READERS"}
    assert settings["limits.read"]["origin"] == "default"
    assert "storage.readers" in mimo("config", "show").stdout


def test_a_reader_that_has_enough_is_no_failure(environ: dict[str, str]) -> None:
    command = f"{sys.executable} -m mimo --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    said = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("words", [["status"], ["hook", "prompt"], ["stop"], ["--help"], []])
def test_light_commands_import_nothing_heavy(words: list[str], environ: dict[str, str]) -> None:
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mimo", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in said.stderr.splitlines()}
    assert "mimo" in imported
    assert not imported & {"trio", "pydantic", "numpy", "apsw", "asyncio", "argparse", "logging"}


def test_a_status_costs_less_than_two_and_a_half_bare_interpreters(
    beside_bare: Callable[..., tuple[float, float]],
) -> None:
    bare, status = beside_bare("-m", "mimo", "status")
    assert status < 2.5 * bare


def test_a_settings_error_ends_a_command_and_names_the_file(mimo: Run, environ: dict[str, str]) -> None:
    path = os.path.join(environ["XDG_CONFIG_HOME"], "mimo", "config.toml")
    os.makedirs(os.path.dirname(path))
    with open(path, "w") as file:
        file.write("[storage]\nreader = 3\n")
    said = mimo("config", "show")
    assert said.returncode == 1
    assert said.stderr == f"mimo: unknown setting storage.reader ({path}:2); did you mean storage.readers?\n"


@given(st.lists(st.sampled_from([*COMMANDS, "--home", "--json", "-n", "--", "-", "--x=y", "-f"]) | st.text(max_size=6), max_size=6))  # fmt: skip
def test_any_words_are_understood_or_refused_with_a_sentence(argv: list[str]) -> None:
    """Invariant: parsing gives a command and its words, or raises `Wrong` with one line of text."""
    told = "understood"
    try:
        name, rest = command_of(argv, COMMANDS)
        if name not in {"--help", "--version"}:
            words = parse(COMMANDS[name], rest)
            assert os.path.isabs(words.home)
        elif name == "--help":
            assert overview(*rest)
    except Wrong as wrong:
        told = str(wrong)
    assert told
