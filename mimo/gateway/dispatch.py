"""One call, from a name and arguments to an answer or an error that a caller can use.

Whatever a handler does, the daemon goes on: a bug is an error with an id, its traceback is in the log.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import trio

from mimo.errors import Forbidden, MimoError, TooSlow
from mimo.gateway.arguments import validated
from mimo.gateway.bugs import broken
from mimo.gateway.capacity import LIMITS, Limit, Places
from mimo.gateway.passage import CANCELLED, FAILED, OK, Passage
from mimo.gateway.toolbox import Toolbox
from mimo.observability import logs
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ToolCalled
from mimo.resilience.bulkhead import Load
from mimo.tool import Answer, Call, Capacity, Report, Tool

log = logging.getLogger(__name__)

RECENT = 100  # calls whose durations are kept, for `p99`


@dataclass(slots=True)
class _Course:
    """What is to be told about a call when it has ended."""

    tool: Tool | None = None
    outcome: str = CANCELLED
    passage: Passage | None = None  # by which it was begun


class Dispatch:
    """Runs calls. One object for all doors, so that the limits hold for the house."""

    def __init__(
        self,
        toolbox: Toolbox,
        events: Events,
        metrics: Metrics,
        limits: Mapping[Capacity, Limit] = LIMITS,
    ) -> None:
        self.toolbox = toolbox
        self._events = events
        self._metrics = metrics
        self._places = {each: Places(each, limits.get(each, LIMITS[each])) for each in Capacity}
        self._passages: dict[str, Passage] = {}  # those that are not over, by the ids of their calls
        self._recent = deque[float](maxlen=RECENT)
        self._told_refused: dict[str, int] = {}
        metrics.before_render(self._measure)

    async def call(self, name: str, arguments: object, call: Call, *, seconds: float | None = None) -> Answer:
        """Run a tool. `seconds` shortens the tool's own deadline, the wait for a place included.

        Cancelling it cancels the handler. Raises only `MimoError`s:
            UnknownTool, Forbidden, InvalidArguments: nothing was run.
            Busy: too many calls of this kind; nothing was run.
            TooSlow: the deadline passed first.
            Broken: a bug of ours; its id is in the message and in the log.
            Others: as the tool says.
        """
        began, course = call.began or time.perf_counter(), self._course(call)
        with logs.about(request=call.id, client=call.client.name, tool=name[:128], private=arguments):
            try:
                answer = await self._run(name, arguments, call, seconds, course)
                course.outcome = FAILED if answer.failed else OK
                return answer
            except MimoError as error:
                course.outcome = error.kind
                raise
            finally:
                if course.passage is not None:
                    course.passage.leave()
                self._tell(call, course.tool, course.outcome, time.perf_counter() - began)

    def pass_on(self, name: str, arguments: object, call: Call, report: Report) -> Callable[[], None] | None:
        """Run a call without a task, if its tool only passes it on. Gives what calls it off.

        None: nothing was done. It is to be run by `call`, which also has the words for what is wrong with it.
        """
        try:
            tool = self.toolbox.find(name)
            if tool.passes is None:
                return None
            _allow(tool, call)
            fitting = validated(tool, arguments, self.toolbox.schema(tool))
        except MimoError:
            return None
        places = self._places[tool.competes_for]
        if not places.enter_now():
            return None
        passage = Passage(tool, places, partial(self._passed, call, tool), report)
        try:
            passage.recall = tool.passes(fitting, call, passage)
        finally:
            if passage.recall is None:
                places.leave(0.0)
        if passage.recall is None:
            return None
        self._passages[call.id] = passage
        return passage.call_off

    def loads(self) -> Mapping[Capacity, Load]:
        """How full each class is, for status and for who must decide what to refuse."""
        return {capacity: places.load for capacity, places in self._places.items()}

    def p99(self) -> float:
        """How long the slowest of the last hundred calls took, in seconds; 0 before the first."""
        ordered = sorted(self._recent)
        return ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else 0.0

    def _passed(self, call: Call, tool: Tool, outcome: str, seconds: float) -> None:
        self._passages.pop(call.id, None)
        self._tell(call, tool, outcome, seconds)

    def _course(self, call: Call) -> _Course:
        """A call that was passed on goes on with the tool that it was begun with, even if that is not offered any more."""
        passage = None if call.began is None else self._passages.pop(call.id, None)
        if passage is None:
            return _Course()
        passage.take_up()
        return _Course(passage.tool, passage=passage)

    async def _run(
        self,
        name: str,
        arguments: object,
        call: Call,
        seconds: float | None,
        course: _Course,
    ) -> Answer:
        await trio.lowlevel.checkpoint_if_cancelled()
        course.tool = tool = course.tool or self.toolbox.find(name)
        _allow(tool, call)
        seconds = max(0.0, tool.seconds if seconds is None else min(seconds, tool.seconds))
        spent = 0.0 if call.began is None else time.perf_counter() - call.began
        with trio.move_on_after(max(0.0, seconds - spent)) as deadline:
            return await self._handle(tool, arguments, call, course.passage)
        assert deadline.cancelled_caught
        raise _too_slow(tool, seconds)

    async def _handle(self, tool: Tool, arguments: object, call: Call, begun: Passage | None) -> Answer:
        """Run the handler, and turn whatever is raised into a `MimoError` or a cancellation."""
        try:
            fitting = validated(tool, arguments, self.toolbox.schema(tool))
            async with nullcontext() if begun is not None else self._places[tool.competes_for].place():
                answer = cast("object", await tool.handler(fitting, call))
            if not isinstance(answer, Answer):
                raise TypeError(f"the handler of {tool.name} gave {type(answer).__name__} and not an Answer")
            return answer
        except trio.Cancelled:
            raise
        except (Exception, SystemExit, BaseExceptionGroup) as raised:
            # A library that ends the process does not end ours; a person at the keyboard does.
            error = _essence(raised)
            if error is None:
                raise
            told = error if isinstance(error, MimoError) else _translated(tool, error)
            # Whoever has cancelled us waits for no error any more, and must not be ended by one.
            await trio.lowlevel.checkpoint_if_cancelled()
            raise told from (raised if told is not error else error.__cause__)

    def _tell(self, call: Call, tool: Tool | None, outcome: str, seconds: float) -> None:
        name = tool.name if tool is not None else None
        self._metrics.called(name, outcome, seconds)
        if tool is not None and outcome != CANCELLED:
            self._recent.append(seconds)
        self._events.publish(ToolCalled(name or "", call.client.name, outcome, seconds, call.id))
        if log.isEnabledFor(logging.DEBUG):
            with logs.about(request=call.id, client=call.client.name, tool=name or ""):
                log.debug("call ended", extra={"outcome": outcome, "seconds": round(seconds, 6)})

    def _measure(self) -> None:
        for capacity, load in self.loads().items():
            label = capacity.value
            self._metrics.running.labels(label).set(load.running)
            self._metrics.waiting.labels(label).set(load.waiting)
            self._metrics.running_limit.labels(label).set(load.limit)
            self._metrics.waiting_limit.labels(label).set(load.queue)
            self._metrics.refused.labels(label).inc(load.refused - self._told_refused.get(label, 0))
            self._told_refused[label] = load.refused


def _allow(tool: Tool, call: Call) -> None:
    scope = "write" if tool.writes else "read"
    if scope not in call.client.scopes and "admin" not in call.client.scopes:
        raise Forbidden(
            f"{tool.name} needs the scope '{scope}'; this caller has: "
            f"{', '.join(sorted(call.client.scopes)) or 'none'}",
            tool=tool.name,
            scope=scope,
        )


def _too_slow(tool: Tool, seconds: float) -> TooSlow:
    unsure = "; whether it was done is not known, asking again with the same key tells" if tool.writes else ""
    return TooSlow(f"{tool.name} was not done within {seconds:g} s{unsure}", tool=tool.name, seconds=seconds)


def _translated(tool: Tool, error: BaseException) -> MimoError:
    if isinstance(error, trio.TooSlowError):  # a deadline that the handler set itself
        return TooSlow(f"a part of {tool.name} was not done in time", tool=tool.name)
    return broken(tool.name, error)


def _essence(error: BaseException) -> BaseException | None:
    """What went wrong: the error, or what a group holds if that is one thing, or the group.

    Several `MimoError`s are one thing: the first. None when nothing went wrong: there are only
    cancellations, or somebody ends the process.
    """
    errors = [each for each in _leaves(error) if not isinstance(each, trio.Cancelled)]
    if not errors or any(isinstance(each, KeyboardInterrupt) for each in errors):
        return None
    one_thing = len(errors) == 1 or all(isinstance(each, MimoError) for each in errors)
    return errors[0] if one_thing else error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(each)
    else:
        yield error
