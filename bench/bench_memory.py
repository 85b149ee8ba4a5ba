"""A whole daemon as its clients see it: adding, searching, starting and its memory, beside two peers in the same run.

    python bench/bench_memory.py [--rows N] [--server-memory INDEX.JS] [--keep FOLDER] [--json]

The peers are a plain FTS5 table in this process (no socket, no vectors, no duplicates: a floor, not a fair fight) and,
if its file is named, npm's `@modelcontextprotocol/server-memory` over stdio. Adding is acknowledged when it is durable.
To embed 100,000 rows takes a quarter of an hour and more: --keep keeps what has been filled, and the next run adds
some thousands to a copy of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import apsw

from mimo.cli.client import Daemon
from mimo.home import Home
from mimo.launch import greeting

BATCH = 64
IN_FLIGHT = 4
MORE = 64 * BATCH  # rows that are added to what is full
WORDS = """harbour window river lamp engine garden letter mountain paper signal bridge coffee market silver winter pocket
engineer planet carpet doctor summer thunder village island mirror orange basket candle forest guitar hammer jacket
kitchen ladder magnet needle office pencil rabbit saddle temple umbrella valley wallet yellow zipper anchor bottle
decides prefers builds moves breaks repairs paints carries remembers forgets opens closes sells buys writes reads""".split()


NO_PORTS = ("--set", "http.enabled=off", "--set", "synapse.enabled=off")


def texts(count: int, seed: int) -> list[str]:
    """Sentences of some 25 words, none twice."""
    draw = random.Random(seed)
    return [
        f"Note {seed}-{n}: " + " ".join(draw.choices(WORDS, k=draw.randint(15, 35))) for n in range(count)
    ]


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def spread(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        "p50_ms": round(statistics.median(ordered), 3),
        "p95_ms": round(ordered[int(0.95 * len(ordered))], 3),
    }


@contextmanager
def served(folder: str) -> Iterator[tuple[Home, int, float]]:
    """A daemon, its process, and the milliseconds until its first answer to a search."""
    home = Home(os.path.join(folder, "home"))
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mimo", "serve", "--home", home, *NO_PORTS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with Daemon(home) as daemon:
                    daemon.tool("memory_search", {"query": "harbour", "namespace": "*", "format": "json"})
                break
            except Exception:
                if process.poll() is not None:
                    raise
                time.sleep(0.005)
        yield home, process.pid, (time.perf_counter() - began) * 1000
    finally:
        process.terminate()
        process.wait(30)


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024  # type: ignore[index]


def wait_for_vectors(daemon: Daemon, least: int = 0) -> float:
    """Seconds until nothing waits to be embedded, and at least so many are."""
    began = time.perf_counter()
    while True:
        told = daemon.ask("mimo/metrics")
        waiting = re.search(r"^mimo_embedding_waiting (\S+)", told, re.MULTILINE)
        made = re.findall(r"^mimo_embedded_texts_total\{.*\} (\S+)", told, re.MULTILINE)
        if waiting and float(waiting[1]) == 0 and sum(map(float, made)) >= least:
            return time.perf_counter() - began
        time.sleep(0.05)


def pipelined(home: Home, batches: list[list[str]]) -> float:
    """Seconds for batches of which some are always in flight, over one connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(home.socket)
    connection.sendall(greeting("cli"))
    answers = connection.makefile("rb")
    began = time.perf_counter()
    for number, batch in enumerate(batches):
        arguments = {"items": [{"content": text} for text in batch], "namespace": "bench"}
        request = {
            "jsonrpc": "2.0",
            "id": number,
            "method": "mimo/tool",
            "params": {"name": "memory_add", "arguments": arguments},
        }
        connection.sendall(json.dumps(request).encode() + b"\n")
        if number >= IN_FLIGHT:
            answers.readline()
    for _ in range(min(IN_FLIGHT, len(batches))):
        assert b'"result"' in answers.readline()
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def mimo(folder: str, rows: int, rounds: int, keep: Path | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    kept = keep / f"home-{rows}" if keep else None
    again = kept is not None and kept.exists()
    if again and kept:
        shutil.copytree(kept, os.path.join(folder, "home"))
        told["rows_from_before"] = rows
    with served(folder) as (home, pid, start), Daemon(home) as daemon:
        told["start_full_ms" if again else "start_empty_ms"] = round(start, 1)
        wait_for_vectors(daemon)
        told |= (
            added(home, daemon, rounds + MORE, rounds, 4) if again else added(home, daemon, rows, rounds, 1)
        )
        told |= searched(daemon, rounds)
        told["resident_mb"] = round(resident_mb(pid), 1)
    if kept and not again:
        shutil.copytree(home, kept)
    with served(folder) as (_, pid, full_start):
        told["start_full_again_ms" if again else "start_full_ms"] = round(full_start, 1)
        told["resident_after_start_mb"] = round(resident_mb(pid), 1)
    return told


def added(home: Home, daemon: Daemon, rows: int, rounds: int, seed: int) -> dict[str, Any]:
    """So many rows more, some of them one at a time. Their texts are of this seed and the next."""
    told: dict[str, Any] = {}

    def add(content: str) -> object:
        return daemon.tool("memory_add", {"content": content, "namespace": "bench"})

    told["add_one"] = spread([timed(lambda text=text: add(text)) for text in texts(rounds, seed)])
    wait_for_vectors(daemon)
    left = max(BATCH * 8, rows - rounds)
    all_texts = texts(left, seed + 1)
    batches = [all_texts[at : at + BATCH] for at in range(0, left, BATCH)]
    half = len(batches) // 2
    began = time.perf_counter()
    for batch in batches[:half]:
        items = [{"content": text} for text in batch]
        daemon.tool("memory_add", {"items": items, "namespace": "bench"})
    told["add_64_rows_a_second"] = round(half * BATCH / (time.perf_counter() - began))
    told["add_64_four_in_flight_rows_a_second"] = round(
        sum(map(len, batches[half:])) / pipelined(home, batches[half:])
    )
    wait_for_vectors(daemon, rounds + left)
    # From the first batch on, so the adding is in it.
    told["added_and_embedded_rows_a_second"] = round(left / (time.perf_counter() - began))
    return told


def searched(daemon: Daemon, rounds: int) -> dict[str, Any]:
    questions = [" ".join(text.split()[2:10]) for text in texts(rounds, 3)]

    def ask(question: str) -> object:
        return daemon.tool("memory_search", {"query": question, "namespace": "bench", "format": "json"})

    ask("warm up")
    return {"search": spread([timed(lambda question=question: ask(question)) for question in questions])}


def plain_fts(folder: str, rows: int, rounds: int) -> dict[str, Any]:
    db = apsw.Connection(os.path.join(folder, "plain.db"))
    db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
    db.execute("CREATE VIRTUAL TABLE note USING fts5(content, tokenize = 'porter unicode61')").fetchall()

    def add(batch: list[str]) -> None:
        with db:
            db.executemany("INSERT INTO note (content) VALUES (?)", [(text,) for text in batch]).fetchall()

    told: dict[str, Any] = {
        "add_one": spread([timed(lambda text=text: add([text])) for text in texts(rounds, 1)])
    }
    all_texts = texts(rows - rounds, 2)
    began = time.perf_counter()
    for at in range(0, len(all_texts), BATCH):
        add(all_texts[at : at + BATCH])
    told["add_64_rows_a_second"] = round(len(all_texts) / (time.perf_counter() - began))

    def ask(question: str) -> None:
        match = " OR ".join(f'"{word}"' for word in question.split())
        sql = "SELECT content FROM note WHERE note MATCH ? ORDER BY rank LIMIT 5"
        db.execute(sql, (match,)).fetchall()

    questions = [" ".join(text.split()[2:10]) for text in texts(rounds, 3)]
    told["search"] = spread([timed(lambda question=question: ask(question)) for question in questions])
    db.close()
    return told


def server_memory(folder: str, script: str, rows: int, rounds: int) -> dict[str, Any]:
    """It writes its whole file anew with every call, so it gets a tenth of the rows."""
    process = subprocess.Popen(
        ["node", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MEMORY_FILE_PATH": os.path.join(folder, "memory.jsonl")},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        call = caller(process.stdin, process.stdout)

        def add(batch: list[str]) -> None:
            entities = [{"name": text[:24], "entityType": "note", "observations": [text]} for text in batch]
            call("tools/call", {"name": "create_entities", "arguments": {"entities": entities}})

        told: dict[str, Any] = {"rows": rows // 10}
        told["add_one"] = spread([timed(lambda text=text: add([text])) for text in texts(rounds, 1)])
        all_texts = texts(max(BATCH, rows // 10 - rounds), 2)
        began = time.perf_counter()
        for at in range(0, len(all_texts), BATCH):
            add(all_texts[at : at + BATCH])
        told["add_64_rows_a_second"] = round(len(all_texts) / (time.perf_counter() - began))
        told["search"] = spread(
            [
                timed(
                    lambda word=word: call(
                        "tools/call", {"name": "search_nodes", "arguments": {"query": word}}
                    )
                )
                for word in random.Random(3).choices(WORDS, k=rounds)
            ]
        )
        told["resident_mb"] = round(resident_mb(process.pid), 1)
    finally:
        process.kill()
        process.wait()
    return told


def caller(stdin: IO[bytes], stdout: IO[bytes]) -> Callable[[str, dict[str, Any]], Any]:
    number = 0

    def call(method: str, params: dict[str, Any]) -> Any:
        nonlocal number
        number += 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        while True:
            answer = json.loads(stdout.readline())
            if answer.get("id") == number:
                return answer["result"]

    call(
        "initialize",
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}},
    )
    stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--server-memory", default="")
    parser.add_argument("--keep", type=Path, help="a folder for what took long to fill")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("MIMO_BENCH_DIR")) as folder:
        told: dict[str, Any] = {"rows": asked.rows, "load": os.getloadavg()[0]}
        told["plain_fts5"] = plain_fts(folder, asked.rows, asked.rounds)
        told["mimo"] = mimo(folder, asked.rows, asked.rounds, asked.keep)
        if asked.server_memory:
            told["server_memory"] = server_memory(folder, asked.server_memory, asked.rows, asked.rounds)
    if asked.json:
        print(json.dumps(told))
        return
    for name, figures in told.items():
        print(name, json.dumps(figures, indent=2) if isinstance(figures, dict) else figures)


if __name__ == "__main__":
    main()
