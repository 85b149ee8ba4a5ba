"""The operations of the tool `procedure` (declared in doorstep.py), each handed to the part that does the work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Any

import trio

from mimo.errors import Forbidden, InvalidArguments, NotFound
from mimo.services.procedures import texts
from mimo.services.procedures.arguments import HELP, READING, Look, Procedure
from mimo.services.procedures.happenings import Again, Interrupt, Pause, Resume, Signalled
from mimo.services.procedures.live import run_of
from mimo.services.procedures.registry import Registry
from mimo.services.procedures.runner import Runner
from mimo.services.procedures.runs import ENDED, Phase, Run, Status
from mimo.services.procedures.starting import Starting
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored
from mimo.storage.procedures.runs import Row
from mimo.tool import Answer, Call, Client

STATUSES = tuple(status.value for status in Status)


class Procedures:
    """The operations, over the parts that do the work."""

    def __init__(self, database: Database, registry: Registry, starting: Starting, runner: Runner) -> None:
        self._database = database
        self._registry = registry
        self._starting = starting
        self._runner = runner
        self._operations: Mapping[str, Callable[[Procedure, Call], Awaitable[Answer]]] = {
            "help": self._help,
            "define": self._define,
            "validate": self._validate,
            "list": self._list,
            "get": self._get,
            "run": self._run,
            "status": self._status,
            "signal": self._signal,
            "interrupt": self._interrupt,
            "history": self._history,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "deactivate": self._deactivate,
        }

    async def use(self, asked: Procedure, call: Call) -> Answer:
        return await self._operations[asked.operation](asked, call)

    async def look(self, asked: Look, call: Call) -> Answer:
        if asked.operation not in READING:
            raise Forbidden(
                f"{asked.operation} changes something; it is an operation of the tool 'procedure'"
            )
        return await self.use(asked, call)

    async def begin(self, name: str, given: Mapping[str, Any], client: Client, key: str | None = None) -> int:
        """A run of the latest version, for our own programs; the same key gives the same run."""
        return await self._starting.start(name, None, given, client, key)

    async def found(self, id_: int) -> tuple[Row, Run]:
        """A run as it was saved last.

        Raises:
            NotFound: there is none.
        """
        row = await self._database.read(stored.found, id_)
        if row is None:
            raise NotFound(f"no run r{id_}; 'list' shows the procedures, and with status their runs")
        return row, run_of(row)

    async def _help(self, asked: Procedure, call: Call) -> Answer:
        if asked.format == "json":
            from mimo.services.procedures.definition import published_schema

            return _answer(asked, HELP, {"help": HELP, "schema": published_schema()})
        return Answer.text(HELP)

    async def _define(self, asked: Procedure, call: Call) -> Answer:
        name, version, new = await self._registry.define(await self._given(asked), call.client)
        said = f"defined {name} {version}" if new else f"{name} {version} is defined, and as this is"
        return _answer(asked, f"{said}. Run it: procedure(operation=\"run\", name=\"{name}\")",
                       {"name": name, "version": version, "new": new})  # fmt: skip

    async def _validate(self, asked: Procedure, call: Call) -> Answer:
        try:
            problems = await self._registry.problems(await self._given(asked))
        except InvalidArguments as error:
            if "problems" not in error.details:
                raise
            text = error.message.partition("; ")[0]
            told_of: Any = error.details["problems"] or [{"place": "", "problem": text}]
            return _answer(asked, error.message, {"valid": False, "problems": told_of})
        told = [{"place": each.place, "problem": each.text} for each in problems]
        return _answer(asked, texts.problems_text(problems), {"valid": not told, "problems": told})

    async def _list(self, asked: Procedure, call: Call) -> Answer:
        if asked.status is not None or asked.name is not None:
            return await self._list_runs(asked)
        kept = await self._registry.all()
        told = [texts.kept_data(each, json.loads(each.body).get("description", "")) for each in kept]
        text = "\n".join(map(texts.kept_text, told)) or "no procedures yet; 'help' says how to define one"
        return _answer(asked, text, {"procedures": told})

    async def _list_runs(self, asked: Procedure) -> Answer:
        if asked.status not in (None, *STATUSES):
            raise InvalidArguments(
                f"status is one of {', '.join(STATUSES)} (got {asked.status!r})", field="status"
            )
        kept = {each.id: each for each in await self._registry.all()}
        ids = [id_ for id_, each in kept.items() if each.name == asked.name]
        if asked.name is not None and not ids:
            await self._registry.look_up(asked.name, None)  # says what is nearest
        behind = asked.behind() or stored.NEWEST
        rows = await self._database.read(stored.listed, asked.status, ids, asked.limit + 1, behind)
        rows, more = rows[: asked.limit], len(rows) > asked.limit
        told = [
            texts.row_data(
                row,
                kept[row.definition_id].name,
                f"{kept[row.definition_id].major}.{kept[row.definition_id].minor}",
            )
            for row in rows
        ]
        after = f"r{rows[-1].id}-{rows[-1].changed_at}" if more else None
        text = "\n".join(map(texts.row_text, told)) or "no such runs"
        return _answer(asked, texts.and_more(text, after), {"runs": told, "after": after})

    async def _get(self, asked: Procedure, call: Call) -> Answer:
        current = None
        if asked.run is not None:
            row, current = await self.found(asked.run_id())
            definition = await self._registry.of(row.definition_id)
            kept, _ = await self._registry.look_up(definition.name, definition.version)
        else:
            kept, definition = await self._registry.look_up(asked.named(), asked.version)
        if asked.format in {"mermaid", "svg"}:
            from mimo.services.procedures import pictures

            lit = None if current is None else current.state
            picture = (pictures.mermaid if asked.format == "mermaid" else pictures.svg)(definition, lit)
            return Answer.text(picture, data={asked.format: picture})
        data = {**texts.kept_data(kept, definition.description), "definition": json.loads(kept.body)}
        return _answer(asked, texts.definition_text(kept, definition), data)

    async def _run(self, asked: Procedure, call: Call) -> Answer:
        id_ = await self._starting.start(
            asked.named(), asked.version, asked.input, call.client, asked.key or call.key
        )
        await self._wait(id_, asked.wait, call)
        return await self._told(asked, id_)

    async def _status(self, asked: Procedure, call: Call) -> Answer:
        return await self._told(asked, asked.run_id())

    async def _signal(self, asked: Procedure, call: Call) -> Answer:
        if asked.event is None:
            raise InvalidArguments("signal needs event", fields=["event"])
        signal = Signalled(asked.event, asked.data, _kept_key(asked.key or call.key, call.client))
        said = await self._runner.ask(asked.run_id(), signal)
        told = {
            "kept": "kept until the run asks for it",
            "blocked": "no guard lets it through at the moment; it has changed nothing",
        }.get(said, "taken")
        more = {"outcome": said or "taken"}
        if said == "kept" and (doubt := await self._doubt(asked.run_id(), asked.event)):
            told, more["warning"] = f"kept, but {doubt}", doubt
        return await self._told(asked, asked.run_id(), f"{asked.event}: {told}", **more)

    async def _doubt(self, id_: int, event: str) -> str:
        """What to say of an event that the run will never ask for: it may be misspelled."""
        from mimo.services.procedures.definition import asked_for

        row, _ = await self.found(id_)
        definition = await self._registry.of(row.definition_id)
        known = asked_for(definition)
        if event in known:
            return ""
        if near := get_close_matches(event, known, 1):
            instead = f"did you mean {near[0]!r}?"
        else:
            instead = f"they ask for {', '.join(known)}" if known else "its states ask for no event"
        return f"no state of {definition.name} {definition.version} asks for it; {instead}"

    async def _interrupt(self, asked: Procedure, call: Call) -> Answer:
        await self._runner.ask(asked.run_id(), Interrupt(asked.rollback))
        return await self._told(asked, asked.run_id())

    async def _pause(self, asked: Procedure, call: Call) -> Answer:
        await self._runner.ask(asked.run_id(), Pause())
        return await self._told(asked, asked.run_id())

    async def _resume(self, asked: Procedure, call: Call) -> Answer:
        await self._runner.ask(asked.run_id(), Resume())
        return await self._told(asked, asked.run_id())

    async def _retry(self, asked: Procedure, call: Call) -> Answer:
        await self._runner.ask(asked.run_id(), Again(asked.state))
        return await self._told(asked, asked.run_id())

    async def _history(self, asked: Procedure, call: Call) -> Answer:
        behind = asked.line()
        await self.found(asked.run_id())
        lines = await self._database.read(stored.history, asked.run_id(), behind, asked.limit + 1)
        lines, more = lines[: asked.limit], len(lines) > asked.limit
        after = lines[-1].number if more else None
        if any(each.kind == "child" for each in lines):
            lines = texts.with_children(lines, await self._children(asked.run_id()))
        data = {"run": asked.run, "history": texts.history_data(lines), "after": after}
        return _answer(asked, texts.and_more(texts.history_text(lines), after), data)

    async def _deactivate(self, asked: Procedure, call: Call) -> Answer:
        gone = await self._registry.deactivate(asked.named(), asked.version, call.client)
        said = (
            f"deactivated {asked.name} {', '.join(gone)}" if gone else f"{asked.name} was deactivated already"
        )
        return _answer(asked, f"{said}; what runs finishes", {"name": asked.name, "versions": gone})

    async def _given(self, asked: Procedure) -> Any:
        if asked.definition is not None:
            return asked.definition
        if asked.text is not None:
            return await self._registry.parse(asked.text, asked.name or "")
        raise InvalidArguments(f"{asked.operation} needs definition; 'help' shows one", fields=["definition"])

    async def _wait(self, id_: int, seconds: float, call: Call) -> None:
        """Until it has ended, or waits for somebody. Says meanwhile how far it is."""
        with trio.move_on_after(seconds):
            changed = self._runner.changed(id_)
            _, run = await self.found(id_)
            while True:
                if run.status in ENDED or run.status in {Status.INTERRUPTED, Status.NEEDS_ATTENTION}:
                    break
                if any(each.events for each in run.activities) and run.status is Status.WAITING:
                    break
                await call.outlet.progress(float(run.entries), None, f"{run.state}: {run.status.value}")
                run, changed = await changed.wait()

    async def _told(self, asked: Procedure, id_: int, before: str = "", **more: Any) -> Answer:
        row, run = await self.found(id_)
        definition = await self._registry.of(row.definition_id)
        with_child = any(each.phase in {Phase.CHILD, Phase.LEAVING} for each in run.activities)
        children: texts.Children = await self._children(id_) if with_child else {}
        text = texts.run_text(row, run, definition, children)
        data = {**texts.run_data(row, run, definition, children), **more}
        return _answer(asked, f"{before}\n{text}" if before else text, data)

    async def _children(self, id_: int) -> texts.Children:
        found = await self._database.read(stored.children_of, id_)
        return {(step, attempt): child for step, attempt, child in found}


def _kept_key(key: str | None, client: Client) -> str:
    """What a run keeps of a key: keys may be long, and two clients may choose the same."""
    if key is None:
        return ""
    return hashlib.sha256(f"{client.namespace} {key}".encode()).hexdigest()[:24]


def _answer(asked: Procedure, text: str, data: Mapping[str, Any]) -> Answer:
    if asked.format == "json":
        return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
    return Answer.text(text)
