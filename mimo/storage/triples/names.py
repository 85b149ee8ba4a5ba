"""Names of what facts are about: looked up exactly, by their words, and made when they are new."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import apsw

from mimo.storage.sql import rows, run, run_many

# So many names that share letters with a mention are looked at closely.
MOST_ALIKE = 60
MOST_BEGINNING = 2_000


@dataclass(frozen=True, slots=True)
class Entity:
    id: int
    name: str
    type: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """What mentions stand for: the names of entities, each mention with one, or with several to choose from."""

    sure: Mapping[str, str]
    torn: Mapping[str, tuple[str, ...]]


def name_key(name: str) -> str:
    """The name without case and accents, with single blanks: what two spellings of one name have in common."""
    if name.isascii():
        return " ".join(name.lower().split())
    flat = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join(flat.casefold().split()) or name


def require_graph(db: apsw.Connection, graph: str, now: int) -> None:
    run(db, "INSERT INTO graphs (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (graph, now))


def named(db: apsw.Connection, graph: str, mentions: Iterable[str]) -> Named:
    """Those of the mentions that are a name or an alias of something in the graph. An exact name wins."""
    wanted = list(dict.fromkeys(mentions))
    exact = {
        row[0]
        for row in rows(
            db,
            "SELECT e.name FROM json_each(?) AS wanted"
            " CROSS JOIN entities AS e ON e.graph_id = ? AND e.name = wanted.value",
            (json.dumps(wanted), graph),
        )
    }
    sure = {mention: mention for mention in wanted if mention in exact}
    open_ = {mention: name_key(mention) for mention in wanted if mention not in exact}
    if not open_:
        return Named(sure, {})
    by_key: dict[str, list[str]] = {}
    for key, name in rows(
        db,
        "SELECT a.key, e.name FROM json_each(?) AS wanted"
        " CROSS JOIN entity_aliases AS a ON a.graph_id = ? AND a.key = wanted.value"
        " CROSS JOIN entities AS e ON e.id = a.entity_id ORDER BY e.id",
        (json.dumps(list(dict.fromkeys(open_.values()))), graph),
    ):
        by_key.setdefault(key, []).append(name)
    torn: dict[str, tuple[str, ...]] = {}
    for mention, key in open_.items():
        found = list(dict.fromkeys(by_key.get(key, ())))
        if len(found) == 1:
            sure[mention] = found[0]
        elif found:
            torn[mention] = tuple(found)
    return Named(sure, torn)


def make_entities(db: apsw.Connection, graph: str, given: Sequence[tuple[str, str]], now: int) -> None:
    """Entities of these names and types, none of which is there yet."""
    run_many(
        db,
        "INSERT INTO entities (graph_id, name, type, created_at) VALUES (?, ?, ?, ?)",
        [(graph, name, type_, now) for name, type_ in given],
    )
    run_many(
        db,
        "INSERT INTO entity_aliases (graph_id, key, alias, entity_id)"
        " SELECT graph_id, ?, name, id FROM entities WHERE graph_id = ? AND name = ?",
        [(name_key(name), graph, name) for name, _ in given],
    )


def give_types(db: apsw.Connection, graph: str, given: Mapping[str, str]) -> None:
    """What had no type so far has one now."""
    run_many(
        db,
        "UPDATE entities SET type = ? WHERE graph_id = ? AND name = ? AND type = ''",
        [(type_, graph, name) for name, type_ in given.items() if type_],
    )


def add_alias(db: apsw.Connection, graph: str, name: str, alias: str) -> bool:
    """Whether it is new. The name must be there."""
    run(
        db,
        "INSERT INTO entity_aliases (graph_id, key, alias, entity_id)"
        " SELECT graph_id, ?, ?, id FROM entities WHERE graph_id = ? AND name = ? ON CONFLICT DO NOTHING",
        (name_key(alias), alias, graph, name),
    )
    return bool(db.changes())


def entity(db: apsw.Connection, graph: str, name: str) -> Entity | None:
    """By its exact name, with all others that it has."""
    found = rows(db, "SELECT id, name, type FROM entities WHERE graph_id = ? AND name = ?", (graph, name))
    if not found:
        return None
    id_, name, type_ = found[0]
    others = rows(db, "SELECT alias FROM entity_aliases WHERE entity_id = ? ORDER BY id", (id_,))
    return Entity(id_, name, type_, tuple(row[0] for row in others if row[0] != name))


def alike(db: apsw.Connection, graph: str, mention: str) -> list[tuple[str, str]]:
    """Names and keys that share letters with the mention, those that share most of them first."""
    key = name_key(mention)
    threes = list(dict.fromkeys(key[at : at + 3] for at in range(min(len(key), 200) - 2)))
    if not threes:
        return []
    match = " OR ".join('"{}"'.format(three.replace('"', '""')) for three in threes if "\0" not in three)
    if not match:
        return []
    # Names begin in many ways: the score is how many threes are shared, which bm25 tells well enough.
    return rows(
        db,
        "SELECT e.name, a.key FROM"
        " (SELECT rowid AS id FROM entity_words WHERE entity_words MATCH ? ORDER BY rank LIMIT ?) AS w"
        " CROSS JOIN entity_aliases AS a ON a.id = w.id AND a.graph_id = ?"
        " CROSS JOIN entities AS e ON e.id = a.entity_id",
        (match, MOST_ALIKE, graph),
    )  # pyright: ignore[reportReturnType]


def begins_alike(db: apsw.Connection, graph: str, mention: str) -> list[tuple[str, str]]:
    """Names and keys with the same first letter and about the same length: a swap in a short name shares no threes."""
    key = name_key(mention)
    if not key:
        return []
    return rows(
        db,
        "SELECT e.name, a.key FROM entity_aliases AS a CROSS JOIN entities AS e ON e.id = a.entity_id"
        " WHERE a.graph_id = ? AND a.key >= ? AND a.key < ? AND length(a.key) BETWEEN ? AND ? LIMIT ?",
        (graph, key[0], chr(min(ord(key[0]) + 1, 0x10FFFF)), len(key) - 2, len(key) + 2, MOST_BEGINNING),
    )  # pyright: ignore[reportReturnType]


def aliases_of(db: apsw.Connection, graph: str, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each of the keys that names exactly one entity: all names of that entity."""
    found: dict[str, dict[int, list[str]]] = {}
    for key, id_, alias in rows(
        db,
        "SELECT a.key, a.entity_id, b.alias FROM json_each(?) AS wanted"
        " CROSS JOIN entity_aliases AS a ON a.graph_id = ? AND a.key = wanted.value"
        " CROSS JOIN entity_aliases AS b ON b.entity_id = a.entity_id ORDER BY b.id",
        (json.dumps(list(keys)), graph),
    ):
        found.setdefault(key, {}).setdefault(id_, []).append(alias)
    return {key: tuple(next(iter(them.values()))) for key, them in found.items() if len(them) == 1}


def newest_names(db: apsw.Connection, graph: str, limit: int) -> list[str]:
    """The newest first."""
    found = rows(db, "SELECT name FROM entities WHERE graph_id = ? ORDER BY id DESC LIMIT ?", (graph, limit))
    return [row[0] for row in found]
