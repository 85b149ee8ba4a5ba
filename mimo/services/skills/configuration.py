"""`skills.json`: which other MCP servers there are, and how each is started. Read from a file of ours, and from nowhere else.

The form is the one that clients know, `{"<name>": {"command": ..., "args": [...]}}`, also within `mcpServers`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mimo.errors import Unusable
from mimo.services.skills.fields import FIELDS, Problem, is_comment
from mimo.services.skills.names import PREFIX, RESERVED, prefix_of

# A person has a dozen; a file that large was not written by one.
LARGEST_FILE = 1 << 20
MOST_SKILLS = 1000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
WRAPPERS = ("mcpServers", "servers", "skills")
# Whatever else a program is started with, it is told where home is and how to speak.
PASSED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Declared:
    """One skill, as the file has it: a command to start, or an address to ask."""

    name: str
    prefix: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: frozenset[str] = frozenset()
    enabled: bool = True
    expose: bool = False
    approve: bool = False
    timeout: float | None = None
    idle: float | None = None

    @property
    def digest(self) -> str:
        """A hash of what decides which server this is. What was learned of another one does not count."""
        decides = [self.command, self.args, dict(self.env), self.cwd, self.url, dict(self.headers)]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def shown(self) -> str:
        """How it is started, for people. What is in its environment and headers is not shown."""
        return self.url or " ".join((self.command, *self.args))

    def expanded(self, text: str, environ: Mapping[str, str]) -> str:
        """The text with `${NAME}` filled in from our environment, for the names that the file lists.

        Raises:
            Unusable: a variable is not set.
        """

        def value(found: re.Match[str]) -> str:
            if found[1] not in environ:
                raise Unusable(f"skill {self.name}: the variable {found[1]} is not set for the daemon")
            return environ[found[1]]

        return _VARIABLE.sub(value, text)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """All that its process gets to see of ours, and what the file adds."""
        given = {name: environ[name] for name in PASSED if name in environ}
        return given | {name: self.expanded(text, environ) for name, text in self.env.items()}


class Faulty(Unusable):
    """The file cannot be used as it is. `problems` are all of them, each with its place."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        told = "; ".join(str(each) for each in problems[:10])
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        super().__init__(f"{path}: {told}{more}")
        self.problems = problems


