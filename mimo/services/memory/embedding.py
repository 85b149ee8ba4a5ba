"""From new texts to vectors, in the background: the queue is in the database, so nothing of it is ever lost."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mimo.embedding.embedder import Embedder, Vectors
from mimo.errors import Busy, InvalidArguments, MimoError, TooSlow, Unavailable, Unusable
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import Degraded
from mimo.services.memory import news
from mimo.services.memory.blame import Blame
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import (
    Queue,
    Waiting,
    queue,
    queue_what_lacks,
    set_aside,
    store_vectors,
    try_all_again,
    waiting,
)
from mimo.vector import to_blob

log = logging.getLogger(__name__)

# A batch ends within some 100 ms, so what is said meanwhile does not wait long.
BATCH = 32
BATCH_CHARACTERS = 40_000
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# A service that says how long to wait is believed, unless it sends us away for longer than anybody would look.
LONGEST_WAIT = 3600.0
# When a text that was refused is tried again: it will be refused again, unless the service has changed.
FIRST_DELAY, LONGEST_DELAY = 60_000, 86_400_000  # milliseconds
# Clocks are set, and laptops sleep: nobody waits for a time of day without looking at the clock in between.
LONGEST_REST = 600.0
# Nobody refuses this one. If it is embedded and a text is not, it is the text's fault.
HARMLESS = "hello"
# What an embedder may say instead of vectors.
FAILURES = (Unavailable, TooSlow, Unusable, Busy, InvalidArguments)
# Who adds a library has the processor first: what stands in such a queue waits for seconds in any case. Its batches
# come some 15 ms apart. Without an end the queue would stand still for as long as anybody writes.
QUIET, LONGEST_WAY = 0.05, 1.0
AT_A_TIME = 8  # of a library, between two such waits
# What is added in calls of so few stands in no queue behind a library, nor waits for one to be added.
FEW, MOST_FIRST = 8, 1_000
# While nothing is embedded, what waits is counted again after each change, but no more often than this: among
# 100,000 that wait a count takes milliseconds.
COUNTED_EVERY = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Vectors, and whether others wrote while they were made."""

    batch: Sequence[Waiting]
    vectors: Vectors
    grows: bool


