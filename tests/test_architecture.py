"""The house plan of docs/ARCHITECTURE.md, as a test: who may open whose door, and what must not be there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
LEAVES = {"errors", "record", "tool", "home", "trust", "supervision", "resilience", "observability"}
MAY_OPEN = {
    "protocol": {"errors", "tool"},
    "transports": {"protocol", "gateway"} | LEAVES,
    "gateway": LEAVES,
    "services": {"storage", "vector", "embedding"} | LEAVES,
    "storage": LEAVES,
    "vector": LEAVES,
    "embedding": LEAVES,
    "tool": {"errors", "record"},
    "errors": set[str](),
    "record": set[str](),
    "home": set[str](),
    "trust": set[str](),
    "supervision": {"errors"},
    "resilience": {"errors"},
    "observability": {"errors"},
}
# What one folder of a room may open beyond that: a client of other servers speaks their protocol, too.
MAY_ALSO_OPEN = {"services/skills": {"protocol"}}
MAY_OPEN_THE_CORE = {"vector", "embedding", "cli"}
LIVES_IN = {
    "quart": "transports/http",
    "quart_trio": "transports/http",
    "hypercorn": "transports/http",
    "trio_websocket": "transports/websocket",
    "apsw": "storage/",
}
# Services may know those before them.
SERVICES = ["memory", "graph", "procedures", "codebase", "skills", "ask"]
NOT_IN_THIS_HOUSE = {"utils", "helpers", "common", "core", "base", "types", "constants", "managers", "misc"}
FILES = sorted((HOUSE / "mimo").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            if node.module == "mimo":
                yield from (f"mimo.{alias.name}" for alias in node.names if alias.name != "__version__")
            else:
                yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_nobody_opens_a_door_that_is_not_theirs(path: Path) -> None:
    where = path.relative_to(HOUSE / "mimo")
    room = where.parts[0].removesuffix(".py")
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "mimo":
            other = rest.split(".")[0]
            if room in MAY_OPEN:
                also = MAY_ALSO_OPEN.get("/".join(where.parts[:2]), set[str]())
                assert other in MAY_OPEN[room] | also | {room}, f"{where} opens {name}"
            if room not in {"app", "cli", "daemon", "__main__", "bridge"}:
                assert other not in {"app", "cli", "daemon"}, f"{where} opens {name}"
            if room == other == "services" and len(where.parts) > 2 and "." in rest:
                mine, theirs = where.parts[1], rest.split(".")[1]
                assert SERVICES.index(theirs) <= SERVICES.index(mine), f"{where} opens {name}"
        if top == "mimo_core":
            assert room in MAY_OPEN_THE_CORE, f"{where} opens {name}"
        if top in LIVES_IN:
            assert str(where).startswith(LIVES_IN[top]), f"{top} lives in {LIVES_IN[top]}, not in {where}"
        if room == "protocol":
            assert top not in {"trio", "anyio", "logging", "time", "socket"}, (
                f"protocol/ is pure: {where} opens {name}"
            )
        assert top != "asyncio", f"{where}: our code runs on Trio"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_a_file_is_one_room(path: Path) -> None:
    where = path.relative_to(HOUSE)
    assert not NOT_IN_THIS_HOUSE & {part.removesuffix(".py") for part in where.parts[1:]}, where
    text = path.read_text()
    assert text.startswith('"""'), f"{where}: the first line says the purpose"
    lines = text.count("\n")
    assert lines <= 400, f"{where} has {lines} lines: it is more than one room"


def test_mimo_core_knows_only_numpy() -> None:
    for path in [*(HOUSE / "mimo_core").glob("*.py"), *(HOUSE / "mimo_core").glob("*.pyx")]:
        for name in re.findall(
            r"^\s*(?:from|import|cimport)\s+([A-Za-z_][\w.]*)", path.read_text(), re.MULTILINE
        ):
            assert name.split(".")[0] != "mimo", f"{path.name} opens {name}"


def test_a_folder_has_more_than_one_file() -> None:
    for folder in {path.parent for path in FILES}:
        files = [path for path in folder.iterdir() if path.suffix in {".py", ".sql"} or path.is_dir()]
        assert len(files) > 1, f"{folder.relative_to(HOUSE)}: a folder with one file"


def test_nothing_is_caught_to_be_logged_only() -> None:
    """`except BaseException` and bare `except` are not ours: cancellation passes."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                named = node.type
                bare = named is None or (isinstance(named, ast.Name) and named.id == "BaseException")
                reraises = any(isinstance(part, ast.Raise) for part in ast.walk(node))
                assert not bare or reraises, f"{path.relative_to(HOUSE)}:{node.lineno} swallows cancellation"