def read(path: str) -> dict[str, Declared]:
    """Every skill by its name, in the file's order; none when there is no file.

    Raises:
        Faulty: with all problems.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Faulty(path, [Problem("", f"cannot be read: {error.strerror}")]) from error
    if len(data) > LARGEST_FILE:
        raise Faulty(path, [Problem("", f"is larger than {LARGEST_FILE >> 20} MiB")])
    try:
        tree = json.loads(data.decode(), object_pairs_hook=_no_doubles)
    except UnicodeDecodeError as error:
        raise Faulty(path, [Problem("", "is not UTF-8 text")]) from error
    except RecursionError as error:
        raise Faulty(path, [Problem("", "is nested too deeply")]) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Faulty(path, [Problem(place, error.msg)]) from error
    except _Double as error:
        raise Faulty(path, [Problem(str(error), "is there twice")]) from error
    problems = list[Problem]()
    found = list(_skills(tree, problems))
    problems += _clashes(found)
    if problems:
        raise Faulty(path, problems)
    return {each.name: each for each in found}


def unwrapped(tree: dict[str, Any]) -> dict[str, Any]:
    """The object that holds the skills: all of it, or what clients put them into."""
    for wrapper in WRAPPERS:
        inner = tree.get(wrapper)
        if isinstance(inner, dict):
            held = cast("dict[str, Any]", inner)
            if "command" not in held and "url" not in held:
                return held
    return tree


class _Double(ValueError):
    pass


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    for key, _ in pairs:
        if not is_comment(key) and sum(other == key for other, _ in pairs) > 1:
            raise _Double(key)
    return members


def _skills(tree: Any, problems: list[Problem]) -> Iterator[Declared]:
    if not isinstance(tree, dict):
        problems.append(Problem("", 'must be an object, {"<name>": {"command": ...}}'))
        return
    held = unwrapped(cast("dict[str, Any]", tree))
    if len(held) > MOST_SKILLS:
        problems.append(Problem("", f"holds {len(held)} skills; at most {MOST_SKILLS} are possible"))
        return
    for name, said in held.items():
        if isinstance(said, str):  # a comment
            continue
        if not NAME.fullmatch(name) or name != name.strip():
            problems.append(Problem(name[:70], "is no name: 1..64 letters, digits, '.', '_', '-' or spaces"))
        elif not isinstance(said, dict):
            problems.append(Problem(name, "must be an object"))
        else:
            before = len(problems)
            values = _values(name, cast("dict[str, Any]", said), problems)
            if len(problems) == before:
                yield Declared(**values)


def _values(name: str, said: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    values: dict[str, Any] = {"name": name}
    for key, value in said.items():
        if is_comment(key) and isinstance(value, str):
            continue
        place = f"{name}.{key}"
        if key in IGNORED:
            continue
        if key not in FIELDS:
            problems.append(Problem(place, f"is not known; there are {', '.join(FIELDS)}"))
            continue
        wrong = list(FIELDS[key].problems(place, value))
        problems += wrong
        if not wrong:
            values[key] = FIELDS[key].frozen(value)
    if ("command" in said) == ("url" in said):
        problems.append(Problem(name, 'needs either "command" or "url"'))
    for key in ("args", "env", "cwd"):
        if "url" in said and key in said:
            problems.append(Problem(f"{name}.{key}", 'goes with "command", not with "url"'))
    if "headers" in said and "url" not in said:
        problems.append(Problem(f"{name}.headers", 'goes with "url"'))
    prefix = values.setdefault("prefix", prefix_of(name))
    if prefix and not PREFIX.fullmatch(prefix):
        problems.append(
            Problem(f"{name}.prefix", "has at most 16 letters, digits, '_' or '-', a letter first")
        )
    elif prefix.lower() in RESERVED:
        problems.append(Problem(f"{name}.prefix", f"{prefix!r} is the prefix of mimo's own tools"))
    problems += _variables(name, values)
    return values


def _variables(name: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    listed = values.get("variables", frozenset[str]())
    for each in sorted(listed):
        if each.upper().startswith("MIMO_"):
            yield Problem(f"{name}.variables", f"{each} is the daemon's own and not passed on")
    texts = [(f"args[{n}]", text) for n, text in enumerate(values.get("args", ()))]
    texts += [("command", values.get("command", "")), ("url", values.get("url", ""))]
    for kind in ("env", "headers"):
        texts += [(f"{kind}.{key}", text) for key, text in values.get(kind, {}).items()]
    for place, text in texts:
        for variable in _VARIABLE.findall(text):
            if variable not in listed:
                yield Problem(
                    f"{name}.{place}", f'uses ${{{variable}}}: list it under "variables" of this skill'
                )


def _clashes(found: list[Declared]) -> Iterator[Problem]:
    """Two prefixes of which one begins the other's names would let one skill pass for the other."""
    seen: dict[str, str] = {}
    for each in found:
        for prefix, other in seen.items():
            mine, theirs = f"{each.prefix}_".lower(), f"{prefix}_".lower()
            if each.prefix == prefix or (
                each.prefix and prefix and (mine.startswith(theirs) or theirs.startswith(mine))
            ):
                yield Problem(
                    f"{each.name}.prefix",
                    f"{each.prefix!r} and {prefix!r} (of {other}) begin the same names; choose another",
                )
        seen.setdefault(each.prefix, each.name)


def path_in(home: str) -> str:
    return os.path.join(home, "skills.json")


# What clients write beside it, and what means nothing here.
IGNORED = frozenset({"type", "transport", "name", "description", "autoApprove", "alwaysAllow"})
