"""What a database needs now and then while it serves: old keys swept, its log of changes cut, statistics, a copy."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import trio

from mimo.errors import MimoError
from mimo.storage.answers import sweep_answers
from mimo.storage.backup import Backup, named_by_time, prune_backups
from mimo.storage.changes import prune_changes
from mimo.storage.database import Database
from mimo.storage.writer import optimize

log = logging.getLogger(__name__)

HOUR = 3600.0
# Until the first look: a daemon that an editor started may live for a quarter of an hour only.
SETTLING = 120.0
# A sweep takes a few at a time, so that it never holds the writer for long.
PORTION = 1_000


class Upkeep:
    """A supervised child. What fails is tried again an hour later; a memory is not worth less for it."""

    def __init__(
        self,
        database: Database,
        *,
        backup_hours: float = 24.0,
        backups_kept: int = 7,
        on_backup: Callable[[Backup | None], object] = lambda made: None,
        every: float = HOUR,
    ) -> None:
        """`backup_hours` of 0: no copies. `on_backup` gets None for one that failed."""
        self._database = database
        self._backup_hours = backup_hours
        self._backups_kept = backups_kept
        self._on_backup = on_backup
        self._every = every

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        pause = min(SETTLING, self._every)
        while True:
            await trio.sleep(pause)
            pause = self._every
            try:
                await self.tidy()
                await self.copy_when_due()
            except MimoError as error:
                log.warning("upkeep left for later: %s", error.message)

    async def tidy(self) -> None:
        """Sweep, cut and measure, in portions between which others write."""
        while await self._database.write(sweep_answers, frees=True) >= PORTION:
            pass
        while await self._database.write(prune_changes, frees=True) >= PORTION:
            pass
        await self._database.chore(optimize)

    async def copy_when_due(self) -> None:
        """Raises: MimoError: it is due and cannot be made."""
        home = self._database.home
        if not self._backup_hours:
            return
        last = named_by_time(home)[-1:]
        if last and time.time() - os.stat(last[0]).st_mtime < self._backup_hours * HOUR:
            return
        try:
            made = await self._database.backup()
        except MimoError:
            self._on_backup(None)
            raise
        self._on_backup(made)
        prune_backups(home, self._backups_kept)
