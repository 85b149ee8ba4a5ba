"""Two names that turn out to be one thing, and one that turns out to be two; and both taken back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import apsw

from mimo.errors import Conflict, NotFound
from mimo.storage.sql import rows, run, run_many, value
from mimo.storage.triples.changes import touch, unsupport
from mimo.storage.triples.names import add_alias, entity, make_entities


def merge(db: apsw.Connection, graph: str, gone: str, into: str, actor: str, now: int) -> dict[str, Any]:
    """What was said of `gone` is said of `into` from now on, and its names are names of it.

    Raises:
        NotFound: one of them is not there. Conflict: they are the same.
    """
    one, other = entity(db, graph, gone), entity(db, graph, into)
    if one is None or other is None:
        raise NotFound(f"nothing here is called {(gone if one is None else into)[:80]!r}")
    if one.id == other.id:
        raise Conflict(f"{gone[:80]!r} and {into[:80]!r} are the same already")
    before = _rewrite(db, graph, one.name, other.name, None, now)
    aliases = rows(db, "SELECT key, alias FROM entity_aliases WHERE entity_id = ? ORDER BY id", (one.id,))
    kept = {row[0] for row in rows(db, "SELECT key FROM entity_aliases WHERE entity_id = ?", (other.id,))}
    run(db, "DELETE FROM entities WHERE id = ?", (one.id,))
    for _, alias in aliases:
        add_alias(db, graph, other.name, alias)
    before |= {
        "gone": [one.name, one.type],
        "into": other.name,
        "aliases": [alias for _, alias in aliases],
        "added": [key for key, _ in aliases if key not in kept],
    }
    _remember(db, graph, "merged", f"{one.name} into {other.name}", before, actor, now)
    return {"moved": len(before["triples"]), "doubled": len(before["retired"]), "into": other.name}


def split(
    db: apsw.Connection,
    graph: str,
    name: str,
    new: str,
    ids: Sequence[int],
    aliases: Sequence[str],
    actor: str,
    now: int,
) -> dict[str, Any]:
    """These facts of a thing, and these names, are of a new thing from now on.

    Raises:
        NotFound: there is no such thing, or one of the facts is not of it. Conflict: the new name is taken.
    """
    old = entity(db, graph, name)
    if old is None:
        raise NotFound(f"nothing here is called {name[:80]!r}")
    if entity(db, graph, new) is not None:
        raise Conflict(f"{new[:80]!r} is there already; choose a new name, or merge", name=new[:80])
    mine = {
        row[0]
        for row in rows(
            db,
            "SELECT id FROM semantic_triples WHERE id IN (SELECT value FROM json_each(?)) AND +graph_id = ?"
            " AND retired_at IS NULL AND origin = 'asserted' AND (subject = ? OR object = ?)",
            (json.dumps(list(ids)), graph, old.name, old.name),
        )
    }
    if missing := [id_ for id_ in ids if id_ not in mine]:
        raise NotFound(
            f"{len(missing)} of the facts are not of {name[:80]!r}; nothing was changed", ids=missing
        )
    make_entities(db, graph, [(new, old.type)], now)
    before = _rewrite(db, graph, old.name, new, list(ids), now)
    moved = [alias for alias in aliases if alias in old.aliases]
    for alias in moved:
        run(db, "DELETE FROM entity_aliases WHERE entity_id = ? AND alias = ?", (old.id, alias))
        add_alias(db, graph, new, alias)
    before |= {"from": old.name, "new": new, "aliases": moved}
    _remember(db, graph, "split", f"{new} from {old.name}", before, actor, now)
    return {"moved": len(before["triples"]), "aliases": moved}


def undo(db: apsw.Connection, graph: str, now: int) -> str | None:
    """The last merge or split that still stands is taken back; what it was, or None."""
    found = rows(
        db,
        "SELECT id, op, told, before FROM entity_events WHERE graph_id = ? AND undone = 0 ORDER BY id DESC LIMIT 1",
        (graph,),
    )
    if not found:
        return None
    id_, op, told, text = found[0]
    before = json.loads(text)
    if op == "merged":
        name, type_ = before["gone"]
        for key in before["added"]:
            run(
                db,
                "DELETE FROM entity_aliases WHERE graph_id = ? AND key = ? AND entity_id ="
                " (SELECT id FROM entities WHERE graph_id = ? AND name = ?)",
                (graph, key, graph, before["into"]),
            )
        make_entities(db, graph, [(name, type_)], now)
        for alias in before["aliases"]:
            add_alias(db, graph, name, alias)
    triples: list[list[Any]] = before["triples"]
    unsupport(db, [row[0] for row in triples])
    run_many(
        db,
        "UPDATE semantic_triples SET subject = ?, object = ? WHERE id = ?",
        [(subject, object_, triple) for triple, subject, object_ in triples],
    )
    run_many(
        db,
        "UPDATE semantic_triples SET retired_at = NULL, retired_why = NULL WHERE id = ? AND retired_why = 'merged'",
        [(triple,) for triple in before["retired"]],
    )
    if op == "split":
        for alias in before["aliases"]:
            add_alias(db, graph, before["from"], alias)
        left = value(
            db,
            "SELECT EXISTS (SELECT 1 FROM semantic_triples WHERE subject = ?1 AND +graph_id = ?2)"
            " OR EXISTS (SELECT 1 FROM semantic_triples WHERE object = ?1 AND +graph_id = ?2)",
            (before["new"], graph),
        )
        if not left:  # nobody has said anything of it since
            run(db, "DELETE FROM entities WHERE graph_id = ? AND name = ?", (graph, before["new"]))
    run(db, "UPDATE entity_events SET undone = 1 WHERE id = ?", (id_,))
    touch(db, graph)
    return f"{op} {told}"


def _rewrite(
    db: apsw.Connection, graph: str, name: str, new: str, only: Sequence[int] | None, now: int
) -> dict[str, Any]:
    """Puts one name in the place of another. What then stands twice is believed once."""
    found: list[Any] = []
    for column in ("subject", "object"):
        found += rows(
            db,
            "SELECT id, subject, predicate, object, valid_from, valid_to FROM semantic_triples"  # noqa: S608
            f" WHERE {column} = ? AND +graph_id = ? AND retired_at IS NULL AND origin = 'asserted'",
            (name, graph),
        )
    chosen = {row[0]: row for row in found if only is None or row[0] in only}
    unsupport(db, list(chosen))
    run_many(
        db,
        "UPDATE semantic_triples SET subject = ?, object = ? WHERE id = ?",
        [
            (new if subject == name else subject, new if object_ == name else object_, id_)
            for id_, subject, _, object_, _, _ in chosen.values()
        ],
    )
    retired: list[int] = []
    for id_, subject, predicate, object_, since, until in chosen.values():
        s, o = new if subject == name else subject, new if object_ == name else object_
        twin = cast(
            "int | None",
            value(
                db,
                "SELECT min(id) FROM semantic_triples WHERE subject = ? AND predicate = ? AND object = ?"
                " AND +graph_id = ? AND retired_at IS NULL AND origin = 'asserted' AND valid_from IS ? AND valid_to IS ?"
                " AND id <> ?",
                (s, predicate, o, graph, since, until, id_),
            ),
        )
        loops = s == o and subject != object_  # what related the two to each other relates nothing now
        if twin is not None or loops:
            run(
                db,
                "UPDATE semantic_triples SET retired_at = ?, retired_why = 'merged' WHERE id = ?",
                (now, id_),
            )
            retired.append(id_)
    touch(db, graph)
    return {"triples": [[id_, row[1], row[3]] for id_, row in chosen.items()], "retired": retired}


def _remember(
    db: apsw.Connection, graph: str, op: str, told: str, before: dict[str, Any], actor: str, now: int
) -> None:
    run(
        db,
        "INSERT INTO entity_events (graph_id, op, at, actor, told, before) VALUES (?, ?, ?, ?, ?, ?)",
        (graph, op, now, actor, told[:500], json.dumps(before)),
    )
