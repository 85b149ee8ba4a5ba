"""How well questions find their answers, beside plain FTS5 in the same run.

    python bench/bench_recall.py DATASET [--json] [--ablation] [--unanswerable]

A dataset is either a list of conversations in LoCoMo's form, or JSON lines: {"namespace", "items": [{"reference",
"content", "session"?, "position"?, "created_at"?}], "questions": [{"question", "expected": [reference, ...]}]}.
It is read from the path that is given and never kept. Recall is the share of the expected references that are
among the first 5 or 10; MRR looks at the first of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import trio

from mimo.embedding.box import Box
from mimo.home import Home
from mimo.services.memory.found import Question
from mimo.services.memory.ranking import FEATURES, Weights, vector_of
from mimo.services.memory.relevance import THRESHOLD
from mimo.services.memory.search import Search
from mimo.services.memory.weighing import Weighed
from mimo.services.memory.words import extra_of
from mimo.storage.database import Database
from mimo.storage.engram_search import Filter, references_of
from mimo.storage.engram_traits import BINDING, keep_traits
from mimo.storage.sql import rows, run, value
from mimo.vector import Row, Segment, to_blob

DEPTHS = (5, 10)
BATCH = 64


@dataclass(frozen=True)
class Item:
    reference: str
    content: str
    session: str | None
    position: int | None
    created_at: int


@dataclass(frozen=True)
class Asked:
    question: str
    expected: frozenset[str]


@dataclass(frozen=True)
class Part:
    namespace: str
    items: tuple[Item, ...]
    questions: tuple[Asked, ...]


def load(path: Path) -> list[Part]:
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        return [locomo(f"conversation-{n}", one) for n, one in enumerate(json.loads(text))]
    return [plain(json.loads(line)) for line in text.splitlines() if line.strip()]


def plain(one: dict[str, Any]) -> Part:
    items = tuple(
        Item(
            item["reference"],
            item["content"],
            item.get("session"),
            item.get("position"),
            milliseconds(item.get("created_at")),
        )
        for item in one["items"]
    )
    asked = tuple(Asked(q["question"], frozenset(q["expected"])) for q in one["questions"] if q["expected"])
    return Part(one["namespace"], items, asked)


def milliseconds(moment: str | None) -> int:
    if moment is None:
        return int(time.time() * 1000)
    return int(datetime.fromisoformat(moment).astimezone(UTC).timestamp() * 1000)


def locomo(namespace: str, one: dict[str, Any]) -> Part:
    talk = one["conversation"]
    items: list[Item] = []
    for session in sorted(
        (key for key in talk if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:])
    ):
        begun = datetime.strptime(talk[f"{session}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for position, turn in enumerate(talk[session]):
            caption = f" [shares {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            content = f"{turn['speaker']}: {turn.get('text') or ''}{caption}"
            at = int(begun.timestamp() * 1000) + position * 1000
            items.append(Item(turn["dia_id"], content, session, position, at))
    known = {item.reference for item in items}
    asked: list[Asked] = []
    for qa in one["qa"]:
        named = {id_ for listed in qa["evidence"] for id_ in re.split(r"[;,\s]+", listed)}
        if qa["category"] in (1, 2, 3, 4) and named & known:
            asked.append(Asked(qa["question"], frozenset(named & known)))
    return Part(namespace, tuple(items), tuple(asked))


def plain_fts5(part: Part) -> list[list[str]]:
    """The floor: one FTS5 table, the question's words (without the binding ones) joined by OR, bm25."""
    db = apsw.Connection(":memory:")
    run(db, "CREATE VIRTUAL TABLE f USING fts5(content, tokenize = 'porter unicode61 remove_diacritics 2')")
    for n, item in enumerate(part.items):
        run(db, "INSERT INTO f (rowid, content) VALUES (?, ?)", (n, item.content))
    found: list[list[str]] = []
    for asked in part.questions:
        words = re.findall(r"[^\W_]+", asked.question.lower())
        match = " OR ".join(f'"{word}"' for word in [w for w in words if w not in BINDING] or words)
        hits = rows(db, "SELECT rowid FROM f WHERE f MATCH ? ORDER BY rank LIMIT 50", (match,))
        found.append([part.items[row].reference for (row,) in hits])
    return found


def insert(db: apsw.Connection, model: str, namespace: str, items: Sequence[Item], vectors: Any) -> None:
    run(db, "INSERT OR IGNORE INTO namespaces (name, created_at) VALUES (?, 0)", (namespace,))
    run(db, "INSERT OR IGNORE INTO embedding_models (name, dim) VALUES (?, ?)", (model, vectors.shape[1]))
    number = value(db, "SELECT id FROM embedding_models WHERE name = ?", (model,))
    for item, vector in zip(items, vectors, strict=True):
        at, extra = item.created_at, extra_of(item.content)
        id_ = value(
            db,
            "INSERT INTO engrams (namespace, content, extra, content_hash, session, position, state_since, created_at,"
            " stored_at, changed_at, accessed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (namespace, item.content, extra, hashlib.sha256(item.content.encode()).digest(), item.session,
             item.position, at, at, at, at, at),
        )  # fmt: skip
        run(
            db,
            "INSERT INTO engram_origins (engram_id, reference, created_at, stored_at) VALUES (?, ?, ?, ?)",
            (id_, item.reference, at, at),
        )
        run(db, "INSERT INTO engram_vectors VALUES (?, ?, ?, ?)", (id_, number, len(vector), to_blob(vector)))
        run(db, "DELETE FROM embedding_queue WHERE engram_id = ?", (id_,))
        keep_traits(db, [(id_, item.content, extra)])