class Embedding:
    """A supervised child. While the embedder is down, words still find; when it is back, the queue drains."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        events: Events,
        metrics: Metrics,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self.down = ""  # why nothing is embedded at the moment
        self.refused = ""  # why a text was set aside the last time
        self.queue = Queue(0, 0, None)
        self._catches_up = False
        self._seconds = FIRST_PAUSE
        self._first: deque[int] = deque(maxlen=MOST_FIRST)
        self._called = trio.Event()

    @property
    def behind(self) -> int:
        """How many wait, if they wait for longer than a moment: a start found them without a vector, or they are a
        library, or nothing is embedded."""
        many = self._catches_up or self.down or self.queue.waiting > MOST_FIRST
        return self.queue.waiting if many else 0

    def added(self, ids: Sequence[int]) -> None:
        """These have been added in one call. Few at a time are what somebody asks for next."""
        if len(ids) <= FEW:
            self._first.extend(ids)
            self._called.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        lacking = await self._database.write(queue_what_lacks, self._embedder.model, frees=True)
        if lacking:
            log.info("%d memories wait for vectors of %s", lacking, self._embedder.model)
        await self._database.write(try_all_again, frees=True)
        blame = Blame(BATCH)
        await self._look()
        self._catches_up = self.queue.waiting > 0
        library = False
        while True:
            seq = self._database.changed.last
            most = min(blame.most, AT_A_TIME) if library else blame.most
            first = [self._first.popleft() for _ in range(min(most, len(self._first)))]
            batch = _portion(await self._database.read(waiting, self._clock(), most, first))
            library = False
            if not batch:
                await self._rest(seq)
                continue
            await self._look()
            try:
                if not blame.well:
                    await self._embedder.embed([HARMLESS])
            except FAILURES as error:
                await self._pause(error)
                continue
            blame.well = True
            try:
                made = await self._embed(batch)
            except FAILURES as error:
                if blame.falls_on(batch, error):
                    await self._set_aside(batch[0], error)
                elif not isinstance(error, InvalidArguments):
                    await self._pause(error)
                continue
            blame.passed()
            try:
                library = await self._store(made)
            except Unavailable as error:
                await self._pause(error)
            else:
                self._back()
                if library:
                    await self._give_way()

    async def _embed(self, batch: Sequence[Waiting]) -> _Made:
        before = self._database.changed.last
        began = time.perf_counter()
        vectors = await self._embedder.embed([each.content for each in batch])
        seconds = time.perf_counter() - began
        self._metrics.embedding_seconds.labels(self._embedder.model).observe(seconds)
        grows = self._database.changed.last != before
        return _Made(batch, vectors, grows)

    async def _store(self, made: _Made) -> bool:
        """Whether it has to do with a library that is being added."""
        model, dim = self._embedder.model, int(made.vectors.shape[1])
        pairs = [(each, to_blob(vector)) for each, vector in zip(made.batch, made.vectors, strict=True)]
        count = await self._database.write(store_vectors, model, dim, pairs)
        await self._look()
        self._metrics.embedded.labels(model).inc(count)
        self._events.publish(news.Embedded(count, self.queue.waiting, model))
        return made.grows and self.queue.waiting > BATCH

    async def _look(self) -> None:
        self.queue = await self._database.read(queue, self._clock())
        self._metrics.embedding_waiting.set(self.queue.waiting)
        self._metrics.embedding_set_aside.set(self.queue.set_aside)

    async def _give_way(self) -> None:
        """Comes back when nobody has written for a moment, or has waited for long enough, or a few came."""
        if self._first:
            return
        self._called = trio.Event()
        with trio.move_on_after(LONGEST_WAY):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._quiet, nursery.cancel_scope)
                await self._called.wait()
                nursery.cancel_scope.cancel()

    async def _quiet(self, over: trio.CancelScope) -> None:
        quiet = False
        while not quiet:
            with trio.move_on_after(QUIET) as moment:
                await self._database.changed.wait(self._database.changed.last)
            quiet = moment.cancelled_caught
        over.cancel()

    async def _set_aside(self, refused: Waiting, error: MimoError) -> None:
        """Who was refused lets the others by, and is found by its words meanwhile."""
        self._back()  # it answers others
        now = self._clock()
        until = await self._database.write(set_aside, refused, now, FIRST_DELAY, LONGEST_DELAY, frees=True)
        self.refused = error.message
        self._metrics.embedding_refused.labels(self._embedder.model).inc()
        log.warning(
            "%s has no vector, and is tried again in %d minutes: %s",
            name_of(refused.id),
            (until - now) // 60_000,
            error.message,
        )

    async def _pause(self, error: MimoError) -> None:
        if not self.down:
            log.warning("memories wait for their vectors: %s", error.message)
            self._events.publish(Degraded("meaning", "words", error.message))
        self.down = error.message
        after = error.details.get("after")
        told = min(float(after), LONGEST_WAIT) if isinstance(after, int | float) else 0.0
        with trio.move_on_after(max(told, self._seconds)):
            await self._keep_counting()
        self._seconds = min(2 * self._seconds, LONGEST_PAUSE)

    async def _keep_counting(self) -> None:
        """Questions are asked meanwhile, and who answers says what cannot be found by its meaning."""
        while True:
            seq = self._database.changed.last
            await self._look()
            await trio.sleep(COUNTED_EVERY)
            await self._database.changed.wait(seq)

    def _back(self) -> None:
        self._seconds = FIRST_PAUSE
        if self.down:
            log.info("memories get their vectors again")
            self.down = ""

    async def _rest(self, seq: int) -> None:
        """Until there is something new, or something is to be tried again."""
        await self._look()
        self._catches_up = False
        seconds = LONGEST_REST
        if self.queue.next_try is not None:
            seconds = min(max(1.0, (self.queue.next_try - self._clock()) / 1000), LONGEST_REST)
        with trio.move_on_after(seconds):
            await self._database.changed.wait(seq)


def _portion(batch: Sequence[Waiting]) -> list[Waiting]:
    """As many as can be embedded within a moment, at least one."""
    room, portion = BATCH_CHARACTERS, list[Waiting]()
    for each in batch:
        room -= len(each.content)
        if room < 0 and portion:
            break
        portion.append(each)
    return portion
