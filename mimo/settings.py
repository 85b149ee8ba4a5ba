"""Reading what a person has chosen: where each choice came from, and a clear sentence for a wrong one.

Sources, the later the stronger: defaults, `/etc/mimo/config.toml`, the user's
`~/.config/mimo/config.toml`, `config.toml` in the data directory (it reaches a client that was
started with a stripped environment), the project's `.mimo.toml`, `MIMO_SECTION__KEY` in the
environment, flags. A repository is not trusted, so its file may set `FROM_A_PROJECT` only.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mimo.choices import Settings
from mimo.errors import Unusable
from mimo.home import Home

SYSTEM_FILE = "/etc/mimo/config.toml"
PROJECT_FILE = ".mimo.toml"
FROM_A_PROJECT = frozenset({"namespace"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `default`, a file and perhaps a line in it, a variable, or a flag."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


DEFAULT = Origin("default")
Origins: TypeAlias = Mapping[str, Origin]  # by dotted key: "storage.readers"


def load(
    home: Home,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> tuple[Settings, Origins]:
    """The settings, and the origin of each. `flags` maps dotted keys to text.

    A daemon serves many projects and passes no `cwd`; then no project file is read.

    Raises:
        Unusable: a file cannot be read, a key is unknown, or a value does not fit.
    """
    environ = os.environ if environ is None else environ
    chosen: dict[str, tuple[Any, Origin]] = {}
    for path in files(home, environ, cwd):
        chosen.update(_from_file(path, only=FROM_A_PROJECT if path.endswith(PROJECT_FILE) else None))
    for name, text in sorted(environ.items()):
        key = name.removeprefix("MIMO_").lower().replace("__", ".")
        # Without "__" only a key of the top level is ours: MIMO_HOME and its like are no settings.
        if name.startswith("MIMO_") and ("__" in name or key in Settings.model_fields):
            chosen[key] = _read(key, text, Origin(name)), Origin(name)
    for key, text in (flags or {}).items():
        origin = Origin(f"--set {key}")
        chosen[key] = _read(key, text, origin), origin
    settings = _validated(chosen)
    return settings, MappingProxyType({key: chosen.get(key, (None, DEFAULT))[1] for key in _KEYS})


def files(home: Home, environ: Mapping[str, str], cwd: str | None = None) -> list[str]:
    """The settings files that may be there, weakest first. Only those named here are ever read."""
    config = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(config):
        config = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    found = [SYSTEM_FILE, os.path.join(config, "mimo", "config.toml"), os.path.join(home, "config.toml")]
    project = project_file(cwd) if cwd else None
    return [*found, project] if project else found


def project_file(cwd: str) -> str | None:
    """The nearest `.mimo.toml` from here upward; the root of a repository is the last place to look."""
    place = os.path.abspath(cwd)
    while True:
        path = os.path.join(place, PROJECT_FILE)
        if os.path.isfile(path):
            return path
        above = os.path.dirname(place)
        if above == place or os.path.exists(os.path.join(place, ".git")):
            return None
        place = above


def shown(settings: Settings) -> dict[str, Any]:
    """Every value by its dotted key, secrets hidden."""
    values: dict[str, Any] = {}
    for key in _KEYS:
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        values[key] = str(value) if isinstance(value, SecretStr) else value
    return values


def describe(key: str) -> str:
    """What a setting is for, in a few words."""
    return _KEYS[key].description or ""


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


_KEYS: Mapping[str, FieldInfo] = MappingProxyType(dict(_leaves(Settings)))


def _from_file(path: str, only: frozenset[str] | None) -> dict[str, tuple[Any, Origin]]:
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise Unusable(f"cannot read the settings file {path} (it is no regular file); move it away")
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unusable(
            f"cannot read the settings file {path} ({error.strerror}); make it readable"
        ) from error
    except UnicodeDecodeError as error:
        raise Unusable(f"the settings file {path} is not UTF-8 text; save it as UTF-8") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unusable(f"the settings file {path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise Unusable(f"the settings file {path} is nested too deeply") from error
    found: dict[str, tuple[Any, Origin]] = {}
    for key, value in _flat(tree):
        origin = Origin(path, _line_of(text, key))
        if only is not None and key in _KEYS and key not in only:
            raise Unusable(
                f"{key} cannot be set by a project ({origin}), only {', '.join(sorted(only))}: "
                "a repository is not trusted; move it to your own settings file",
                setting=key,
            )
        _require_known(key, origin, _KEYS if only is None else only)
        found[key] = value, origin
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        is_section = any(known.startswith(f"{key}.") for known in _KEYS)
        if isinstance(value, dict) and (is_section or key not in _KEYS) and value:
            yield from _flat(cast("dict[str, Any]", value), f"{key}.")
        elif is_section and not isinstance(value, dict):
            yield key, value  # a word where a table belongs: refused by name
        elif not is_section:
            yield key, value


def _line_of(text: str, key: str) -> int | None:
    """Where a key stands, as far as that can be seen without parsing again."""
    section, _, name = key.rpartition(".")
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("["):
            here = line.strip("[] \t").split("]")[0].replace(" ", "").replace('"', "")
            if here == key:
                return number
            continue
        written = line.partition("=")[0].replace(" ", "").replace('"', "").strip()
        if written in {key, name} and (f"{here}.{written}" if here else written) == key:
            return number
        if section and here == "" and written == section:
            return number
    return None


def _require_known(key: str, origin: Origin, allowed: Mapping[str, Any] | frozenset[str]) -> None:
    if key in allowed:
        return
    from difflib import get_close_matches

    nearest = get_close_matches(key, allowed, 1, 0.6) or [
        known for known in allowed if known.rpartition(".")[2] == key.rpartition(".")[2]
    ]
    cure = f"did you mean {nearest[0]}?" if nearest else "'mimo config show' lists all"
    raise Unusable(f"unknown setting {key} ({origin}); {cure}", setting=key)


def _read(key: str, text: str, origin: Origin) -> Any:
    """Text from outside as the key's type; what does not fit stays text, and is refused with the rest."""
    _require_known(key, origin, _KEYS)
    try:
        annotation: Any = _KEYS[key].annotation
        fits: Any = TypeAdapter[Any](annotation).validate_strings(text)
        return fits
    except ValidationError:
        return text


def _validated(chosen: Mapping[str, tuple[Any, Origin]]) -> Settings:
    tree: dict[str, Any] = {}
    for key, (value, _) in chosen.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        sentences: list[str] = []
        first = error.errors(include_url=False)[0]
        for problem in error.errors(include_url=False):
            key = next(
                key
                for key in (".".join(map(str, problem["loc"][:n])) for n in range(len(problem["loc"]), 0, -1))
                if key in chosen
            )
            value, origin = chosen[key]
            is_secret = _KEYS[key].annotation is SecretStr
            got = "a secret" if is_secret else repr(value)
            says = problem["msg"].removeprefix("Input ").replace("should be", "must be")
            sentences.append(f"{key} {says} (got {got}, {origin})")
        raise Unusable(
            "; ".join(dict.fromkeys(sentences)), setting=".".join(map(str, first["loc"]))
        ) from error