def vectors_of(db: apsw.Connection) -> list[Row]:
    sql = """
        SELECT v.engram_id, v.vector, n.id FROM engram_vectors v
        JOIN engrams e ON e.id = v.engram_id JOIN namespaces n ON n.name = e.namespace
    """
    return [Row(*row) for row in rows(db, sql)]


def judged(found: Sequence[str], expected: frozenset[str]) -> list[float]:
    first = next((1 / (at + 1) for at, reference in enumerate(found) if reference in expected), 0.0)
    return [*(len(set(found[:depth]) & expected) / len(expected) for depth in DEPTHS), first]


def figures(judgements: Sequence[Sequence[float]]) -> dict[str, float]:
    r5, r10, mrr = np.mean(judgements, 0)
    return {"R@5": round(100 * float(r5), 1), "R@10": round(100 * float(r10), 1), "MRR": round(float(mrr), 3)}


@dataclass(frozen=True)
class Answered:
    asked: Asked
    references: list[tuple[str, ...]]
    weighed: Weighed

    def ordered(self, weights: Weights) -> list[str]:
        order = np.argsort(-(self.weighed.features @ vector_of(weights)), kind="stable")
        return [reference for at in order for reference in self.references[at]]

    @property
    def relevance(self) -> float:
        return float(self.weighed.relevance.max()) if len(self.weighed.relevance) else 0.0


async def answers(
    parts: list[Part], unanswerable: bool
) -> tuple[list[Answered], list[Answered], list[float]]:
    box = Box()
    answered: list[Answered] = []
    strange: list[Answered] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Home(Path(folder) / "home"))
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            for part in parts:
                for at in range(0, len(part.items), BATCH):
                    batch = part.items[at : at + BATCH]
                    embedded = await box.embed([item.content for item in batch])
                    await database.write(insert, box.model, part.namespace, batch, embedded)
            segment = Segment(box.model, box.dim, limiter=trio.CapacityLimiter(1))
            await segment.rebuild(await database.read(vectors_of))
            search = Search(database, box, lambda: segment, clock=time.time)

            async def ask(namespace: str, asked: Asked) -> Answered:
                begun = time.perf_counter()
                weighed, _ = await search.weigh(Question(asked.question, Filter((namespace,))))
                seconds.append(time.perf_counter() - begun)
                references = await database.read(references_of, weighed.ids)
                return Answered(asked, [references.get(id_, ()) for id_ in weighed.ids], weighed)

            for n, part in enumerate(parts):
                for asked in part.questions:
                    answered.append(await ask(part.namespace, asked))
                if unanswerable and len(parts) > 1:
                    for asked in parts[(n + 1) % len(parts)].questions:
                        strange.append(await ask(part.namespace, asked))
            nursery.cancel_scope.cancel()
    return answered, strange, seconds


def curve(answered: Sequence[Answered], strange: Sequence[Answered]) -> Iterator[dict[str, float]]:
    """At thresholds that keep so many of the hits, how many of the unanswerable questions are told "nothing"."""
    hits = [one.relevance for one in answered if set(one.ordered(Weights())[:10]) & one.asked.expected]
    for kept in (0.99, 0.98, 0.95, 0.9, 0.8):
        threshold = float(np.quantile(hits, 1 - kept))
        nothing = float(np.mean([one.relevance < threshold for one in strange]))
        yield {"threshold": round(threshold, 3), "kept": kept, "nothing": round(nothing, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ablation", action="store_true", help="again without each arm")
    parser.add_argument(
        "--unanswerable", action="store_true", help="ask each part the next part's questions too"
    )
    given = parser.parse_args()
    parts = load(given.dataset)
    floor = [
        judged(found, asked.expected)
        for part in parts
        for found, asked in zip(plain_fts5(part), part.questions, strict=True)
    ]
    answered, strange, seconds = trio.run(answers, parts, given.unanswerable)

    def measured(weights: Weights) -> dict[str, float]:
        return figures([judged(one.ordered(weights), one.asked.expected) for one in answered])

    report: dict[str, Any] = {
        "questions": len(answered),
        "items": sum(len(part.items) for part in parts),
        "plain FTS5": figures(floor),
        "mimo": measured(Weights()),
        "told nothing, of these": round(float(np.mean([one.relevance < THRESHOLD for one in answered])), 3),
        "search p50 ms": round(1000 * float(np.median(seconds)), 1),
    }
    if given.ablation:
        for name in FEATURES:
            if getattr(Weights(), name):
                report[f"without {name}"] = measured(replace(Weights(), **{name: 0.0}))
    if strange:
        report["abstaining"] = list(curve(answered, strange))
    if given.json:
        print(json.dumps(report))
        return
    for name, shown in report.items():
        for line in shown if isinstance(shown, list) else [shown]:
            print(f"{name:22} {line}")


if __name__ == "__main__":
    main()
