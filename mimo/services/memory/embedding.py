"""From new texts to vectors, in the background: the queue is in the database, so nothing of it is ever lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import trio

from mimo.embedding.embedder import Embedder
from mimo.errors import MimoError, TooSlow, Unavailable, Unusable
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import Degraded
from mimo.services.memory import news
from mimo.services.memory.moments import now_ms
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import Waiting, count_waiting, queue_what_lacks, store_vectors, waiting
from mimo.vector import to_blob

log = logging.getLogger(__name__)

# A batch ends within some 100 ms, so what is said meanwhile does not wait long.
BATCH = 32
BATCH_CHARACTERS = 40_000
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Who adds a library has the processor first: what stands in such a queue waits for seconds in any case. Its batches
# come some 15 ms apart. Without an end the queue would stand still for as long as anybody writes.
QUIET, LONGEST_WAY = 0.05, 1.0


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
        self._idle = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        lacking = await self._database.write(queue_what_lacks, self._embedder.model, frees=True)
        if lacking:
            log.info("%d memories wait for vectors of %s", lacking, self._embedder.model)
        pause = FIRST_PAUSE
        while True:
            seq = self._database.changed.last
            batch = _portion(await self._database.read(waiting, self._clock(), BATCH))
            if not batch:
                self._metrics.embedding_waiting.set(0)
                self._rest()
                await self._database.changed.wait(seq)
                continue
            try:
                if await self._embed(batch):
                    await self._give_way()
            except (Unavailable, TooSlow, Unusable) as error:
                await self._pause(error, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._back()
                pause = FIRST_PAUSE

    async def drained(self) -> None:
        """Comes back when nothing waits."""
        await self._idle.wait()

    async def _embed(self, batch: Sequence[Waiting]) -> bool:
        """Whether it has to do with a library that is being added."""
        self._metrics.embedding_waiting.set(await self._database.read(count_waiting))
        before = self._database.changed.last
        began = time.perf_counter()
        vectors = await self._embedder.embed([each.content for each in batch])
        seconds = time.perf_counter() - began
        grows = self._database.changed.last != before
        model, dim = self._embedder.model, int(vectors.shape[1])
        made = [(each, to_blob(vector)) for each, vector in zip(batch, vectors, strict=True)]
        count = await self._database.write(store_vectors, model, dim, made)
        left = await self._database.read(count_waiting)
        self._metrics.embedded.labels(model).inc(count)
        self._metrics.embedding_seconds.labels(model).observe(seconds)
        self._metrics.embedding_waiting.set(left)
        self._events.publish(news.Embedded(count, left, model))
        return grows and left > BATCH

    async def _give_way(self) -> None:
        """Comes back when nobody has written for a moment, or has waited for long enough."""
        with trio.move_on_after(LONGEST_WAY):
            quiet = False
            while not quiet:
                with trio.move_on_after(QUIET) as moment:
                    await self._database.changed.wait(self._database.changed.last)
                quiet = moment.cancelled_caught

    async def _pause(self, error: MimoError, seconds: float) -> None:
        if not self.down:
            log.warning("memories wait for their vectors: %s", error.message)
            self._events.publish(Degraded("meaning", "words", error.message))
        self.down = error.message
        await trio.sleep(seconds)

    def _back(self) -> None:
        if self.down:
            log.info("memories get their vectors again")
            self.down = ""

    def _rest(self) -> None:
        self._idle.set()
        self._idle = trio.Event()


def _portion(batch: Sequence[Waiting]) -> list[Waiting]:
    """As many as can be embedded within a moment, at least one."""
    room, portion = BATCH_CHARACTERS, list[Waiting]()
    for each in batch:
        room -= len(each.content)
        if room < 0 and portion:
            break
        portion.append(each)
    return portion
