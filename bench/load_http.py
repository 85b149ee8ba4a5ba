"""The HTTP door under load: many users at once who search, ask and add, and what the router costs beside quart-trio.

    python bench/load_http.py [--users 100] [--seconds 60] [--memories 10000] [--pause 3] [--failing 10] [--json]
    python bench/load_http.py --router [--seconds 5]       (needs quart-trio)

Between two requests a user pauses, three seconds in the mean; what that comes to a second is printed, for it decides
more than anything else. All of it on loopback, and the clients take their share of the same cores. With --failing the vectors come from a
service beside it that fails so many of a hundred calls, and every request that words alone can serve must be served.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trio

DIMENSION = 64
# Whole words that the model knows: what falls apart into pieces, such as deploy17, costs a search several times as much.
VOCABULARY = Path(__file__).parent.parent / "mimo" / "embedding" / "model" / "vocab.txt"
WORDS = random.Random(0).sample(
    [word for word in VOCABULARY.read_text().split() if word.isascii() and word.isalpha() and len(word) > 3],
    400,
)


class User:
    """A keep-alive connection that speaks just enough HTTP to cost little."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token, self._rest = port, token, b""
        self._stream: trio.SocketStream | None = None

    async def post(self, path: str, body: object) -> tuple[int, bytes]:
        if self._stream is None:
            self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self._token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        await self._stream.send_all(head.encode() + data)
        while b"\r\n\r\n" not in self._rest:
            self._rest += await self._more()
        told, _, self._rest = self._rest.partition(b"\r\n\r\n")
        length = int(told.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(self._rest) < length:
            self._rest += await self._more()
        answer, self._rest = self._rest[:length], self._rest[length:]
        return int(told.split(b" ", 2)[1]), answer

    async def _more(self) -> bytes:
        assert self._stream is not None
        data = await self._stream.receive_some(65536)
        if not data:
            raise ConnectionError("hung up")
        return data


def sentence(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=12))


