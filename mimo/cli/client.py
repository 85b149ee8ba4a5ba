"""The daemon, asked over its socket: one connection, one question at a time. Standard library only."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mimo.cli.terminal import EXIT_CODES, FAILED, UNREACHABLE, Failed
from mimo.home import Home
from mimo.launch import CannotStart, connect, greeting, last_words, reach

SECONDS = 10.0
# As long as a tool may take.
PATIENT = 60.0


class Answered(NamedTuple):
    """What a tool gave: text to read, and data when JSON was asked for."""

    text: str
    data: Any


class Unreachable(Failed):
    """No daemon answers."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)


class Refused(Failed):
    """The daemon answered with an error."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message, EXIT_CODES.get(kind, FAILED))
        self.kind = kind


class Daemon:
    """A connection to the daemon of one data directory, open as long as the `with` lasts."""

    def __init__(
        self, home: Home, *, start: bool = False, role: str = "cli", seconds: float = SECONDS
    ) -> None:
        """Connect, and with `start` make a daemon if there is none.

        Raises:
            Unreachable: there is none, or it does not come up in `seconds`.
        """
        self.home = home
        until = time.monotonic() + seconds
        try:
            connection = reach(home) if start else connect(home)
            while connection is None and start and time.monotonic() < until:
                time.sleep(0.02)  # one is just ending; the next can be started when it has gone
                connection = reach(home)
        except CannotStart as error:
            raise Unreachable(str(error)) from error
        if connection is None:
            raise Unreachable(
                f"no mimo daemon runs for {home}; start it with 'mimo serve', or let an editor start it with 'mimo stdio'"
            )
        self._socket = connection
        self._rest = bytearray()
        self._next = 0
        self._send(greeting(role), until)

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        seconds: float = SECONDS,
        told: Callable[[str, Any], None] | None = None,
    ) -> Any:
        """The result of one request; `told` gets the notifications that come before it.

        `seconds` is the patience for the next line, so a long answer that keeps coming is not cut.

        Raises:
            Refused: the daemon answered with an error.
            Unreachable: it did not answer in time, or went away.
        """
        self._next += 1
        request = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": dict(params or {})}
        self._send(json.dumps(request).encode() + b"\n", time.monotonic() + seconds)
        while True:
            message = self._receive(seconds, method)
            if "method" in message and "id" not in message:
                if told is not None:
                    told(message["method"], message.get("params"))
            elif message.get("id") == self._next:
                break
            elif message.get("id") is None and "error" in message:
                break  # about a line that the daemon could not read, and only ours is under way
        if "error" in message:
            error = message["error"]
            data = error.get("data")
            kind = data.get("kind", "") if isinstance(data, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            raise Refused(str(error.get("message", "the daemon refused")), str(kind))  # pyright: ignore[reportUnknownArgumentType]
        return message.get("result")

    def tool(self, name: str, arguments: Mapping[str, Any], *, seconds: float = PATIENT) -> "Answered":
        """Call a tool as an agent would.

        Raises:
            Refused: the arguments do not fit, or the tool failed.
        """
        asked: dict[str, Any] = {"name": name, "arguments": dict(arguments)}
        if seconds < PATIENT:  # so that the daemon gives what it has by then
            asked["seconds"] = seconds
        given = self.ask("mimo/tool", asked, seconds=seconds)
        if given.get("failed"):
            raise Refused(str(given.get("text") or "the tool failed"), str(given.get("kind") or ""))
        return Answered(str(given.get("text") or ""), given.get("data"))

    def wait_for_end(self, seconds: float) -> bool:
        """Has the daemon hung up within this time?"""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                if not self._socket.recv(65536):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False

    def _send(self, line: bytes, until: float) -> None:
        try:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            self._socket.sendall(line)
        except TimeoutError as error:
            raise Unreachable(f"the daemon of {self.home} does not read; see 'mimo logs'") from error
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> Unreachable:
        return Unreachable(f"the daemon of {self.home} went away; {last_words(self.home)}")

    def _receive(self, seconds: float, method: str) -> dict[str, Any]:
        self._socket.settimeout(seconds)
        while (end := self._rest.find(b"\n")) < 0:
            try:
                chunk = self._socket.recv(1 << 18)
            except TimeoutError as error:
                raise Unreachable(
                    f"the daemon of {self.home} did not answer {method} in {seconds:g} s; see 'mimo logs', or 'mimo restart'"
                ) from error
            except OSError as error:
                raise self._gone() from error
            if not chunk:
                raise self._gone()
            self._rest += chunk
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        try:
            message: Any = json.loads(line)
        except ValueError as error:
            raise Unreachable(f"what answers at {self.home.socket} is no mimo daemon") from error
        if not isinstance(message, dict):
            raise Unreachable(f"what answers at {self.home.socket} is no mimo daemon")
        return message  # pyright: ignore[reportUnknownVariableType]
