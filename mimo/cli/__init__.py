"""The command line: words in, one command chosen, an exit code out.

    __init__.py      choose, run, and tell what went wrong
    commands.py      all commands, as data: help, parsing and completions come from this table
    words.py         parsing, light
    terminal.py      what is printed, and how a command fails
    client.py        the daemon, asked over its socket
    ...              one file a group of commands, imported only when one of them is chosen

Most commands are over in the time that a heavy import takes, so nothing is imported before it is needed.
"""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

FAILED, INTERRUPTED = 1, 130


def main(argv: list[str]) -> int:
    """Run one command. Gives the exit code; nothing is raised but what is a bug of ours."""
    if argv and argv[0] in {"stdio", "mcp"}:  # an editor waits for this one
        from mimo.bridge import main as relay

        return relay(argv[1:])
    if isinstance(sys.stdout, TextIOWrapper):
        # What the terminal's encoding cannot say is escaped, in the way JSON does it too.
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportUnknownMemberType]
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough (`mimo export - | head`); that is no failure. The
        # interpreter flushes stdout once more at its end, so it gets a place that takes everything.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except _expected() as error:  # looked up only when something has been raised
        print(f"mimo: {error}", file=sys.stderr)
        return _exit_code(error)
    except OSError as error:  # a disk that is full, a directory that is gone: the system says it best
        print(f"mimo: {error.filename + ': ' if error.filename else ''}{error.strerror}", file=sys.stderr)
        return FAILED


def _exit_code(error: Exception) -> int:
    """What the error says itself, or what its kind means."""
    from mimo.cli.terminal import EXIT_CODES

    return int(getattr(error, "exit_code", EXIT_CODES.get(getattr(error, "kind", ""), FAILED)))


def _expected() -> tuple[type[Exception], ...]:
    from mimo.cli.terminal import Failed
    from mimo.cli.words import Wrong
    from mimo.errors import MimoError
    from mimo.launch import CannotStart

    return Failed, Wrong, MimoError, CannotStart


def _run(argv: list[str]) -> int:
    from mimo.cli.commands import COMMANDS, overview
    from mimo.cli.words import command_of, explain, parse

    name, rest = command_of(argv, COMMANDS)
    if name == "--version":
        from mimo import __version__

        print(f'{{"version": "{__version__}"}}' if "--json" in rest else f"mimo {__version__}")
        return 0
    if name == "--help":
        print(overview(*rest))
        return 0
    command = COMMANDS[name]
    if "--help" in rest or "-h" in rest:
        print(explain(command))
        return 0
    if command.module == "bridge":
        from mimo.bridge import main as relay

        return relay(rest)
    words = parse(command, rest)
    if name != "doctor" and (complaint := _complaint(words.home)):
        from mimo.cli.terminal import Failed

        raise Failed(complaint)
    run: Callable[..., int] = getattr(_module(command.module), command.function)
    code = run(words)
    sys.stdout.flush()  # here, where a reader that has gone is still handled
    return code


def _complaint(home: str) -> str:
    """What would be a riddle in the words of each command."""
    if os.path.isdir(home):
        readable = os.access(home, os.R_OK | os.X_OK)
        return "" if readable else f"the data directory {home} cannot be read; run: chmod 700 {home}"
    if os.path.lexists(home):
        return f"{home} is not a directory; choose another with --home or MIMO_HOME"
    return ""


def _module(name: str) -> object:
    from importlib import import_module

    return import_module(f"mimo.cli.{name}")
