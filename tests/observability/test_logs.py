"""Lines on stderr: whole, discreet, and never in the way of the program."""

import fcntl
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from pydantic import BaseModel

from mimo.observability import logs
from mimo.observability.stderr import MOST_WAITING, StderrHandler

SECRET = 'my doctor said "tea", not coffee\nand I believe her'


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    for fd in (read, write):
        with suppress(OSError):
            os.close(fd)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """A file that stands for stderr; logging is as before afterwards."""
    root = logging.getLogger()
    level, raises = root.level, logging.raiseExceptions
    path = tmp_path / "stderr"
    yield path
    for handler in [each for each in root.handlers if isinstance(each, StderrHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.raiseExceptions = raises


def configured(path: Path, level: str = "info", form: logs.Form = "json") -> None:
    logs.configure(level, form, fd=os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


log = logging.getLogger("mimo.test")


def test_a_line_is_one_json_object_with_its_facts(written: Path) -> None:
    configured(written)
    log.warning("the %s is\nfull", "disk", extra={"bytes": 5, "where": Path("/x")})
    (line,) = lines(written)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "mimo.test",
        "message": "the disk is\nfull",
        "bytes": 5,
        "where": "/x",
    }


async def test_lines_of_a_call_name_its_request_client_and_tool_also_in_its_tasks(written: Path) -> None:
    configured(written)

    async def child() -> None:
        log.info("from a task of the call")

    with logs.about(request="r1", client="claude", tool="memory_add"):
        log.info("from the call")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        await trio.to_thread.run_sync(log.info, "from a thread of the call")
    log.info("from nobody")
    *of_call, of_nobody = lines(written)
    assert [(line["request"], line["client"], line["tool"]) for line in of_call] == [
        ("r1", "claude", "memory_add")
    ] * 3
    assert not of_nobody.keys() & {"request", "client", "tool"}


class Model(BaseModel):
    number: int


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_a_caller_handed_in_is_not_in_any_line_above_debug(written: Path, form: logs.Form) -> None:
    configured(written, form=form)
    with logs.about(tool="memory_add", private={"items": [{"content": SECRET}], "kind": "fact"}):
        log.info("got %s", SECRET)
        log.info("got %r", {"content": SECRET})
        log.info("got", extra={"content": SECRET, "inside": {"deep": [SECRET]}})
        for bug in (lambda: int(SECRET), lambda: {}[SECRET], lambda: Model(number=SECRET * 40)):  # type: ignore[arg-type, index]
            try:
                bug()
            except Exception:
                log.exception("a bug")
    text = written.read_text()
    for piece in ("doctor", "coffee", "believe"):
        assert piece not in text
    assert "ValueError: invalid literal" in text
    assert "KeyError" in text
    assert "characters>" in text


def test_at_debug_everything_is_told(written: Path) -> None:
    configured(written, level="debug")
    with logs.about(private={"content": SECRET}):
        log.debug("got %s", SECRET)
    assert SECRET in lines(written)[0]["message"]


def test_a_line_for_people_is_one_line_and_cannot_colour_the_terminal(written: Path) -> None:
    configured(written, form="text")
    with logs.about(client="an editor", tool="memory_add"):
        log.info("two\nlines \x1b[31mred", extra={"seconds": 0.5})
    (line,) = written.read_text().splitlines()
    assert "INFO     mimo.test: two\\nlines \\x1b[31mred" in line
    assert line.endswith('seconds=0.5 client="an editor" tool=memory_add')


def test_the_level_holds_and_a_second_configuration_replaces_the_first(written: Path) -> None:
    configured(written)
    configured(written, level="error")
    log.warning("not told")
    log.error("told")
    assert [line["message"] for line in lines(written)] == ["told"]


def test_an_endless_message_is_cut(written: Path) -> None:
    configured(written)
    log.info("x" * 1_000_000)
    assert written.stat().st_size < 5000


def test_a_message_that_cannot_be_formatted_costs_one_line_and_nothing_else(written: Path) -> None:
    configured(written)
    log.info("%d tools", "many")
    log.info("goes on")
    assert "could not be formatted" in written.read_text()
    assert "goes on" in written.read_text()


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("mimo.test", logging.INFO, "", 0, message, (), None)


def read_all(fd: int) -> str:
    found = b""
    with suppress(BlockingIOError):
        while piece := os.read(fd, 65536):
            found += piece
    return found.decode()


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_stops_holds_up_nobody_and_the_losses_are_told(
    pipe: tuple[int, int], blocking: bool
) -> None:
    read, write = pipe
    os.set_blocking(write, blocking)
    handler = StderrHandler(write)
    sent = MOST_WAITING + 3000
    for number in range(sent):
        handler.handle(record(f"{number} {'x' * 100}"))
    assert handler.lost > 0
    got = ""
    while piece := read_all(read):
        got += piece
        handler.flush()
    numbers = [int(line.split()[0]) for line in got.splitlines() if line[0].isdigit()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + handler.lost == sent
    assert sum(json.loads(line)["lines_lost"] for line in got.splitlines() if line[0] == "{") == handler.lost
    handler.close()


def test_a_closed_stderr_is_survived(pipe: tuple[int, int]) -> None:
    read, write = pipe
    handler = StderrHandler(write)
    os.close(read)
    handler.handle(record("nobody reads"))
    os.close(write)
    handler.handle(record("nothing is there"))
    handler.flush()
    assert handler.lost == 2
    assert not handler.is_terminal
    handler.close()


def test_a_file_that_took_the_number_of_a_closed_stderr_is_not_written_to(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    _, write = pipe
    handler = StderrHandler(write)
    victim = os.open(tmp_path / "mimo.db", os.O_RDWR | os.O_CREAT)
    os.dup2(victim, write)
    handler.handle(record("into the database"))
    assert (tmp_path / "mimo.db").read_bytes() == b""
    assert handler.lost == 1
    os.close(victim)


def test_the_process_ends_in_time_with_a_full_stderr_and_stdout_stays_empty() -> None:
    code = (
        "import logging, sys; from mimo.observability import logs; logs.configure('info', 'auto');"
        "[logging.info('x' * 1000) for _ in range(3000)]; sys.exit(7)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.wait(20) == 7
    out, err = child.communicate()
    assert out == b""
    assert json.loads(err.splitlines()[0])["level"] == "info"


def test_a_process_without_stderr_logs_into_nothing() -> None:
    code = "import logging; from mimo.observability import logs; logs.configure(); logging.error('x'); print('ok')"
    shell = ["bash", "-c", f'exec "{sys.executable}" -c "{code}" 2>&-']
    done = subprocess.run(shell, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"ok\n"


def test_shared_and_made_non_blocking_by_somebody_else(pipe: tuple[int, int]) -> None:
    read, write = pipe
    handler = StderrHandler(write)
    fcntl.fcntl(os.dup(write), fcntl.F_SETFL, os.O_NONBLOCK)
    big = "y" * 200_000
    handler.handle(record(big))
    got = io.StringIO()
    while piece := read_all(read):
        got.write(piece)
        handler.flush()
    assert got.getvalue() == f"{big}\n"
