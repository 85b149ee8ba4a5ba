"""From the words of a command line to what they ask for.

argparse would do, at half of what `mimo hook` may cost; and help, completions and "did you mean" all
want the commands as data anyway.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from mimo.home import Home, NoHome, find_home


class Option(NamedTuple):
    """`--name`, a switch; or `--name VALUE` where `value` names what is to be given."""

    name: str
    help: str
    value: str = ""
    short: str = ""
    choices: tuple[str, ...] = ()
    many: bool = False


class Operand(NamedTuple):
    """A word without dashes. `many` takes all that are left."""

    name: str
    choices: tuple[str, ...] = ()
    optional: bool = False
    many: bool = False


class Command(NamedTuple):
    """One command: what it is for, what it takes, and which function of which module runs it."""

    name: str
    summary: str
    module: str
    function: str
    operands: tuple[Operand, ...] = ()
    options: tuple[Option, ...] = ()
    examples: tuple[str, ...] = ()
    notes: str = ""


EVERYWHERE = (
    Option("home", "the data directory (else MIMO_HOME, else the XDG default)", "DIR"),
    Option("help", "this", short="h"),
)


class Wrong(Exception):
    """The words make no sense; the text says which, and what would."""

    exit_code = 2


class Words:
    """What was asked for, by name. What was not given is an empty string, False, or an empty list."""

    __slots__ = ("_given", "command", "home")

    def __init__(self, command: Command, given: dict[str, list[str]], home: Home) -> None:
        self.command = command
        self.home = home
        self._given = given

    def has(self, switch: str) -> bool:
        return switch in self._given

    def text(self, name: str, otherwise: str = "") -> str:
        given = self._given.get(name)
        return given[-1] if given else otherwise

    def all(self, name: str) -> list[str]:
        return self._given.get(name, [])

    def number(self, name: str, otherwise: int, least: int = 0) -> int:
        """A whole number.

        Raises:
            Wrong: what was given is none, or too small.
        """
        text = self.text(name)
        if not text:
            return otherwise
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise Wrong(f"--{name} takes a whole number from {least} up, not {text!r}")
        return int(text)


def command_of(argv: list[str], commands: Mapping[str, Command]) -> tuple[str, list[str]]:
    """The command's name (`mimo` alone: the empty one), and the words that are left for it."""
    first: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in {"--version", "-V"}:
            return "--version", [*first, *rest]
        if word in {"--help", "-h"}:
            return "--help", [next((w for w in rest if not w.startswith("-")), "")]
        first.append(word)
        if word == "--home" and rest:
            first.append(rest.pop(0))
    if not rest:
        return "", first
    name = rest.pop(0)
    if name == "help":
        return "--help", rest[:1]
    if name and name not in commands and rest and f"{name} {rest[0]}" in commands:
        name = f"{name} {rest.pop(0)}"
    family = [c.partition(" ")[2] for c in commands if c.startswith(f"{name} ")]
    if name not in commands and len(family) > 1:
        if {"--help", "-h"} & set(rest):
            return "--help", [name]
        more = [word for word in rest if not word.startswith("-")]
        if not more:
            raise Wrong(f"{name!r} needs one more word: {', '.join(family)}")
        name = f"{name} {more[0]}"
    if not name or name not in commands:
        raise Wrong(f"no command {name!r}; {_nearest(name, [c for c in commands if c], 'mimo --help')}")
    return name, [*first, *rest]


def parse(command: Command, words: list[str]) -> Words:
    """What these words ask of this command.

    Raises:
        Wrong: an unknown option, a missing or a superfluous word.
    """
    options = {o.name: o for o in (*command.options, *EVERYWHERE)}
    shorts = {o.short: o for o in options.values() if o.short}
    given: dict[str, list[str]] = {}
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            plain += rest
            break
        if word == "-" or not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        option = options.get(name) if word.startswith("--") else shorts.get(name)
        if option is None:
            cure = _nearest(name, options, f"mimo {command.name} --help".replace("  ", " "), "--")
            raise Wrong(f"no option {word.partition('=')[0]!r} for mimo {command.name}; {cure}")
        if not option.value:
            if equals:
                raise Wrong(f"--{option.name} takes no value")
            given[option.name] = []
            continue
        if not equals:
            if not rest:
                raise Wrong(f"--{option.name} needs a value: --{option.name} {option.value}")
            value = rest.pop(0)
        _require_choice(f"--{option.name}", value, option.choices)
        if option.name in given and not option.many:
            raise Wrong(f"--{option.name} is given twice")
        given.setdefault(option.name, []).append(value)
    _sort_operands(command, plain, given)
    home = given.pop("home", None)
    if home is not None and not home[0]:
        raise Wrong("--home needs a directory")
    try:
        return Words(command, given, find_home(home[0] if home else None))
    except NoHome as error:
        raise Wrong(str(error)) from error
    except FileNotFoundError as error:
        raise Wrong(
            "the directory you stand in is gone; name the data directory by its whole path"
        ) from error


def _sort_operands(command: Command, plain: list[str], given: dict[str, list[str]]) -> None:
    for operand in command.operands:
        taken, plain = (plain, []) if operand.many else (plain[:1], plain[1:])
        if not taken and not operand.optional:
            raise Wrong(f"{operand.name} is missing: {usage(command)}")
        for word in taken:
            _require_choice(operand.name, word, operand.choices)
        if taken:
            given[operand.name] = taken
    if plain:
        raise Wrong(f"{plain[0]!r} is one word too many: {usage(command)}")


def _require_choice(what: str, word: str, choices: Collection[str]) -> None:
    if choices and word not in choices:
        raise Wrong(f"{what} cannot be {word!r}; {_nearest(word, choices, '')}")


def _nearest(word: str, known: Iterable[str], listing: str, dashes: str = "") -> str:
    from difflib import get_close_matches  # only when something went wrong

    known = list(known)
    near = get_close_matches(word, known, 1, 0.5)
    if near:
        return f"did you mean {dashes}{near[0]}?"
    return f"'{listing}' lists all" if listing else f"it is one of: {', '.join(known)}"


def usage(command: Command) -> str:
    """One line, as people know it."""
    parts = ["mimo", command.name] if command.name else ["mimo"]
    for operand in command.operands:
        name = "|".join(operand.choices) if 0 < len(operand.choices) <= 6 else operand.name
        name += "..." if operand.many else ""
        parts.append(f"[{name}]" if operand.optional else name)
    parts += [f"[--{o.name}{' ' + o.value if o.value else ''}]" for o in command.options]
    return " ".join(parts)


def explain(command: Command) -> str:
    """The help of one command."""
    lines = [f"usage: {usage(command)}", "", command.summary + ("" if command.summary.endswith("?") else ".")]
    if command.notes:
        lines += ["", command.notes]
    rows = [
        (f"{f'-{o.short}, ' if o.short else ''}--{o.name}{' ' + o.value if o.value else ''}", o.help)
        for o in (*command.options, *EVERYWHERE)
    ]
    wide = max(len(left) for left, _ in rows)
    lines += ["", *(f"  {left:<{wide}}  {right}" for left, right in rows)]
    if command.examples:
        lines += ["", *(f"  $ {example}" for example in command.examples)]
    return "\n".join(lines)
