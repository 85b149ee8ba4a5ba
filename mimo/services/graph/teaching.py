"""Teaching: facts, rules and other names, all or nothing, and under the same key only once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from mimo.errors import InvalidArguments
from mimo.observability.events import Events
from mimo.services.graph import news
from mimo.services.graph.arguments import Item, Knowledge
from mimo.services.graph.extraction import Extracted, extracted
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.names import name_of, numbers_of
from mimo.services.graph.reading import Reader
from mimo.services.graph.resolution import Resolution
from mimo.services.graph.rules import MOST_RULES, rule_of
from mimo.services.graph.texts import answer, short
from mimo.services.graph.vocabulary import Vocabulary, normalised
from mimo.services.memory.moments import moment
from mimo.services.memory.names import number_of as engram_number
from mimo.services.memory.secrets import redact
from mimo.storage.answers import Key
from mimo.storage.database import Database
from mimo.storage.triples.changes import drop_rule, matching, retire
from mimo.storage.triples.names import name_key
from mimo.storage.triples.teach import Saying, teach_all
from mimo.tool import Answer, Client

MOST_METADATA = 10_000  # characters
# More than these are told as a number.
SHOWN = 12
MOST_RETRACTED = 1_000
# What a sentence says by its form alone is believed a little less than what is said as a fact.
READ_CONFIDENCE = 0.8


class Teaching:
    def __init__(
        self,
        database: Database,
        graphs: Graphs,
        resolution: Resolution,
        vocabulary: Callable[[], Vocabulary],
        events: Events,
        reader: Reader | None = None,
        *,
        clock: Callable[[], int],
    ) -> None:
        """`reader` finds in texts what their forms do not say; without one, there are the forms."""
        self._database = database
        self._graphs = graphs
        self._resolution = resolution
        self._vocabulary = vocabulary
        self._events = events
        self._reader = reader
        self._clock = clock

    async def teach(self, asked: Knowledge, graph: str, client: Client, key: str | None) -> Answer:
        """Durable when it returns; what follows from it is seen by the next question.

        Raises:
            InvalidArguments, NotFound: one item does not fit; nothing was written.
        """
        now = self._clock()
        sayings = [self._saying(item, client, now, where) for where, item in _items(asked)]
        read, unheard = ([], "") if asked.text is None else await self._read(asked.text, asked.subject)
        sayings += await self._from_text(read, asked, graph, client)
        rules = [rule_of(text, 1.0 if asked.confidence is None else asked.confidence) for text in asked.rules]
        if asked.aliases and asked.subject is None:
            raise InvalidArguments("aliases are other names of a subject; say which", fields=["subject"])
        if not sayings and not rules and not asked.aliases and asked.text is None:
            raise InvalidArguments(
                "nothing to teach: give subject, predicate and object, or triples, text, rules or aliases",
                fields=["triples"],
            )
        graphs = list(dict.fromkeys(asked.graphs)) or [graph]
        kept = None if key is None else _kept(asked, graphs, key)
        told = cast(
            "list[list[Any]]",
            await self._database.write(
                teach_all, graphs, sayings, [(rule.text, rule.confidence) for rule in rules],
                (asked.subject, tuple(asked.aliases)), client.name, now, MOST_RULES, key=kept,
            ),
        )  # fmt: skip
        for at, name in enumerate(graphs):
            mine = told[at]
            self._events.publish(
                news.Taught(
                    name,
                    tuple(name_of(each[0]) for each in mine if each[1] == "added"),
                    tuple(name_of(each[0]) for each in mine if each[1] in {"known", "raised"}),
                    tuple(name_of(old) for each in mine for old in each[4]),
                    client.name,
                )
            )
        return _taught(asked, sayings, told[0], [rule.text for rule in rules], unheard)

    async def retract(self, asked: Knowledge, graph: str, client: Client) -> Answer:
        """What is no longer believed, nor what only followed from it. What it had ended holds again."""
        now = self._clock()
        if asked.rules:
            gone = [
                text
                for text in (rule_of(each).text for each in asked.rules)
                if await self._database.write(drop_rule, graph, text, frees=True)
            ]
            await self._graphs.write_down(graph, now)
            text = f"retracted the rules: {'; '.join(gone)}" if gone else "there were no such rules"
            return answer(asked.format, text, {"rules": gone})
        ids = numbers_of(asked.ids)
        if not ids:
            if asked.subject is None and asked.object is None:
                raise InvalidArguments("retract needs ids, or a subject or object", fields=["ids"])
            means = await self._resolution.exactly(graph, [n for n in (asked.subject, asked.object) if n])
            names = [None if n is None else means[n].name or n for n in (asked.subject, asked.object)]
            predicate = None if asked.predicate is None else normalised(asked.predicate)
            ids = await self._database.read(matching, graph, names[0], predicate, names[1], MOST_RETRACTED)
        gone_ids = await self._database.write(retire, ids, "retracted", now, frees=True)
        missing = [name_of(id_) for id_ in ids if id_ not in gone_ids]
        done = await self._graphs.write_down(graph, now)
        names = [name_of(id_) for id_ in gone_ids]
        if names:
            self._events.publish(news.Retracted(graph, tuple(names), client.name))
        lines = [f"retracted {_some(names)}" if names else "nothing to retract: no such fact is believed"]
        if missing and names:
            lines.append(f"not believed, or concluded only: {_some(missing)}")
        elif missing:
            lines = [f"nothing to retract: {_some(missing)} is not believed, or was concluded only (see why)"]
        return answer(
            asked.format,
            "\n".join(lines),
            {"retracted": names, "missing": missing, "conclusions_withdrawn": done.withdrawn},
        )

    def _saying(self, item: Item, client: Client, now: int, where: str) -> Saying:
        since = None if item.valid_from is None else moment(item.valid_from, f"{where}valid_from")
        until = None if item.valid_to is None else moment(item.valid_to, f"{where}valid_to")
        if since is not None and until is not None and until <= since:
            raise InvalidArguments(f"{where}valid_to must be after valid_from", fields=["valid_to"])
        expires = None if item.expires_at is None else moment(item.expires_at, f"{where}expires_at")
        if item.ttl is not None:
            expires = now + round(item.ttl * 1000)
        metadata = None if item.metadata is None else json.dumps(item.metadata, ensure_ascii=False)
        if metadata is not None and len(metadata) > MOST_METADATA:
            raise InvalidArguments(f"{where}metadata has at most {MOST_METADATA:,} characters as JSON")
        try:
            predicate = normalised(item.predicate)
        except InvalidArguments as error:
            raise InvalidArguments(f"{where}{error.message}", fields=["predicate"]) from error
        saying = Saying(
            item.subject, predicate, item.object, item.subject_type, item.object_type,
            1.0 if item.confidence is None else item.confidence, item.source or "", client.name, item.evidence,
            None if item.engram is None else engram_number(item.engram), since, until, expires, metadata,
            self._vocabulary()[predicate].functional,
        )  # fmt: skip
        return _clean(saying)

    async def _read(self, text: str, about: str | None) -> tuple[list[Extracted], str]:
        """What the text says, and why the language model, if there is one, was not heard."""
        text = redact(text).text
        found = extracted(text, about)
        if self._reader is None:
            return found, ""
        more, why = await self._reader.read(text)
        known = {(name_key(each.subject), each.predicate, name_key(each.object)) for each in found}
        for each in more:
            key = (name_key(each.subject), each.predicate, name_key(each.object))
            if key not in known:
                known.add(key)
                found.append(each)
        return found, why

    async def _from_text(
        self, read: Sequence[Extracted], asked: Knowledge, graph: str, client: Client
    ) -> list[Saying]:
        """What the sentences say, of things that are known where a typo aside they are."""
        mentions = list(dict.fromkeys(name for each in read for name in (each.subject, each.object)))
        means = {mention: await self._resolution.nearby(graph, mention) for mention in mentions[:200]}
        engram = None if asked.engram is None else engram_number(asked.engram)
        confidence = READ_CONFIDENCE if asked.confidence is None else asked.confidence
        found: list[Saying] = []
        for each in read:
            subject, object_ = (
                means[name].name or name if name in means else name for name in (each.subject, each.object)
            )
            found.append(
                Saying(
                    subject, each.predicate, object_, confidence=min(confidence, each.confidence),
                    source=", ".join(filter(None, (asked.source, each.by))) or "text", speaker=client.name, evidence=each.sentence[:2_000],
                    engram_id=engram, functional=self._vocabulary()[each.predicate].functional,
                )
            )  # fmt: skip
        return found


def _items(asked: Knowledge) -> list[tuple[str, Item]]:
    """All facts of a call, each with where it stands; what is said of all is said of each."""
    items: list[tuple[str, Item]] = []
    given = [asked.subject, asked.predicate, asked.object]
    if asked.predicate is not None or asked.object is not None:
        if None in given:
            raise InvalidArguments("a fact has a subject, a predicate and an object", fields=["subject"])
        items.append(("", Item.model_construct(**_common(asked), subject=given[0], predicate=given[1], object=given[2],
                                               subject_type=asked.subject_type, object_type=asked.object_type)))  # fmt: skip
    common = {name: each for name, each in _common(asked).items() if each is not None}
    for at, triple in enumerate(asked.triples):
        lacking = {name: each for name, each in common.items() if getattr(triple, name) is None}
        items.append((f"triples[{at}]: ", triple.model_copy(update=lacking) if lacking else triple))
    return items


def _common(asked: Knowledge) -> dict[str, Any]:
    return {
        "confidence": asked.confidence,
        "source": asked.source,
        "valid_from": asked.valid_from,
        "valid_to": asked.valid_to,
        "ttl": asked.ttl,
        "metadata": asked.metadata,
        "engram": asked.engram,
    }


def _clean(saying: Saying) -> Saying:
    """Secrets have no place in a fact."""
    texts = (saying.subject, saying.object, saying.evidence, saying.metadata or "")
    if sum(map(len, texts)) < 16 or not redact("\n".join(texts)).found:
        return saying
    subject, object_, evidence, metadata = (redact(text).text for text in texts)
    return replace(
        saying, subject=subject, object=object_, evidence=evidence,
        metadata=None if saying.metadata is None else json.dumps({"redacted": True}) if metadata != texts[3] else metadata,
    )  # fmt: skip


def _kept(asked: Knowledge, graphs: Sequence[str], key: str) -> Key:
    told = asked.model_dump(mode="json", exclude_defaults=True, exclude={"key", "format"})
    return Key.of(f"teach {graphs[0][:40]} {key}", list(graphs), told, shown=key)


def _taught(
    asked: Knowledge,
    sayings: Sequence[Saying],
    told: Sequence[Sequence[Any]],
    rules: Sequence[str],
    unheard: str,
) -> Answer:
    results: list[dict[str, Any]] = []
    lines: list[str] = []
    counts: dict[str, int] = {}
    # Under a key that was used, it is told what became of the first time; a model may have read otherwise then.
    same = [each.predicate for each in sayings] == [each[6] for each in told]
    for at, (id_, done, subject, object_, superseded, candidates, predicate) in enumerate(told):
        saying = sayings[at] if same else None
        counts[done] = counts.get(done, 0) + 1
        one: dict[str, Any] = {
            "id": None if id_ is None else name_of(id_),
            "op": "ambiguous" if done == "torn" else done,
            "subject": subject,
            "predicate": predicate,
            "object": object_,
        }
        if superseded:
            one["superseded"] = [name_of(old) for old in superseded]
        if candidates:
            one["candidates"] = candidates
        if saying is not None and saying.evidence:
            one |= {"evidence": saying.evidence, "source": saying.source}
        results.append(one)
        if done != "torn" and len(lines) >= SHOWN:
            continue
        text = f"{short(subject)} {predicate} {short(object_)}"
        if done == "torn":
            lines.append(f"not taught, ambiguous: {text} (could be {', '.join(map(repr, candidates))})")
        else:
            ended = f", ended {', '.join(one['superseded'])}" if superseded else ""
            read = f" (read by {saying.source})" if saying is not None and "llm:" in saying.source else ""
            lines.append(f"{done} {one['id']}: {text}{ended}{read}")
    if len(told) > SHOWN:
        lines.append(f"in all: {', '.join(f'{count} {done}' for done, count in counts.items())}")
    lines += [f"rule: {rule}" for rule in rules]
    if asked.aliases:
        lines.append(f"{short(asked.subject or '')} is also called {', '.join(map(short, asked.aliases))}")
    if not lines:
        lines.append("the text says nothing that has the form of a fact; teach it as triples")
    data: dict[str, Any] = {"results": results, "counts": counts, "rules": list(rules)}
    if unheard:
        lines.append(f"(read by its forms only, not by the language model: {unheard})")
        data["unheard"] = unheard
    return answer(asked.format, "\n".join(lines), data)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
