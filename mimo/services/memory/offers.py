"""What the memory offers besides tools: single memories and contexts as resources, and prompts for a person's menu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from mimo.errors import InvalidArguments, NotFound
from mimo.services.memory import full_texts
from mimo.services.memory.arguments import Search
from mimo.services.memory.context import Context
from mimo.services.memory.finding import Finding
from mimo.services.memory.names import name_of, number_of
from mimo.storage.database import Database
from mimo.storage.engrams.engram import namespaces, newest_ids
from mimo.storage.engrams.history import looked_up
from mimo.tool import Call, Contents, JsonObject, Message, Prompt, PromptArgument, ResourceTemplate

MEMORY, CONTEXT = "mimo://memory/", "mimo://context/"
COMPLETIONS = 20


class Offers:
    def __init__(self, database: Database, finding: Finding, context: Context) -> None:
        self._database = database
        self._finding = finding
        self._context = context

    def things(self) -> Sequence[ResourceTemplate | Prompt]:
        topic = PromptArgument("topic", "what it is about", required=True)
        return [
            ResourceTemplate(
                f"{MEMORY}{{id}}",
                "memory",
                self._read_memory,
                title="A memory",
                description="One memory in full, by its id",
                complete=self._complete_id,
            ),
            ResourceTemplate(
                f"{CONTEXT}{{namespace}}",
                "context",
                self._read_context,
                title="Context of a project",
                description="What matters in a namespace: preferences, decisions, unfinished work",
                complete=self._complete_namespace,
            ),
            Prompt("recall", self._recall, "Recall", "What is known about a topic", (topic,)),
            Prompt(
                "remember",
                self._remember,
                "Remember",
                "Keep something for later sessions",
                (
                    PromptArgument(
                        "what", "what is to be remembered; empty: what matters of this conversation"
                    ),
                ),
            ),
            Prompt(
                "handoff",
                self._handoff,
                "Hand off",
                "Store what the next session needs to go on",
                (PromptArgument("for", "for whom, or for what"),),
            ),
        ]

    async def _read_memory(self, uri: str, call: Call) -> Sequence[Contents]:
        id_ = number_of(unquote(uri.removeprefix(MEMORY)))
        found = await self._database.read(looked_up, [id_], True)
        if not found:
            raise NotFound(f"no memory is called {name_of(id_)}", uri=uri)
        return [Contents(uri, full_texts.looked_up_text(found[0], history=True))]

    async def _read_context(self, uri: str, call: Call) -> Sequence[Contents]:
        namespace = unquote(uri.removeprefix(CONTEXT))
        return [Contents(uri, await self._context.text_of(namespace, call.client))]

    async def _complete_namespace(self, name: str, begun: str, others: JsonObject) -> Sequence[str]:
        return [each for each in await self._database.read(namespaces) if each.startswith(begun)][
            :COMPLETIONS
        ]

    async def _complete_id(self, name: str, begun: str, others: JsonObject) -> Sequence[str]:
        newest = await self._database.read(newest_ids, 1_000)
        return [each for each in map(name_of, newest) if each.startswith(begun)][:COMPLETIONS]

    async def _recall(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        topic = given.get("topic", "").strip()
        if not topic:
            raise InvalidArguments("recall needs a topic", fields=["topic"])
        found = await self._finding.search(Search(query=topic, limit=10, detail="full"), call)
        return _asking(
            f"From my memory, about {topic}:\n\n{found.as_text()}\n\n"
            "Answer from these notes: what is known, since when, and what contradicts. Name the ids you rely on."
        )

    async def _remember(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        what = given.get("what", "").strip()
        return _asking(
            f"Remember this with memory_add, each thing as one self-contained statement:\n\n{what}"
            if what
            else "Go through our conversation. What was decided, preferred, learned or left open, and will matter later?"
            " Store each with memory_add, as one self-contained statement with its kind; leave out what the code says"
            " itself. Then say what you stored."
        )

    async def _handoff(self, given: Mapping[str, str], call: Call) -> Sequence[Message]:
        to = given.get("for", "").strip() or "the next session"
        return _asking(
            f"Hand over to {to}: with one memory_add, store what was done (kind episode), what was decided and why"
            " (decision), and what is to be done next, with the exact place where to go on (plan, tagged handoff)."
            " Supersede plans that are done. Then show the ids."
        )


def _asking(text: str) -> Sequence[Message]:
    return [Message("user", {"type": "text", "text": text})]
