"""New runs: from a name and an input to a first turn that is saved; and children, begun once however often asked for."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mimo.errors import Conflict, InvalidArguments, MimoError
from mimo.services.procedures.calling import client_json, trouble_of
from mimo.services.procedures.happenings import Bear, Began, Failed, Resume
from mimo.services.procedures.live import Live, ended_child, run_of, saved_of
from mimo.services.procedures.registry import Registry
from mimo.services.procedures.runner import Runner
from mimo.services.procedures.runs import ENDED, Trouble
from mimo.services.procedures.written import MOST_NESTED, is_deep
from mimo.storage.answers import Key
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored
from mimo.storage.procedures.definitions import Kept
from mimo.storage.procedures.runs import Parent, Row
from mimo.tool import Client

if TYPE_CHECKING:
    from mimo.services.procedures.definition import Definition

LARGEST_INPUT = 256 * 1024
# A procedure that calls itself comes to an end.
DEEPEST = 8


class Starting:
    def __init__(
        self, database: Database, registry: Registry, runner: Runner, *, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._registry = registry
        self._runner = runner
        self._clock = clock
        runner.children.begin = self._bear

    async def start(
        self, name: str, version: str | None, given: Mapping[str, Any], client: Client, key: str | None = None
    ) -> int:
        """The id of a run that is durable, and under way. The same key gives the same run.

        Raises:
            NotFound, InvalidArguments, Conflict: nothing was begun.
            Unavailable: procedures are not running.
        """
        self._runner.require_running()
        kept = None
        if key is not None:
            asked = [client.namespace, name, version, dict(given)]
            kept = Key.of(f"procedure {client.namespace[:40]} {key}", *asked, shown=key)
        if kept is not None and (before := await self._database.outcome(kept)) is not None:
            return before.result[0]
        row, definition = await self._registry.look_up(name, version)
        if not row.active:
            raise Conflict(
                f"{name} {version} is deactivated and begins no more runs; to define it again brings it back"
            )
        return await self._begin(row, definition, given, client, None, 0, kept)

    async def _begin(
        self,
        row: Kept,
        definition: Definition,
        given: Mapping[str, Any],
        client: Client,
        parent: Parent | None,
        depth: int,
        key: Key | None,
    ) -> int:
        runner = self._runner
        engine = await runner.engine()
        given = _fitting(definition, given)
        uid, now = secrets.token_hex(8), self._clock()
        run = engine.new_run(0, uid, definition, given, now, depth)
        advanced = runner.advanced(engine, definition, 0, run, Began())
        saved = saved_of(None, advanced)
        told = json.dumps(client_json(client))
        held = -int(uid, 16)  # its place, until it has a number
        if advanced.run.holds_place:
            runner.places.take(held)
        try:
            id_, new, whose = await self._database.write(
                stored.begin_once, uid, row.id, saved, parent, told, now, key=key
            )
            if new and whose == uid:
                runner.places.rename(held, id_)
        finally:
            runner.places.leave(held)
        if new and whose == uid:
            advanced = replace(advanced, run=replace(advanced.run, id=id_))
            live = Live(id_, run=advanced.run, definition_id=row.id, parent=parent, client=client)
            runner.adopt(live, definition, advanced)
        elif parent is not None and (there := await self._database.read(stored.found, id_)) is not None:
            _go_on(runner, there)
        return id_

    async def _bear(self, parent: Live, definition: Definition, bear: Bear) -> None:
        of = Parent(parent.id, bear.step, bear.attempt)
        assert parent.run is not None
        try:
            if parent.run.depth + 1 >= DEEPEST:
                raise InvalidArguments(f"procedures call each other more than {DEEPEST} deep")
            # Begun before mimo ended: it goes on, though its procedure may be deactivated by now.
            if (id_ := await self._database.read(stored.child_of, of)) is not None:
                if (there := await self._database.read(stored.found, id_)) is not None:
                    _go_on(self._runner, there)
                return
            row, child = await self._registry.look_up(bear.procedure, bear.version)
            await self._begin(row, child, bear.input, parent.client, of, parent.run.depth + 1, None)
        except MimoError as error:
            trouble = trouble_of(error)
            self._runner.post(
                parent.id, Failed(bear.step, bear.attempt, Trouble("child", trouble.message, trouble.retry))
            )


def _fitting(definition: Definition, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The input with its defaults.

    Raises:
        InvalidArguments: it does not fit the schema; everything that is wrong is told.
    """
    from mimo.services.procedures.shapes import misfits, with_defaults

    if is_deep(given):
        raise InvalidArguments(
            f"the input is nested more than {MOST_NESTED} deep: keep it flatter", field="input"
        )
    try:
        size = len(json.dumps(given))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArguments(f"the input is no JSON: {error}", field="input") from error
    if size > LARGEST_INPUT:
        raise InvalidArguments(f"the input has {size:,} bytes and may have {LARGEST_INPUT:,}", field="input")
    whole = with_defaults(definition.input, given)
    schema = definition.input or {"additionalProperties": True}
    if wrong := list(misfits(schema, whole, "input")):
        raise InvalidArguments("; ".join(wrong[:10]), field="input", problems=wrong[:100])
    return whole


def _go_on(runner: Runner, row: Row) -> None:
    """A child that its parent has begun before: how it ended, or that it is to go on."""
    run = run_of(row)
    assert row.parent is not None
    if run.status in ENDED:
        runner.post(row.parent.id, ended_child(row.parent, run))
    elif run.interrupted or run.held:
        runner.post(row.id, Resume())
