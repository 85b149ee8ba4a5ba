"""From JSON, or a text, to a definition; or to every problem that it has, each with its place."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from mimo.errors import InvalidArguments
from mimo.services.procedures.checking import Find, Problem, problems_in
from mimo.services.procedures.definition import STATE, Definition, Header, State
from mimo.services.procedures.doubled import Objects

# Larger machines are written by programs, and read by nobody.
LONGEST = 256 * 1024
SMALL = 4 * 1024
DEEPEST = 40
MOST_STATES = 500
SHOWN = 10
Read: TypeAlias = Callable[[], Any]
_STATE_NAME = TypeAdapter[str](str)


@dataclass(frozen=True, slots=True)
class Canonical:
    """A definition, the one text of it that all its spellings have, and that text's hash."""

    definition: Definition
    text: str
    hash: bytes


def read(raw: object, find: Find, *, small: bool = False) -> Canonical:
    """The definition that this is. `find` gives a tool and its schema; `small`: it is known not to be too large.

    Raises:
        InvalidArguments: it is none; `details["problems"]` are all that was found.
    """
    if not small and (complaint := _too_large(raw)):
        raise refusal([Problem("", complaint)])
    definition, problems = _judged(raw, find)
    if definition is None:
        raise refusal(problems)
    return canonical(definition)


def problems_of(raw: object, find: Find) -> Sequence[Problem]:
    """All of them; none is a definition that can be registered."""
    if complaint := _too_large(raw):
        return [Problem("", complaint)]
    return _judged(raw, find)[1]


def canonical(definition: Definition) -> Canonical:
    plain = definition.model_dump(mode="json", exclude_defaults=True)
    # Defaults that decide what kind of thing it is are part of the text, whoever wrote them.
    plain["version"] = definition.version
    text = json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return Canonical(definition, text, hashlib.sha256(text.encode()).digest())


def kept(text: str, hash_: bytes) -> Definition:
    """What was registered before: checked by its hash, not judged again.

    Raises:
        ValueError: it is not what was kept.
    """
    if hashlib.sha256(text.encode()).digest() != hash_:
        raise ValueError("the definition is not what was registered: its hash differs")
    return Definition.model_validate_json(text)


def from_text(text: str, name: str = "") -> Any:
    """JSON; or YAML, for a name that ends so.

    Raises:
        InvalidArguments: it is none.
    """
    is_yaml = name.endswith((".yaml", ".yml"))
    # JSON may be spread over lines, and is read a hundred times as fast.
    longest = LONGEST if is_yaml else 2 * LONGEST
    if len(text) > longest:
        raise refusal([Problem("", f"at most {longest:,} characters (got {len(text):,})")])
    objects = Objects()
    value = _parsed(text, objects, is_yaml=is_yaml)
    problems = [
        _problem("", way, f"{_shown(name)!r} stands twice in one object", "doubled", None)
        for way, name in objects.doubled(value)
    ]
    if problems:
        raise refusal(problems)
    return value


def refusal(problems: Sequence[Problem]) -> InvalidArguments:
    told = [str(each) for each in problems[:SHOWN]]
    if len(problems) > SHOWN:
        told.append(f"and {len(problems) - SHOWN} more")
    return InvalidArguments(
        "this is no procedure that could run: " + "; ".join(told),
        problems=[{"place": each.place, "problem": each.text} for each in problems[:200]],
    )


def _judged(raw: object, find: Find) -> tuple[Definition | None, Sequence[Problem]]:
    if not isinstance(raw, Mapping):
        return None, [Problem("", "a definition is an object")]
    if (fits := _whole(cast("Mapping[str, Any]", raw))) is not None:
        found = list(problems_in(fits, fits.states, fits.states.keys(), find, whole=True))
        return (None, found) if found else (fits, [])
    given = dict(cast("Mapping[str, Any]", raw))
    problems: list[Problem] = []
    raw_states = given.pop("states", None)
    header = _fitting(Header, given, "", problems)
    states: dict[str, State] = {}
    torn: dict[str, State] = {}  # those of which a part could be read
    if not isinstance(raw_states, Mapping) or not raw_states:
        problems.append(Problem("states", "must be an object with at least one state"))
    elif len(cast("Mapping[str, Any]", raw_states)) > MOST_STATES:
        problems.append(Problem("states", f"at most {MOST_STATES} (got {len(raw_states):,})"))  # pyright: ignore[reportUnknownArgumentType]
    else:
        for name, state in cast("Mapping[str, Any]", raw_states).items():
            if not _is_name(name):
                problems.append(Problem(f"states.{_shown(name)}", f"a state's name matches {STATE}"))
            elif (fits := _fitting(State, state, f"states.{name}", problems)) is not None:
                states[name] = fits
            elif (rest := _rest_of(State, state)) is not None:
                torn[name] = rest
        whole = len(states) == len(cast("Mapping[str, Any]", raw_states))
        known = frozenset(map(str, cast("Mapping[str, Any]", raw_states)))
        top = header or _rest_of(Header, given, {"name": "unknown", "initial": next(iter(known))})
        if top is not None:
            problems += problems_in(top, states, known, find, whole=whole, torn=torn)
    if problems or header is None:
        return None, problems
    return Definition(**{name: getattr(header, name) for name in Header.model_fields}, states=states), []


