"""`mimo stdio`: an editor's pipe, carried to the daemon. Standard library only, because an editor waits.

The bridge says one hello line and then relays lines in both directions. It looks into them just far
enough to keep two promises: when the daemon dies, every call in flight gets an answer that says so, and
the session that the editor believes in is opened again with the next daemon; and a client's first probe
is answered in time even when the daemon is still starting.
"""

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

from mimo.home import Home, NoHome, find_home
from mimo.launch import CannotStart, greeting, last_words, reach

CHUNK = 65536
# poll() promises that this much can be written to a pipe without blocking, so stdout, which may be
# shared with others, never has to be made non-blocking.
PIPE_CHUNK = 4096
FULL = 8 << 20  # bytes waiting in one direction before we stop reading from the other end
LAST_ANSWERS = 0.8  # seconds that calls in flight get after the editor has closed its end
FIRST_ANSWER = 10.0  # the same, when the daemon has not come up yet
# Clients give a probe 0.6 to 1 s before they take us for an older server. A daemon that runs answers in milliseconds.
PROBE_PATIENCE = 0.2
PATIENCE = 20.0  # seconds without a daemon before we give up
SLOWEST_RETRY = 2.0
# One may be killed while it starts. What ends thrice without a word cannot live; asking again changes nothing.
SILENT_DEATHS = 3
RETRYABLE = -32000  # JSON-RPC's range for servers, outside what any revision of MCP reserves
REPLAYED = "mimo-bridge-replay"
AGAIN = b'{"mimo":"again"}\n'  # the daemon is ending, or makes way for a newer one: connect to the next
REMEMBERED = frozenset({"initialize", "notifications/initialized", "logging/setLevel"})


