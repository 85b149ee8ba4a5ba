"""A skill that is a program of this machine: one life of its process, from the start to the last of its children."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import trio

from mimo.errors import Unavailable
from mimo.protocol.mcp.revisions import Revision
from mimo.services.skills.leftovers import Leftovers
from mimo.services.skills.link import Greeting, Link, Sent
from mimo.services.skills.process import Process, Running, Start, find
from mimo.services.skills.skill import Skill, first, mark
from mimo.services.skills.spawner import Spawner

# What it said before it ended is in the pipe.
LAST_LINES = 0.1


class Subprocesses:
    """How programs are started here."""

    def __init__(self, environ: Mapping[str, str], leftovers: Leftovers) -> None:
        self._environ = environ
        self._leftovers = leftovers
        self._spawner = Spawner()

    async def connect(self, skill: Skill, greeted: Callable[[Link, Greeting], None]) -> None:
        """One life. One that ends on the probe is started a second time, and asked the older way.

        Raises:
            Unavailable: it cannot be started, or has ended.
        """
        start = self._start(skill)
        if not await self._live(skill, start, skill.kept.era, greeted):
            skill.words.add("--- it ended when it was asked for the newer protocol; asking for the older one")
            await self._live(skill, start, "legacy", greeted)

    async def _live(
        self,
        skill: Skill,
        start: Start,
        era: str | None,
        greeted: Callable[[Link, Greeting], None],
    ) -> bool:
        """False: it ended on the probe, which was its first question."""
        skill.words.add(f"--- starting {skill.declared.shown}")
        running = Running(start, skill.words, self._leftovers, self._spawner)
        met, ended, error = False, trio.Event(), None
        try:
            async with running as process, trio.open_nursery() as nursery:
                link = Link(_Lines(process), skill.told, skill.strange)
                process.write_in(nursery)
                nursery.start_soon(process.listen_to_stderr)
                nursery.start_soon(_until_its_end, process, link, ended)
                with trio.move_on_after(skill.patience.start) as deadline:
                    greeting = await link.greet(era)
                    met = True
                    greeted(link, greeting)
                if deadline.cancelled_caught:
                    raise Unavailable(f"it did not answer within {skill.patience.start:g} s of its start")
                await ended.wait()
                nursery.cancel_scope.cancel()
        except* Unavailable as group:
            error = first(group)
        if ended.is_set() and not met and era != "legacy":
            return False
        raise error if error is not None and not ended.is_set() else Unavailable(f"it {running.ending}")

    def _start(self, skill: Skill) -> Start:
        declared = skill.declared
        environment = declared.environment(self._environ)
        cwd = os.path.expanduser(declared.expanded(declared.cwd or "~", self._environ))
        if not os.path.isdir(cwd):
            raise Unavailable(f"its working directory {cwd} is not there")
        words = [declared.expanded(text, self._environ) for text in (declared.command, *declared.args)]
        return Start((find(words[0], environment, cwd), *words[1:]), environment, cwd, mark())


class _Lines:
    """A process as the wire of a link."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def send(self, sent: Sent) -> None:
        self._process.send(sent.frame, soon=sent.soon)

    def agreed(self, revision: Revision) -> None:
        pass  # on a pipe each message says enough


async def _until_its_end(process: Process, link: Link, ended: trio.Event) -> None:
    """Feed what it says to the link. When it has closed its stdout or ended, whoever waits for an answer is told."""
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await process.end()
            await trio.sleep(LAST_LINES)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        while chunk := await process.read():
            link.feed(chunk)
        nursery.cancel_scope.cancel()
    ended.set()
    link.lose(Unavailable("the skill has ended before it answered; try again"))
