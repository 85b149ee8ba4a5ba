"""The life of the process: the lock, the signals, readiness, the stop, and the last resort."""

import faulthandler
import fcntl
import logging
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import trio

from mimo.app import House, build
from mimo.errors import Conflict, MimoError, Unusable
from mimo.home import Home
from mimo.launch import CannotStart, bind
from mimo.observability import logs
from mimo.settings import load
from mimo.supervision import TooManyRestarts
from mimo.systemd import Notices, forget_environment, handed_over

log = logging.getLogger(__name__)

FAILED, CONFLICT = 1, 5
ASKING_TO_END = (signal.SIGTERM, signal.SIGINT)
# Over the grace for the drain, what an orderly stop of the tree may take before the process is ended
# from outside the loop: a loop that is stuck cannot end itself.
LAST_RESORT = 10.0


class Lock:
    """The data directory is ours for as long as this file is locked; the kernel gives it back when we die."""

    def __init__(self, home: Home) -> None:
        """Raises: Unusable, or Conflict when a living daemon holds it."""
        _prepare(home)
        try:
            self._descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unusable(
                f"cannot write in {home}: {error.strerror}; choose another directory with --home"
            ) from error
        try:
            self._take()
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise Conflict(
                f"another mimo (process {holder or 'unknown'}) serves {home}; "
                "stop it with `mimo stop`, or choose another directory with --home"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _take(self) -> None:
        """Those who only ask whether it is held hold it themselves for a moment; so ask more than once."""
        for _ in range(10):
            with suppress(BlockingIOError):
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.01)
        return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        os.close(self._descriptor)


def _prepare(home: Home) -> None:
    """Make the directory, for its owner only; refuse one that others could read."""
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        status = os.stat(home)
    except OSError as error:
        raise Unusable(
            f"cannot use {home} as data directory: {error.strerror}; choose another with --home"
        ) from error
    if status.st_uid != os.geteuid():
        raise Unusable(
            f"{home} belongs to user {status.st_uid}, not to us ({os.geteuid()}); choose another with --home"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise Unusable(
            f"{home} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}); run: chmod 700 {home}"
        )


@dataclass(eq=False, slots=True)
class Life:
    """One run of the daemon, from the signal handlers to the last goodbye."""

    home: Home
    house: House
    notices: Notices
    idle_exit: bool

    async def run(self) -> int:
        """Serve until somebody wants an end. Gives the exit code."""
        code = 0
        with trio.open_signal_receiver(*ASKING_TO_END, signal.SIGHUP) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING_TO_END)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                    await nursery.start(self.house.root.run)
                    self.notices.ready(f"serving {self.home}")
                    log.info("ready", extra={"home": str(self.home), "pid": os.getpid()})
                    nursery.start_soon(self.notices.feed_watchdog, self.house.database.pulse)
                    nursery.start_soon(self._leave_when_idle)
            except* TooManyRestarts as group:
                code = FAILED
                log.critical("%s", _innermost(group))
        return code

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_signals, signals)
            await self.house.stop_wanted.wait()
            nursery.cancel_scope.cancel()
        self.notices.stopping()
        log.info("stopping")
        grace = self.house.settings.daemon.grace_seconds
        _end_the_process_after(grace + LAST_RESORT)
        with trio.move_on_after(grace):
            await self.house.drain()
        everything.cancel()

    async def _obey_signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                self._reload()
            else:
                self.house.stop_wanted.set()

    def _reload(self) -> None:
        self.notices.reloading()
        try:
            self.house.reload()
        except MimoError as error:
            log.error("settings not reloaded, the old ones stay: %s", error.message)
        self.notices.ready(f"serving {self.home}")

    async def _leave_when_idle(self) -> None:
        while self.idle_exit:
            patience = self.house.settings.daemon.idle_minutes * 60
            since = self.house.unix.idle_since
            left = patience if since is None else since + patience - trio.current_time()
            if left <= 0:
                log.info("nobody has been connected for %g minutes", self.house.settings.daemon.idle_minutes)
                self.house.stop_wanted.set()
                return
            await trio.sleep(left)


def _innermost(group: BaseExceptionGroup[TooManyRestarts]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    told = str(error)
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{told}: {error}" if str(error) not in told else told


def _end_the_process_after(seconds: float) -> None:
    """The last resort, in a thread that needs nothing from the loop."""

    def end() -> None:
        time.sleep(seconds)
        print(f"mimo: not stopped after {seconds:g} s; ending the process where it stands:", file=sys.stderr)
        faulthandler.dump_traceback(file=sys.stderr)
        os._exit(FAILED)

    threading.Thread(target=end, name="last resort", daemon=True).start()


def _hold_back_signals() -> None:
    """One that comes before anybody listens waits; it does not kill a process that holds the lock."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKING_TO_END)
    for number in ASKING_TO_END:
        signal.signal(number, _too_late)


def _too_late(number: int, frame: FrameType | None) -> None:
    """Between the end of the loop and the end of the process: asking again changes nothing."""


def _leave_in_peace() -> None:
    for number in ASKING_TO_END:  # Python's own way out would restore what kills
        signal.signal(number, signal.SIG_IGN)


def serve(
    home: Home,
    *,
    flags: Mapping[str, str] | None = None,
    standalone: bool = False,
    idle_exit: bool = False,
) -> int:
    """`mimo serve`: own the data directory until told to stop. Gives the exit code."""
    os.umask(0o077)
    _hold_back_signals()
    notices = Notices()
    flags = flags or {}
    try:
        settings = load(home, os.environ, flags)[0]
        logs.configure(settings.log.level, settings.log.format)
        lock = Lock(home)
        try:
            inherited = handed_over()
            forget_environment()
            ours = [] if inherited else [bind(home)]
            house = build(
                home,
                lambda: load(home, os.environ, flags)[0],
                listening=[*inherited, *ours],
                standalone=standalone,
                # An editor that starts mimo for itself did not ask for open ports.
                network=not (standalone or idle_exit),
                on_long_work=notices.busy,
            )
            if idle_exit:  # a bridge started us, and bridges start the next one
                house.unix.make_way = house.stop_wanted.set
            code = trio.run(
                Life(home, house, notices, idle_exit and not standalone).run, instruments=[house.loop_watch]
            )
            _leave_in_peace()
            if house.unusable is not None:
                raise house.unusable
            if ours or idle_exit:  # a socket that a service manager made is not ours to remove
                with suppress(FileNotFoundError):
                    os.unlink(home.socket)
            return code
        finally:
            lock.release()
    except (MimoError, CannotStart) as error:
        print(f"mimo: {error}", file=sys.stderr)
        return CONFLICT if isinstance(error, Conflict) else FAILED
