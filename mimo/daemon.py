"""The life of the process: the lock, the signals, readiness, the stop, and the last resort."""

import ctypes
import faulthandler
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import trio

from mimo.app import build, require_safe_ports
from mimo.collecting import collect_in_peace
from mimo.errors import Conflict, MimoError, Unusable
from mimo.home import Home
from mimo.house import House
from mimo.launch import CannotStart, bind
from mimo.observability import logs
from mimo.settings import load
from mimo.storage.files import prepare_home
from mimo.supervision import TooManyRestarts
from mimo.systemd import Notices, forget_environment, handed_over

log = logging.getLogger(__name__)

FAILED, CONFLICT = 1, 5
# An end that a restart may cure; a service manager is told not to restart after the two above.
FELL = 70
ASKING_TO_END = (signal.SIGTERM, signal.SIGINT)
HELD_BACK = (*ASKING_TO_END, signal.SIGHUP)
# The names and numbers of malloc.h; from this size on a block goes back to the system when it is freed.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGE_BLOCK = -1, -3, 512 << 10
# Each thread would begin a heap of its own, of which none is ever full: some MB for nothing.
M_ARENA_MAX, HEAPS = -8, 4
# Over the grace for the drain, what an orderly stop of the tree may take before the process is ended
# from outside the loop: a loop that is stuck cannot end itself.
LAST_RESORT = 10.0


class Lock:
    """The data directory is ours for as long as this file is locked; the kernel gives it back when we die."""

    def __init__(self, home: Home) -> None:
        """Raises: Unusable, or Conflict when a living daemon holds it."""
        prepare_home(home)
        try:
            self._descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unusable(
                f"cannot write {home.lock} ({error.strerror}); run: chmod 600 {home.lock}, or choose another directory "
                "with --home or MIMO_HOME"
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


@dataclass(eq=False, slots=True)
class Life:
    """One run of the daemon, from the signal handlers to the last goodbye."""

    home: Home
    house: House
    notices: Notices
    idle_exit: bool
    last_resort: "LastResort"

    async def run(self) -> int:
        """Serve until somebody wants an end. Gives the exit code."""
        code = 0
        with trio.open_signal_receiver(*ASKING_TO_END, signal.SIGHUP) as signals:
            for number in ASKING_TO_END:
                self._prepare_last_resort(number)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                    await nursery.start(self.house.root.run)
                    self.notices.ready(f"serving {self.home}")
                    gc.collect()
                    gc.freeze()  # what stands by now stays to the end: no collection need look at it
                    gc.enable()
                    nursery.start_soon(collect_in_peace)
                    log.info("ready", extra={"home": str(self.home), "pid": os.getpid()})
                    nursery.start_soon(self.notices.feed_watchdog, self.house.database.pulse)
                    nursery.start_soon(self._leave_when_idle)
            except* TooManyRestarts as group:
                code = FELL
                log.critical("%s", _innermost(group))
        return code

    def _prepare_last_resort(self, number: int) -> None:
        """Have the handler start the clock, because a loop that is stuck will not hear of the signal."""
        receive = signal.getsignal(number)
        assert callable(receive)

        def handle(number: int, frame: FrameType | None) -> None:
            self.last_resort.strike_after(self.house.settings.daemon.grace_seconds + LAST_RESORT)
            receive(number, frame)

        signal.signal(number, handle)

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_signals, signals)
            await self.house.stop_wanted.wait()
            nursery.cancel_scope.cancel()
        self.notices.stopping()
        log.info("stopping")
        grace = self.house.settings.daemon.grace_seconds
        self.last_resort.strike_after(grace + LAST_RESORT)
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
            since = self.house.idle_since()
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


class LastResort:
    """Ends the process from a thread that needs nothing from the loop."""

    def __init__(self) -> None:
        self._started = False

    def strike_after(self, seconds: float) -> None:
        """Whatever happens. Only the first call counts."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._strike, args=(seconds,), name="last resort", daemon=True).start()

    def _strike(self, seconds: float) -> None:
        time.sleep(seconds)
        print(f"mimo: not stopped after {seconds:g} s; ending the process where it stands:", file=sys.stderr)
        faulthandler.dump_traceback(file=sys.stderr)
        os._exit(FELL)


def _give_memory_back() -> None:
    """Have the C library return what is freed. Left alone, it learns from each large block to keep larger ones."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # not everywhere, and nothing depends on it
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            library.mallopt(parameter, LARGE_BLOCK)
        library.mallopt(M_ARENA_MAX, HEAPS)


def _hold_back_signals() -> None:
    """One that comes before anybody listens waits; it does not kill a process that holds the lock."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    for number in HELD_BACK:
        signal.signal(number, _too_late)


def _too_late(number: int, frame: FrameType | None) -> None:
    """Between the end of the loop and the end of the process: asking again changes nothing."""


def _leave_in_peace() -> None:
    for number in HELD_BACK:  # Python's own way out would restore what kills
        signal.signal(number, signal.SIG_IGN)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def serve(
    home: Home,
    *,
    flags: Mapping[str, str] | None = None,
    standalone: bool = False,
    idle_exit: bool = False,
) -> int:
    """`mimo serve`: own the data directory until told to stop. Gives the exit code."""
    os.umask(0o077)
    _give_memory_back()
    notices = Notices()
    flags = flags or {}
    try:
        settings = load(home, os.environ, flags)[0]
        logs.configure(settings.log.level, settings.log.format)
        _hold_back_signals()
        lock = Lock(home)
        try:
            if not (standalone or idle_exit):
                require_safe_ports(settings)
            inherited = handed_over()
            forget_environment()
            ours = [] if inherited else [bind(home)]
            # A socket that a service manager made is not ours to remove, nor one that lies there instead of ours.
            made = _identity(home.socket) if ours or idle_exit else None
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
            life = Life(home, house, notices, idle_exit and not standalone, LastResort())
            code = trio.run(life.run, instruments=[house.loop_watch])
            _leave_in_peace()
            if made is not None and _identity(home.socket) == made:
                os.unlink(home.socket)
            if house.unusable is not None:
                raise house.unusable
            return code
        finally:
            lock.release()
    except (MimoError, CannotStart) as error:
        print(f"mimo: {error}", file=sys.stderr)
        return CONFLICT if isinstance(error, Conflict) else FAILED