class Vectors:
    """An embedder's service that speaks OpenAI's protocol, and fails so many of a hundred calls."""

    def __init__(self, failing: float) -> None:
        self.asked = self.failed = 0
        chance, lock = random.Random(2), threading.Lock()
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                with lock:
                    ours.asked += 1
                    fails = chance.random() * 100 < failing
                    ours.failed += fails
                data = [{"index": n, "embedding": direction(text)} for n, text in enumerate(texts)]
                said = json.dumps({"error": {"message": "on purpose"}} if fails else {"data": data}).encode()
                self.send_response(500 if fails else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def settings(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self._server.server_port}/v1"
        told = {"PROVIDER": "openai", "URL": url, "MODEL": "directions", "DIMENSION": str(DIMENSION)}
        return {f"MIMO_EMBEDDING__{name}": value for name, value in told.items()}


def direction(text: str) -> list[float]:
    """Texts that share words have near directions."""
    total = [0.0] * DIMENSION
    for word in text.split():
        for place in range(8):
            total[zlib.crc32(f"{place}{word}".encode()) % DIMENSION] += 1.0
    length = math.sqrt(sum(each * each for each in total)) or 1.0
    return [round(each / length, 6) for each in total]


@contextmanager
def daemon(chosen: dict[str, str]) -> Iterator[tuple[int, str, int]]:
    """Port, key and process of a daemon in a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        home = os.path.join(folder, "home")
        more = {"MIMO_HTTP__PORT": "0", "MIMO_HTTP__ENABLED": "on", "MIMO_LOG__LEVEL": "error"} | chosen
        mimo = [sys.executable, "-m", "mimo"]

        def told(*words: str) -> str:
            return subprocess.run(
                [*mimo, *words, "--home", home], capture_output=True, text=True, check=False
            ).stdout

        with subprocess.Popen([*mimo, "serve", "--home", home], env=os.environ | more) as process:
            try:
                while not (facts := json.loads(told("status", "--json"))).get("doors"):
                    time.sleep(0.2)
                url = next(door["address"] for door in facts["doors"] if door["name"] == "http")
                yield int(url.rpartition(":")[2]), told("token").strip(), process.pid
            finally:
                process.terminate()


def resident(pid: int) -> float:
    line = next(
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


async def load(
    port: int, token: str, pid: int, users: int, seconds: float, memories: int, pause: float
) -> dict[str, Any]:
    chance = random.Random(1)
    first = User(port, token)
    for _ in range(0, memories, 500):
        status, told = await first.post(
            "/v1/memories",
            {"items": [{"content": sentence(chance)} for _ in range(500)], "namespace": "user"},
        )
        assert status == 201, told
    deadline_for_vectors = time.perf_counter() + 300
    while time.perf_counter() < deadline_for_vectors:  # until the queue of the embedder is empty
        _, told = await first.post("/v1/memories/search", {"query": WORDS[0], "namespace": "user"})
        before = resident(pid)
        cpu = cpu_of(pid)
        await trio.sleep(1)
        if cpu_of(pid) - cpu < 0.2:
            break
    taken: dict[str, list[float]] = {"search": [], "ask": [], "add": []}
    errors: list[str] = []
    by_words = 0  # searches that were served without their vector
    until = time.perf_counter() + seconds

    async def one(number: int) -> None:
        nonlocal by_words
        mine, user = random.Random(number), User(port, token)
        await trio.sleep(mine.random() * pause)
        while time.perf_counter() < until:
            kind = mine.choices(["search", "ask", "add"], [6, 2, 2])[0]
            began = time.perf_counter()
            if kind == "add":
                status, told = await user.post(
                    "/v1/memories", {"content": sentence(mine), "namespace": "user"}
                )
            elif kind == "ask":
                question = f"What is known of {' and '.join(mine.choices(WORDS, k=3))}?"
                status, told = await user.post("/v1/mimo/ask", {"query": question})
            else:
                status, told = await user.post(
                    "/v1/memories/search",
                    {"query": " ".join(mine.choices(WORDS, k=3)), "namespace": "user"},
                )
            taken[kind].append(time.perf_counter() - began)
            by_words += b"meaning did not run" in told or b'"did not run' in told
            if status not in {200, 201}:
                errors.append(f"{status} {told[:80]!r}")
            await trio.sleep(mine.expovariate(1 / pause))

    resident_mb = [round(before)]

    async def watch() -> None:
        for _ in range(4):
            await trio.sleep(seconds / 4)
            resident_mb.append(round(resident(pid)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        for number in range(users):
            nursery.start_soon(one, number)
    everything = [each for its in taken.values() for each in its]
    return {
        "users": users,
        "seconds": seconds,
        "pause": pause,
        "requests": len(everything),
        "requests_a_second": round(len(everything) / seconds, 1),
        "errors": len(errors),
        "first_errors": errors[:3],
        "searched_by_words_alone": by_words,
        **{f"{kind}_{name}": value for kind, its in taken.items() for name, value in shape(its).items()},
        **shape(everything),
        "resident_mb": resident_mb,
    }


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shape(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        f"p{p}_ms": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)] * 1000, 1)
        for p in (50, 95, 99)
    }


async def compare_routers(seconds: float) -> dict[str, Any]:
    """The same JSON, through our router and through quart-trio, on the same server; in turns, processor time and all."""
    import socket

    from quart import request
    from quart_trio import QuartTrio

    from mimo.gateway.keys import Key, Keyring, digest_of, new_token
    from mimo.gateway.rates import Rate, Rates
    from mimo.observability.metrics import Metrics
    from mimo.protocol.openapi import Operation
    from mimo.transports.http.exchange import Reply, Request, Route, reply_json
    from mimo.transports.http.guard import Guard
    from mimo.transports.http.router import Router
    from mimo.transports.http.server import Server

    token, metrics = new_token(), Metrics()

    async def echo(request: Request) -> Reply:
        return reply_json(request.object())

    route = Route(Operation("POST", "/echo", "echo", ""), echo)
    guard = Guard(Keyring([Key("a", "a", digest_of(token), frozenset({"read"}))]), metrics)
    ours = Router([route], {}, guard, Rates(Rate(1e9, 10**9)), metrics)
    theirs = QuartTrio("bench")

    @theirs.post("/echo")
    async def echo_of_quart() -> Any:
        return await request.get_json()

    async def rate(app: Any) -> tuple[float, float]:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            async with trio.open_nursery() as nursery:
                await nursery.start(Server(app).run, [listening])
                user = User(listening.getsockname()[1], token)
                await user.post("/echo", {"a": 1})
                count, began, cpu = 0, time.perf_counter(), time.process_time()
                while time.perf_counter() - began < seconds:
                    await user.post("/echo", {"a": 1})
                    count += 1
                spent = time.process_time() - cpu
                nursery.cancel_scope.cancel()
        return count / seconds, spent / count * 1e6

    found: dict[str, list[tuple[float, float]]] = {"ours": [], "quart-trio": []}
    for _ in range(3):
        found["ours"].append(await rate(ours))
        found["quart-trio"].append(await rate(theirs))
    return {
        name: {
            "requests_per_s": round(statistics.median(r for r, _ in its)),
            "processor_us": round(statistics.median(c for _, c in its)),
            "spread_us": [round(min(c for _, c in its)), round(max(c for _, c in its))],
        }
        for name, its in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument(
        "--pause", type=float, default=3.0, help="seconds between two requests of a user, in the mean"
    )
    parser.add_argument(
        "--failing", type=float, help="of a hundred calls of an embedder's service, so many fail"
    )
    parser.add_argument("--router", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.router:
        found = trio.run(compare_routers, min(options.seconds, 5))
    else:
        vectors = None if options.failing is None else Vectors(options.failing)
        with daemon({} if vectors is None else vectors.settings()) as (port, token, pid):
            found = trio.run(
                load, port, token, pid, options.users, options.seconds, options.memories, options.pause
            )
        if vectors is not None:
            found |= {"embedder_asked": vectors.asked, "embedder_failed": vectors.failed}
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<22} {value}")


if __name__ == "__main__":
    main()
