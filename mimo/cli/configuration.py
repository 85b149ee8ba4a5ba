"""`mimo config show`: every setting, its value, and where that came from."""

import os
from collections.abc import Iterable

from mimo.cli.terminal import OK, paint, say, say_json, table
from mimo.cli.words import Words, Wrong
from mimo.settings import DEFAULT, describe, files, load, shown


def show(words: Words) -> int:
    cwd = here()
    settings, origins = load(words.home, os.environ, chosen(words.all("set")), cwd)
    values = shown(settings)
    read = [(path, os.path.isfile(path)) for path in files(words.home, os.environ, cwd)]
    if words.has("json"):
        say_json(
            {
                "settings": {key: {"value": v, "origin": str(origins[key])} for key, v in values.items()},
                "files": [{"path": path, "found": found} for path, found in read],
            }
        )
        return OK
    rows = [(key, _written(v), str(origins[key]), describe(key)) for key, v in values.items()]
    for line, key in zip(table(rows).splitlines(), values, strict=True):
        say(line if origins[key] != DEFAULT else paint(line, "dim"))
    say()
    for path, found in read:
        say(f"  {path}{'' if found else '  (not there)'}")
    return OK


def here() -> str | None:
    """The directory we stand in; None if it has been removed under us."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def chosen(pairs: Iterable[str]) -> dict[str, str]:
    """`--set KEY=VALUE` words, by key."""
    flags: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Wrong(f"--set takes KEY=VALUE, as storage.readers=4, not {pair!r}")
        flags[key] = value
    return flags


def _written(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'
