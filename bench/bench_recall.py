"""How well questions find their answers, beside plain FTS5 in the same run.

    python bench/bench_recall.py DATASET [--json] [--ablation] [--unanswerable] [--leave-one-out]

Everything goes through a daemon and its public tools: what is asked about is added in batches with references and
sessions, and searched with `format: "json"`. `why` gives each feature's part of each hit, so without asking anew it
can be said how the hits would stand without a feature (--ablation), or with weights that were fitted to all parts of the
dataset but the one that is asked (--leave-one-out).

A dataset is either a list of conversations in LoCoMo's form, or JSON lines: {"namespace", "items": [{"reference",
"content", "session"?, "position"?, "created_at"?}], "questions": [{"question", "expected": [reference, ...]}]}.
It is read from the path that is given and never kept. Recall is the share of the expected references that are
among the first 5 or 10; MRR looks at the first of them.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
from bench_memory import served, wait_for_vectors

from mimo.cli.client import Daemon
from mimo.services.memory.ranking import FEATURES, Weights, vector_of
from mimo.services.memory.relevance import THRESHOLD
from mimo.storage.engrams.traits import BINDING
from mimo.storage.sql import rows, run

DEPTHS = (5, 10)
BATCH = 64
PAGE = 50  # as many hits as one answer gives
SHIPPED = vector_of(Weights())
USED = np.flatnonzero(SHIPPED)  # a feature that is worth nothing leaves no trace in `why`


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


def judged(found: Sequence[str], expected: frozenset[str]) -> list[float]:
    first = next((1 / (at + 1) for at, reference in enumerate(found) if reference in expected), 0.0)
    return [*(len(set(found[:depth]) & expected) / len(expected) for depth in DEPTHS), first]


def figures(judgements: Sequence[Sequence[float]]) -> dict[str, float]:
    r5, r10, mrr = np.mean(judgements, 0)
    return {"R@5": round(100 * float(r5), 1), "R@10": round(100 * float(r10), 1), "MRR": round(float(mrr), 3)}


@dataclass(frozen=True)
class Answered:
    part: str
    asked: Asked
    references: list[list[str]]  # of each hit, in the order of the answer
    features: npt.NDArray[np.float32]  # a row a hit
    relevance: float
    seconds: float

    @property
    def found(self) -> list[str]:
        return [reference for hit in self.references for reference in hit]

    def ordered(self, weights: npt.NDArray[np.float32]) -> list[str]:
        order = np.argsort(-(self.features @ weights), kind="stable")
        return [reference for at in order for reference in self.references[at]]


def put(daemon: Daemon, part: Part) -> None:
    for at in range(0, len(part.items), BATCH):
        items = [
            {
                "content": item.content,
                "reference": item.reference,
                "created_at": item.created_at / 1000,
                **({} if item.session is None else {"session": item.session}),
                **({} if item.position is None or item.session is None else {"position": item.position}),
            }
            for item in part.items[at : at + BATCH]
        ]
        daemon.tool("memory_add", {"items": items, "namespace": part.namespace, "key": f"batch {at}"})


def ask(daemon: Daemon, namespace: str, asked: Asked) -> Answered:
    begun = time.perf_counter()
    answer = daemon.tool(
        "memory_search",
        {"query": asked.question, "namespace": namespace, "limit": PAGE, "why": True, "format": "json"},
    )
    seconds = time.perf_counter() - begun
    hits = json.loads(answer.text)
    features = np.zeros((len(hits["results"]), len(FEATURES)), np.float32)
    for row, hit in enumerate(hits["results"]):
        for name, part in hit["why"].items():
            at = FEATURES.index(name)
            features[row, at] = part / SHIPPED[at]
    references = [hit["references"] for hit in hits["results"]]
    return Answered(namespace, asked, references, features, hits["relevance"], seconds)


def answers(parts: list[Part], unanswerable: bool) -> tuple[list[Answered], list[Answered]]:
    answered: list[Answered] = []
    strange: list[Answered] = []
    with (
        tempfile.TemporaryDirectory(prefix="mimo-") as folder,
        served(folder) as (home, _, _),
        Daemon(home) as daemon,
    ):
        for part in parts:
            put(daemon, part)
        wait_for_vectors(daemon)
        for n, part in enumerate(parts):
            answered += [ask(daemon, part.namespace, asked) for asked in part.questions]
            if unanswerable and len(parts) > 1:
                others = parts[(n + 1) % len(parts)].questions
                strange += [ask(daemon, part.namespace, asked) for asked in others]
    return answered, strange


def fitted(answered: Sequence[Answered]) -> npt.NDArray[np.float32]:
    """The weights under which the expected hits of these are the likeliest, by a softmax over each question's hits.

    Adam, from no weights at all, on each feature's scale. To climb by recall itself, which moves in steps, ends on
    another of many small peaks whenever a question is added.
    """
    table = np.zeros((len(answered), PAGE, len(USED)), np.float32)
    wanted = np.zeros((len(answered), PAGE), np.float32)
    there = np.zeros((len(answered), PAGE), np.bool_)
    for row, one in enumerate(answered):
        table[row, : len(one.features)] = one.features[:, USED]
        there[row, : len(one.features)] = True
        for at, references in enumerate(one.references):
            wanted[row, at] = bool(one.asked.expected & set(references))
    some = wanted.any(axis=1)
    table, wanted, there = table[some], wanted[some], there[some]
    wanted /= wanted.sum(axis=1, keepdims=True)
    spread = np.maximum(table[there].std(axis=0), 1e-3)
    table /= spread
    weights, mean, square = (np.zeros(len(USED), np.float32) for _ in range(3))
    for step in range(1, 301):
        sums = np.where(there, table @ weights, -np.inf)
        share = np.exp(sums - sums.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        slope = np.tensordot(share - wanted, table, 2) / len(table) + 1e-3 * weights
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope * slope
        weights -= 0.08 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    found = np.zeros(len(FEATURES), np.float32)
    found[USED] = weights / spread
    return found


def left_out(answered: Sequence[Answered]) -> dict[str, float]:
    """Each part with weights that were fitted to the others."""
    judgements: list[list[float]] = []
    for name in dict.fromkeys(one.part for one in answered):
        weights = fitted([one for one in answered if one.part != name])
        judgements += [
            judged(one.ordered(weights), one.asked.expected) for one in answered if one.part == name
        ]
    return figures(judgements)


def curve(answered: Sequence[Answered], strange: Sequence[Answered]) -> Iterator[dict[str, float]]:
    """At thresholds that keep so many of the hits, how many of the unanswerable questions are told "nothing"."""
    hits = [one.relevance for one in answered if set(one.found[:10]) & one.asked.expected]
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
    parser.add_argument("--ablation", action="store_true", help="the same hits without each feature")
    parser.add_argument(
        "--unanswerable", action="store_true", help="ask each part the next part's questions too"
    )
    parser.add_argument(
        "--leave-one-out", action="store_true", help="fit weights to all parts but one, in turn"
    )
    given = parser.parse_args()
    parts = load(given.dataset)
    floor = [
        judged(found, asked.expected)
        for part in parts
        for found, asked in zip(plain_fts5(part), part.questions, strict=True)
    ]
    answered, strange = answers(parts, given.unanswerable)
    report: dict[str, Any] = {
        "questions": len(answered),
        "items": sum(len(part.items) for part in parts),
        "plain FTS5": figures(floor),
        "mimo": figures([judged(one.found, one.asked.expected) for one in answered]),
        "told nothing, of these": round(float(np.mean([one.relevance < THRESHOLD for one in answered])), 3),
        "search p50 ms": round(1000 * float(np.median([one.seconds for one in answered])), 1),
    }
    if given.ablation:
        for at in USED:
            without = SHIPPED.copy()
            without[at] = 0
            report[f"without {FEATURES[at]}"] = figures(
                [judged(one.ordered(without), one.asked.expected) for one in answered]
            )
    if given.leave_one_out and len(parts) > 1:
        report["leave one out"] = left_out(answered)
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
