"""`mimo export` and `mimo import`: all memories as JSON lines, out and in."""

import contextlib
import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from mimo.cli.client import Daemon
from mimo.cli.terminal import FAILED, OK, Failed, note, progress, progress_over, say, say_json
from mimo.cli.words import Words

# The daemon may be reading a large database or re-embedding meanwhile; what counts is that lines keep coming.
PATIENCE = 60.0
# A request has to stay well under the longest line that the daemon accepts (4 MiB), escapes included.
MOST_LINES, MOST_BYTES = 500, 1 << 20


def export(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon, _destination(words.text("FILE", "-")) as out:
        written = 0

        def told(method: str, params: Any) -> None:
            nonlocal written
            if method != "mimo/exported":
                return
            for line in params["lines"]:
                out.write(line.encode("utf-8", "surrogatepass") + b"\n")
            written += len(params["lines"])
            progress(written, params.get("total"), "exported")

        wanted = {"namespace": words.text("namespace")} if words.text("namespace") else {}
        try:
            daemon.ask("mimo/export", wanted, seconds=PATIENCE, told=told)
        finally:
            progress_over()
    if words.text("FILE", "-") != "-":
        note(f"{written} lines written to {words.text('FILE')}")
    return OK


@contextlib.contextmanager
def _destination(path: str) -> Generator[BinaryIO]:
    """Stdout, or a new file that takes its name only when it is complete."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = f"{path}.{os.getpid()}.partial"
    try:
        file = open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def take_in(words: Words) -> int:
    """Line by line; a bad line is told by its number and does not keep the others out."""
    path = words.text("FILE", "-")
    added = known = redacted = 0
    bad: list[dict[str, Any]] = []
    promised: list[dict[str, int]] = []
    with _source(path) as (source, size), Daemon(words.home, start=True) as daemon:
        number = read = 0
        for batch in _batches(source):
            result = daemon.ask(
                "mimo/import",
                {"lines": batch, "first": number + 1, "dry_run": words.has("dry-run")},
                seconds=PATIENCE,
            )
            number += len(batch)
            read += sum(map(len, batch))
            added += result["added"]
            known += result["known"]
            bad += result["errors"]
            redacted += result["redacted"]
            promised += result["promised"]
            progress(read, size, f"imported {number}")
        progress_over()
    not_whole = _broken_off(promised, number)
    if words.has("json"):
        say_json(
            {
                "added": added,
                "known": known,
                "errors": bad,
                "redacted": redacted,
                "dry_run": words.has("dry-run"),
            }
        )
    else:
        would = "would be " if words.has("dry-run") else ""
        say(f"{added} {would}added, {known} known already, {len(bad)} not understood")
        if redacted:
            say(f"secrets were taken out of {redacted}")
        for error in bad[:20] + not_whole[:20]:
            note(f"line {error['line']}: {error['message']}")
    return FAILED if bad or not_whole else OK


def _broken_off(promised: Sequence[Mapping[str, int]], last: int) -> list[dict[str, Any]]:
    """Exports, of which several may follow one another, that have fewer lines than they say."""
    ends = [*(each["line"] for each in promised[1:]), last + 1]
    return [
        {
            "line": each["line"],
            "message": f"this export says that it has {each['lines']} lines, and {end - each['line']} came: it is not whole",
        }
        for each, end in zip(promised, ends, strict=False)
        if end - each["line"] < each["lines"]
    ]


@contextlib.contextmanager
def _source(path: str) -> Generator[tuple[BinaryIO, int | None]]:
    if path == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file, os.fstat(file.fileno()).st_size


def _batches(source: BinaryIO) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for number, line in enumerate(source, 1):
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise Failed(f"line {number} is not UTF-8 text; nothing of its batch was taken in") from error
        if batch and (len(batch) >= MOST_LINES or size + len(line) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(line)
    if batch:
        yield batch
