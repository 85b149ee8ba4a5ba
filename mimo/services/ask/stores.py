"""The stores that can be asked, each through its tool: scopes, limits, deadlines and numbers are those of every call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from mimo.tool import Answer, Call, JsonObject

MEMORIES, FACTS, PROCEDURES = "memories", "facts", "procedures"
# From each store. A reader, be it a person or a model, looks at no more.
MOST = 8
LEAST = 0.1
USER = "user"
_REFERENCE = "procedure:"
_DID_NOT_RUN = "did not run"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that bears on a question. `more` is all that its store says of it."""

    store: str
    id: str
    content: str
    score: float  # 0..1: how likely it bears on the question, or for a fact, how sure it is
    more: JsonObject = field(default_factory=dict[str, Any])

    def told(self) -> dict[str, Any]:
        return {
            **self.more,
            "store": self.store,
            "id": self.id,
            "content": self.content,
            "score": round(self.score, 4),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """The best first. `note` says what did not run, where something did not."""

    pieces: Sequence[Piece] = ()
    note: str = ""


class CallTool(Protocol):
    async def __call__(self, name: str, arguments: object, call: Call, /) -> Answer:
        """Raises only MimoError."""
        ...


# What bears on a question; None when there is no such store yet.
Find: TypeAlias = Callable[[str, Call], Awaitable[Found | None]]
# The things that a text names in a graph; None: there is no such graph.
NamesIn: TypeAlias = Callable[[str, str], Awaitable[Sequence[str] | None]]


@dataclass(frozen=True, slots=True)
class Store:
    name: str
    find: Find


def memories(call_tool: CallTool) -> Store:
    async def find(text: str, call: Call) -> Found:
        asked = {"query": text, "limit": MOST, "format": "json"}
        return _found(MEMORIES, await call_tool("memory_search", asked, call))

    return Store(MEMORIES, find)


def facts(call_tool: CallTool, names_in: NamesIn) -> Store:
    """Of the caller's graph and of that about the person."""

    async def find(text: str, call: Call) -> Found | None:
        found, there = list[Piece](), False
        for graph in dict.fromkeys([call.client.namespace, USER]):
            names = await names_in(text, graph)
            there = there or names is not None
            if not names:  # then the graph would only search the memories, which are asked anyway
                continue
            asked = {"operation": "ask", "text": text, "graph": graph, "limit": MOST, "format": "json"}
            told: Any = (await call_tool("knowledge_ask", asked, call)).data
            found += [_fact(each, graph) for each in told["results"]]
        return Found(found) if there else None

    return Store(FACTS, find)


def procedures(call_tool: CallTool, any_defined: Callable[[], Awaitable[bool]]) -> Store:
    """By name, by what they are for and by what they do: their definitions are memories, too."""

    async def find(text: str, call: Call) -> Found | None:
        if not await any_defined():
            return None
        asked = {"query": text, "limit": MOST, "kinds": ["procedure"], "namespace": USER, "format": "json"}
        found = _found(PROCEDURES, await call_tool("memory_search", asked, call))
        ours = [each for each in found.pieces if _is_procedure(each.more)]
        return Found(ours, found.note)

    return Store(PROCEDURES, find)


def _found(store: str, answer: Answer) -> Found:
    told: Any = answer.data
    # Without its vectors a search goes by words alone, which finds less.
    meaning = told["arms"].get("meaning", "")
    note = f"meaning {meaning}" if meaning.startswith(_DID_NOT_RUN) else ""
    if told["abstained"]:
        return Found(note=note)
    # A search gives its nearest, too; a question wants what bears on it.
    near = [each for n, each in enumerate(told["results"]) if n == 0 or each["score"] >= LEAST]
    return Found([Piece(store, each["id"], each["content"], each["score"], each) for each in near], note)


def _is_procedure(told: JsonObject) -> bool:
    return any(each.startswith(_REFERENCE) for each in told["references"])


def _fact(told: JsonObject, graph: str) -> Piece:
    said = f"{told['subject']} {told['predicate']} {told['object']}"
    return Piece(FACTS, told["id"] or said, said, told["confidence"], {**told, "graph": graph})