class Bridge:
    """One editor, one daemon at a time."""

    def __init__(self, home: Home, source: int = 0, sink: int = 1) -> None:
        self._home = home
        self._source, self._sink = source, sink
        self._daemon: socket.socket | None = None
        self._heard = False  # has this daemon said anything yet?
        self._heard_at = 0.0  # when it first did
        self._up, self._down = bytearray(), bytearray()
        self._from_editor, self._from_daemon = bytearray(), bytearray()
        self._in_flight: dict[str, object] = {}  # canonical id -> id
        self._session: dict[str, bytes] = {}  # lines that open the session again, in order
        self._unheard = bytearray()  # what this daemon was told before it said anything
        self._unproven: dict[str, bytes] = {}  # session lines among those
        self._probes: list[tuple[float, dict[str, object]]] = []  # when they came; they wait for the daemon
        self._answered: list[
            object
        ] = []  # ids of probes that we have answered; the daemon's answer is dropped
        self._made_way = False  # has a daemon ended for us? The next one shall stay, whoever it is
        self._lost_at: float | None = time.monotonic()
        self._next_try, self._wait, self._silent_deaths = 0.0, 0.05, 0
        self._closed_at: float | None = None  # when the editor closed its end

    def run(self) -> int:
        """Relay until the editor leaves, its process dies, or no daemon can be had."""
        watch = _parent_watch()
        try:
            while True:
                now = time.monotonic()
                if self._daemon is None and now >= self._next_try:
                    self._connect(now)
                self._answer_probes(now)
                if self._finished(now):
                    return 0
                if not self._wait_and_relay(watch, now):
                    return 0
        except CannotStart as error:
            return self._give_up(str(error))
        except BrokenPipeError:
            return 0  # the editor does not read any more
        finally:
            if watch is not None:
                os.close(watch)
            if self._daemon is not None:
                self._daemon.close()

    def _connect(self, now: float) -> None:
        self._daemon = reach(self._home)
        if self._daemon is None:  # one is starting or ending; it will be clear soon
            self._later(now)
            return
        self._daemon.setblocking(False)
        self._heard = False
        self._unheard[:] = self._up
        opening = bytearray(greeting("bridge", settled=self._made_way))
        for key, line in self._session.items():
            opening += line if key == "notifications/initialized" else _as_replay(line)
        self._up[:0] = opening

    def _later(self, now: float) -> None:
        if self._lost_at is None:
            self._lost_at = now
        if now - self._lost_at > PATIENCE:
            raise CannotStart(f"no answer from a mimo daemon in {PATIENCE:.0f} s; {last_words(self._home)}")
        self._next_try = now + self._wait
        self._wait = min(self._wait * 2, SLOWEST_RETRY)

    def _finished(self, now: float) -> bool:
        if self._closed_at is None:
            return False
        if not self._up and not self._in_flight and not self._down:
            return True
        if (
            self._daemon is not None and not self._heard
        ):  # it is starting, and has had no chance to answer yet
            return now - self._closed_at > FIRST_ANSWER
        return now - max(self._closed_at, self._heard_at) > LAST_ANSWERS

    def _wait_and_relay(self, watch: int | None, now: float) -> bool:
        poll = select.poll()
        if self._closed_at is None and len(self._up) < FULL:
            poll.register(self._source, select.POLLIN)
        if self._down:
            poll.register(self._sink, select.POLLOUT)
        if watch is not None:
            poll.register(watch, select.POLLIN)
        daemon = -1
        if self._daemon is not None:
            daemon = self._daemon.fileno()
            wanted = (select.POLLIN if len(self._down) < FULL else 0) | (select.POLLOUT if self._up else 0)
            poll.register(daemon, wanted)
        ready = dict(poll.poll(self._timeout(now, watch)))
        if watch in ready or (watch is None and os.getppid() == 1):
            return False
        if self._sink in ready:
            self._write_down()
        if daemon in ready and self._daemon is not None:
            self._exchange(ready[daemon])
        if self._source in ready:
            self._read_editor()
        return True

    def _timeout(self, now: float, watch: int | None) -> float | None:
        moments = [500.0] if watch is None else []
        if self._daemon is None:
            moments.append((self._next_try - now) * 1000)
        if self._closed_at is not None:
            moments.append(50.0)
        if self._probes:
            moments.append((self._probes[0][0] + PROBE_PATIENCE - now) * 1000 + 1)
        return max(0.0, min(moments)) if moments else None

    # The editor's side.

    def _read_editor(self) -> None:
        chunk = os.read(self._source, CHUNK)
        if not chunk:
            self._closed_at = time.monotonic()
            if not self._from_editor:
                return
            chunk = b"\n"  # a last line without its end: whole, or torn, which the daemon will see
        self._from_editor += chunk
        end = self._from_editor.rfind(b"\n") + 1
        if not end and len(self._from_editor) > FULL:
            end = len(self._from_editor)  # no message is that long; the daemon will say so
        whole = bytes(self._from_editor[:end])
        del self._from_editor[:end]
        self._up += whole
        if not self._heard:
            self._unheard += whole
        for line in whole.splitlines(keepends=True):
            self._note_request(line)

    def _note_request(self, line: bytes) -> None:
        for message in _messages(line):
            method, identity = message.get("method"), message.get("id")
            if method in REMEMBERED:
                (self._session if self._heard else self._unproven)[str(method)] = line
            if method == "server/discover" and not self._heard and line.lstrip().startswith(b"{"):
                self._probes.append((time.monotonic(), message))
            if method is not None and identity is not None:
                self._in_flight[json.dumps(identity)] = identity
            elif method == "notifications/cancelled":
                params: dict[str, object] = message.get("params") or {}  # pyright: ignore[reportAssignmentType]
                self._in_flight.pop(json.dumps(params.get("requestId")), None)

    def _answer_probes(self, now: float) -> None:
        """The daemon has been silent for too long: say what it will say."""
        while self._probes and now - self._probes[0][0] >= PROBE_PATIENCE:
            from mimo.protocol.mcp.probe import foreknown  # only now, when there is nothing else to do

            _, asked = self._probes.pop(0)
            answer = foreknown(asked)
            if answer is not None and self._in_flight.pop(json.dumps(asked["id"]), None) is not None:
                self._answered.append(asked["id"])
                self._down += json.dumps(answer).encode() + b"\n"

    def _write_down(self) -> None:
        written = os.write(self._sink, self._down[:PIPE_CHUNK])
        del self._down[:written]

    # The daemon's side.

    def _exchange(self, happened: int) -> None:
        assert self._daemon is not None
        try:
            if happened & (select.POLLIN | select.POLLHUP | select.POLLERR):
                chunk = self._daemon.recv(CHUNK)
                if not chunk:
                    self._lose_daemon()
                    return
                if not self._heard:
                    if chunk == AGAIN:
                        self._try_again()
                        return
                    self._be_heard()
                self._read_daemon(chunk)
            if happened & select.POLLOUT and self._up:
                sent = self._daemon.send(memoryview(self._up)[:CHUNK])
                del self._up[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                raise
            self._lose_daemon()

    def _try_again(self) -> None:
        self._made_way, self._silent_deaths = True, -1  # it has said why, so this is no silent death
        self._lose_daemon()

    def _be_heard(self) -> None:
        self._heard, self._silent_deaths = True, 0
        self._heard_at = time.monotonic()
        self._lost_at, self._wait = None, 0.05
        self._session |= self._unproven
        self._unproven.clear()
        self._unheard.clear()
        self._probes.clear()

    def _read_daemon(self, chunk: bytes) -> None:
        self._from_daemon += chunk
        end = self._from_daemon.rfind(b"\n") + 1
        if not end:
            return
        whole = bytes(self._from_daemon[:end])
        del self._from_daemon[:end]
        for line in whole.splitlines(keepends=True):
            ours = False
            for message in _messages(line):
                if "method" not in message:
                    ours = ours or self._is_known(message.get("id"))
            if not ours:
                self._down += line

    def _is_known(self, identity: object) -> bool:
        """An answer has come. Is it one that the editor does not wait for, as it never asked or has been answered?"""
        if identity in self._answered:
            self._answered.remove(identity)
            return True
        self._in_flight.pop(json.dumps(identity), None)
        return identity == REPLAYED

    def _lose_daemon(self) -> None:
        assert self._daemon is not None
        self._daemon.close()
        self._daemon = None
        self._from_daemon.clear()
        if not self._heard:
            self._silent_deaths += 1
            if self._silent_deaths >= SILENT_DEATHS:
                raise CannotStart(f"the mimo daemon ended at once; {last_words(self._home)}")
            self._up[:] = self._unheard  # it said nothing, so it did nothing: tell the next one
            self._later(time.monotonic())
            return
        self._up.clear()
        self._answer_all(
            "mimo's daemon ended during this call; whether it took effect is not known. Call again."
        )
        self._later(time.monotonic())

    def _answer_all(self, text: str) -> None:
        for identity in self._in_flight.values():
            error = {"code": RETRYABLE, "message": text, "data": {"retry": True}}
            self._down += json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode() + b"\n"
        self._in_flight.clear()

    def _give_up(self, why: str) -> int:
        """Say why, on stderr and as the answer to whatever was asked, for people and for programs."""
        print(f"mimo: {why}", file=sys.stderr)
        if self._closed_at is None and select.select([self._source], [], [], 0)[0]:
            self._read_editor()
        self._answer_all(why)
        try:
            while self._down and select.select([], [self._sink], [], 1.0)[1]:
                self._write_down()
        except BrokenPipeError:
            pass  # nobody is there to be told
        return 1


def _messages(line: bytes) -> list[dict[str, object]]:
    """The JSON-RPC messages in a line; none if it is something else, which is the daemon's to judge."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return []
    several: list[object] = value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]
    return [message for message in several if isinstance(message, dict)]  # pyright: ignore[reportUnknownVariableType]


def _as_replay(line: bytes) -> bytes:
    message = json.loads(line)
    message["id"] = REPLAYED
    return json.dumps(message).encode() + b"\n"


def _parent_watch() -> int | None:
    """A descriptor that becomes readable when our parent dies, where the kernel has such a thing."""
    try:
        return os.pidfd_open(os.getppid())
    except (AttributeError, OSError):
        return None


def main(words: Sequence[str]) -> int:
    """`mimo stdio [--home DIR] [--standalone]`."""
    flag: str | None = None
    standalone = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--standalone":
            standalone = True
        elif word == "--home" and rest:
            flag = rest.pop(0)
        elif word.startswith("--home=") and len(word) > len("--home="):
            flag = word.partition("=")[2]
        elif word in {"-h", "--help"}:
            print(
                "usage: mimo stdio [--home DIR] [--standalone]\n\nSpeak MCP on stdin and stdout, through the daemon of DIR."
            )
            return 0
        else:
            print(
                f"mimo stdio: unknown argument {word!r}; it takes --home DIR and --standalone",
                file=sys.stderr,
            )
            return 2
    try:
        home = find_home(flag)
    except NoHome as error:
        print(f"mimo stdio: {error}", file=sys.stderr)
        return 2
    if standalone:
        from mimo.daemon import serve

        return serve(home, standalone=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return Bridge(home).run()
