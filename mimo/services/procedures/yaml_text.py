"""YAML, as far as it says what JSON says: no tags, no aliases, no dates, and `on` is a word. Needs the optional PyYAML."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from mimo.errors import InvalidArguments, Unavailable
from mimo.services.procedures.doubled import Objects

# YAML 1.2's own JSON-like schema: in YAML 1.1 `on` would be true and 22:30 a number.
_SCALARS = (
    ("bool", r"true|false", "tf"),
    ("int", r"-?(?:0|[1-9][0-9]{0,17})", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
    ("null", r"null|~|", ["n", "~", ""]),
)


def read_yaml(text: str, objects: Objects) -> Any:
    """What the text says, as JSON would have it.

    Raises:
        InvalidArguments: it is no YAML, or says more than JSON can.
        Unavailable: PyYAML is not installed.
    """
    try:
        yaml: Any = import_module("yaml")
    except ImportError as error:
        raise Unavailable(
            "YAML needs PyYAML (pip install 'mimo[yaml]'); the same as JSON needs nothing"
        ) from error

    safe: Any = yaml.SafeLoader

    class Loader(safe):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own way)

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent):
                _refuse(yaml, event, "aliases (*name) are not read: a few lines of them become gigabytes")
            if getattr(event, "tag", None) is not None:
                _refuse(yaml, event, "tags (!name) are not read: write the value as JSON has it")
            return safe.compose_node(self, parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            for name, _ in node.value:
                if not isinstance(name.value, str):
                    _refuse(yaml, name, "names are plain words")
            return objects.made(
                [(name.value, self.construct_object(value, deep=True)) for name, value in node.value]
            )

    for kind, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{kind}", re.compile(rf"^(?:{pattern})$"), list(first)
        )
    for kind in ("timestamp", "binary", "set", "omap", "pairs", "merge"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.construct_undefined)
    Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_mapping)
    loader: Any = None
    try:
        loader = Loader(text)  # a safe one, made stricter
        return loader.get_single_data()
    # What PyYAML raises for a text is its own error, or whatever its Python stumbled over.
    except Exception as error:
        raise _refusal(error, None if loader is None else loader.get_mark()) from error


def _refuse(yaml: Any, what: Any, why: str) -> None:
    raise yaml.MarkedYAMLError(problem=why, problem_mark=what.start_mark)


def _refusal(error: Exception, reached: Any) -> InvalidArguments:
    """With the place that the error names, or else how far the text had been read."""
    mark: Any = getattr(error, "problem_mark", None) or reached
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
    said = getattr(error, "problem", None) or str(error) or type(error).__name__
    said = " ".join(str(said).split()).encode("ascii", "backslashreplace").decode()[:300]
    return InvalidArguments(
        f"this is no procedure that could run: {f'{place}: ' * bool(place)}not YAML: {said}",
        problems=[{"place": place, "problem": f"not YAML: {said}"}],
    )
