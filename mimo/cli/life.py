"""The daemon's life from the outside: serve, stop, restart, reload, logs."""

import gc
import os
import sys
import time

from mimo.cli.client import Daemon, Unreachable
from mimo.cli.terminal import FAILED, NOT_FOUND, OK, Failed, foreign, say, say_json
from mimo.cli.words import Words
from mimo.home import Home

# Over this, a stop hangs: the daemon's own last resort has struck by then.
LONGEST_STOP = 30.0


def serve(words: Words) -> int:
    # NumPy reads this when it is imported. Its BLAS would start a thread a core, which costs more CPU than all of
    # NumPy's import; the threads that search and embed are ours.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # until everything stands: nothing that is imported is garbage
    from mimo.cli.configuration import chosen
    from mimo.daemon import serve as run

    proxy = {"http.behind_proxy": "true"} if words.has("behind-proxy") else {}
    return run(
        words.home,
        flags=chosen(words.all("set")) | proxy,
        standalone=words.has("standalone"),
        idle_exit=words.has("idle-exit"),
    )


def stop(words: Words) -> int:
    """End it. That none runs is what was wanted, not a failure."""
    stopped = _stop(words.home)
    if words.has("json"):
        say_json({"stopped": stopped, "home": words.home})
    else:
        say("stopped" if stopped else f"no mimo daemon runs for {words.home}")
    return OK


def restart(words: Words) -> int:
    was_running = _stop(words.home)
    with Daemon(words.home, start=True, seconds=LONGEST_STOP) as daemon:
        facts = daemon.ask("mimo/status", seconds=LONGEST_STOP)
    if words.has("json"):
        say_json({"restarted": was_running, "pid": facts["pid"], "home": words.home})
    else:
        say(f"{'restarted' if was_running else 'started'} as process {facts['pid']}")
    return OK


def reload(words: Words) -> int:
    with Daemon(words.home) as daemon:
        daemon.ask("mimo/reload")
    say("settings read again")
    return OK


def _stop(home: Home) -> bool:
    """Has a daemon been ended? Waits until the data directory is free."""
    from mimo.launch import is_held

    try:
        daemon = Daemon(home)
    except Unreachable:
        if not is_held(home.lock):
            return False
        raise Failed(
            f"process {holder(home)} holds {home} but does not listen; look at 'mimo logs', then: kill {holder(home)}"
        ) from None
    with daemon:
        daemon.ask("mimo/stop")
        daemon.wait_for_end(LONGEST_STOP)
    until = time.monotonic() + LONGEST_STOP
    while is_held(home.lock):  # it hangs up before it closes the database
        if time.monotonic() > until:
            raise Failed(
                f"process {holder(home)} has not ended in {LONGEST_STOP:g} s; end it with: kill {holder(home)}"
            )
        time.sleep(0.02)
    return True


def holder(home: Home) -> str:
    """The process that says of itself that it holds the lock."""
    try:
        with open(home.lock) as file:
            return file.read(32).strip() or "unknown"
    except OSError:
        return "unknown"


def logs(words: Words) -> int:
    wanted = words.number("lines", 50)
    try:
        file = open(words.home.log, "rb")  # noqa: SIM115 (closed by the `with` below)
    except FileNotFoundError as error:
        raise Failed(
            f"{words.home.log} is not there: a daemon that systemd or a terminal started writes to the journal "
            "or the terminal (journalctl --user -u mimo)",
            NOT_FOUND,
        ) from error
    except OSError as error:
        raise Failed(f"cannot read {words.home.log}: {error.strerror}", FAILED) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - 400 * wanted - 4096))
        tail = file.read().decode(errors="replace").splitlines(keepends=True)
        sys.stdout.write(foreign("".join(tail[-wanted:] if wanted else [])))
        sys.stdout.flush()
        while words.has("follow"):
            if chunk := file.read(65536):
                sys.stdout.write(foreign(chunk.decode(errors="replace")))
                sys.stdout.flush()
            else:
                if os.fstat(file.fileno()).st_size < file.tell():
                    file.seek(0)  # somebody emptied it
                time.sleep(0.2)
    return OK
