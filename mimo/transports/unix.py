"""The door for our own programs: a Unix socket whose clients say hello, and are of the same user."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from mimo import __version__
from mimo.errors import Busy, Forbidden, InvalidArguments, MimoError, Unavailable
from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import Malformed
from mimo.protocol.mcp.failures import failure
from mimo.protocol.mcp.revisions import NEWEST_LEGACY
from mimo.transports.desk import Desk
from mimo.transports.hello import AGAIN, USER, Hello, is_newer, namespace_of, read_hello
from mimo.transports.lines import Connection, Control
from mimo.transports.outbox import Stalled
from mimo.transports.pipe import Pipe

log = logging.getLogger(__name__)

# A client says hello in the breath in which it connects.
HELLO_SECONDS = 10.0
# Finding the root of a project touches the disk, which may be far away.
NAMESPACE_SECONDS = 2.0
# Many editors with many windows; more is a loop that starts bridges. Each has three tasks, and beside the house's own
# thirty they stay below what the resource watch calls too many (400).
MAX_CONNECTIONS = 100
# The owner of the machine may look into everything anyway, and asks a system-wide daemon how it is.
ROOT = 0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class UnixDoor:
    """Serves the listening sockets that it is given, which stay open when `run` ends, so that it may run again."""

    def __init__(self, listening: Sequence[socket.socket], desk: Desk, control: Control, home: str) -> None:
        self._listening = listening
        self._desk = desk
        self._control = control
        self._home = home  # the person's home directory, which is no project
        self._connections: set[Connection] = set()
        self._accepting = trio.CancelScope()
        # Its own limit: a slow disk must not keep others from a thread.
        self._threads = trio.CapacityLimiter(4)
        # Ends the daemon so that the next connection starts the newer code; None: whoever started us does that.
        self.make_way: Callable[[], None] | None = None
        self.idle_since: float | None = None  # when the last client left, on Trio's clock; None: one is here

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._accepting = trio.CancelScope()
        self.idle_since = trio.current_time()
        async with trio.open_nursery() as nursery:
            listeners = [_listener(listening) for listening in self._listening]
            task_status.started()
            with self._accepting:
                await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    async def drain(self) -> None:
        """Accept nobody, answer what is in flight, hang up. `run` ends when all have gone."""
        self._accepting.cancel()
        for connection in self._connections:
            connection.leave()
        await trio.lowlevel.checkpoint()

    async def _serve(self, stream: trio.SocketStream) -> None:
        descriptor = stream.socket.fileno()
        bridged = False
        connection = Connection(Pipe(descriptor, descriptor), self._desk)
        self._connections.add(connection)
        self.idle_since = None
        try:
            uid = _uid_of(stream)
            if uid not in {None, os.geteuid(), ROOT}:
                raise Forbidden(f"this socket belongs to user {os.geteuid()}, not to user {uid}")
            if len(self._connections) > MAX_CONNECTIONS:
                raise Busy(f"{MAX_CONNECTIONS} clients are connected", after=5)
            if hello := await _greeted(connection):
                bridged = hello.role == "bridge"
                self._consider(hello)
                client = hello.client(await self._namespace(hello), uid)
                control = None if bridged else self._control
                await connection.run(client, f"uid {uid}", control)
        except Stalled as stalled:
            log.warning("hung up on a client: %s", stalled)
        except MimoError as error:
            again = bridged and isinstance(error, Unavailable)
            await _say(stream, AGAIN if again else jsonrpc.error(None, failure(error, NEWEST_LEGACY)) + b"\n")
        except trio.BrokenResourceError:
            pass  # gone before it said anything
        except Exception:
            # A bug that one client met must not end the others' connections.
            log.exception("a connection broke")
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self.idle_since = trio.current_time()
            await trio.aclose_forcefully(stream)

    def _consider(self, hello: Hello) -> None:
        """A bridge with newer code wants a daemon with newer code. It gets one, once, if nobody is in a call.

        Raises:
            Unavailable: we end, and the next connection starts the newer one.
        """
        if hello.role != "bridge" or hello.settled or not is_newer(hello.version, __version__):
            return
        in_flight = self._desk.sessions.in_flight if self._desk.sessions is not None else 0
        if self.make_way is None or in_flight:
            log.warning(
                "mimo %s has connected to this older one (%s); restart it", hello.version[:40], __version__
            )
            return
        log.info("making way for mimo %s", hello.version[:40])
        self.make_way()
        raise Unavailable("a newer mimo takes over")

    async def _namespace(self, hello: Hello) -> str:
        env = hello.env or {}
        with trio.move_on_after(NAMESPACE_SECONDS):
            return await trio.to_thread.run_sync(
                namespace_of, env, hello.cwd, self._home, abandon_on_cancel=True, limiter=self._threads
            )
        return USER


async def _greeted(connection: Connection) -> Hello | None:
    """The hello that comes first; None if the client left without a word."""
    with trio.move_on_after(HELLO_SECONDS):
        first = await connection.lines.one()
        if first is None:
            return None
        if isinstance(first, Malformed):
            raise InvalidArguments(first.failure.message)
        return read_hello(first)
    raise InvalidArguments(f"no hello within {HELLO_SECONDS:g} s")


async def _say(stream: trio.SocketStream, line: bytes) -> None:
    """One last line, if it can be said at once."""
    with trio.move_on_after(1), suppress(trio.BrokenResourceError):
        await stream.send_all(line)


def _listener(listening: socket.socket) -> trio.SocketListener:
    """A duplicate, so that the socket itself outlives a run."""
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening.dup()))


def _uid_of(stream: trio.SocketStream) -> int | None:
    """Who is at the other end, as the kernel knows; None where it does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(raw)
    return uid