def _whole(raw: Mapping[str, Any]) -> Definition | None:
    """At one go, which is what most are: only what has problems is taken to pieces, for their places."""
    states: object = raw.get("states")
    if not isinstance(states, dict) or not all(map(_is_name, states)):  # pyright: ignore[reportUnknownArgumentType]
        return None
    try:
        return Definition.model_validate_json(json.dumps(raw, allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        return None


def _fitting(model: type[Any], raw: object, place: str, problems: list[Problem]) -> Any:
    """The model, or None and why."""
    checked = cast("type[BaseModel]", model)
    try:
        # As JSON: there a list is a sequence, and what is no JSON is refused.
        return checked.model_validate_json(json.dumps(raw, allow_nan=False))
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            problems.append(_problem(place, tuple(each["loc"]), each["msg"], each["type"], each["input"]))
    except (ValueError, TypeError, RecursionError) as error:
        problems.append(Problem(place, f"not JSON: {str(error)[:80]}"))
    return None


def _rest_of(model: type[Any], raw: object, otherwise: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """What is left of it without the fields that do not fit, or None: what else is wrong is to be told, too."""
    if not isinstance(raw, Mapping):
        return None
    rest = {**otherwise, **cast("Mapping[str, Any]", raw)}
    for _ in range(2):  # without some fields others may not fit any more
        problems: list[Problem] = []
        if (fits := _fitting(model, rest, "", problems)) is not None:
            return fits
        for problem in problems:
            rest.pop(re.split(r"[.\[]", problem.place, maxsplit=1)[0], None)
        rest = {**otherwise, **rest}
    return None


def _problem(place: str, loc: tuple[str | int, ...], message: str, type_: str, value: object) -> Problem:
    where = place
    for part in loc:
        where += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" if where else _shown(part)
    match type_:
        case "missing":
            return Problem(where, "is missing")
        case "extra_forbidden":
            return Problem(where, "nothing is called so here")
        case "string_pattern_mismatch":
            return Problem(where, f"{message[0].lower()}{message[1:]} (got {_shown(str(value))!r})")
        case _:
            return Problem(where, message[0].lower() + message[1:])


def _is_name(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(STATE, name) is not None and name.isascii()


def _shown(text: object) -> str:
    """Ours is plain ASCII: what looks like another name, or turns the line around, is written out."""
    plain = str(text).encode("ascii", "backslashreplace").decode()
    plain = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in plain)
    return plain if len(plain) <= 64 else f"{plain[:61]}..."


def is_small(raw: object) -> bool:
    """Is reading it a matter of a millisecond, for which no thread is worth its while?"""
    return not _too_large(raw, SMALL)


def _too_large(raw: object, most: int = LONGEST) -> str:
    """Looked at no further than to the limit, so that ten megabytes cost what a quarter of one does."""
    left = most
    todo: list[tuple[object, int]] = [(raw, 0)]
    while todo:
        each, depth = todo.pop()
        if depth > DEEPEST:
            return f"nested more than {DEEPEST} deep"
        if isinstance(each, str):
            left -= len(each)
            continue
        if isinstance(each, dict):
            inside = cast("dict[object, object]", each)
            depth += 1
            for name, value in islice(inside.items(), most):
                # Of most values there is nothing but their length to know.
                left -= (len(name) if isinstance(name, str) else 8) + (
                    len(value) if isinstance(value, str) else 0
                )
                if not isinstance(value, str):
                    todo.append((value, depth))
        elif isinstance(each, list | tuple):
            todo += [(value, depth + 1) for value in islice(cast("Sequence[object]", each), most)]
        left -= 4
        if left < 0:
            break
    return (
        f"a definition has at most {LONGEST:,} characters; split it into procedures that call each other"
        if left < 0
        else ""
    )


def _parsed(text: str, objects: Objects, *, is_yaml: bool) -> Any:
    if is_yaml:
        from mimo.services.procedures.yaml_text import read_yaml

        return read_yaml(text, objects)
    try:
        return json.loads(text, object_pairs_hook=objects.made, parse_constant=_no_constant)
    except RecursionError:
        raise refusal([Problem("", f"nested more than {DEEPEST} deep")]) from None
    except ValueError as error:
        raise refusal([Problem("", f"not JSON: {error}")]) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
