"""Whose fault it is that nothing was embedded: the embedder's, or that of one text among many."""

from __future__ import annotations

from collections.abc import Sequence

from mimo.errors import InvalidArguments, MimoError
from mimo.storage.engrams.vectors import Waiting


class Blame:
    """Portions are halved until one text is alone. It is to blame if it fails twice, and a harmless one between goes
    through: what takes a text for an error may say 400 or 413, but also 429 or 500, or nothing for too long.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._suspect: int | None = None
        self.most = batch  # so many texts go out at once
        self.well = True  # as far as we know; if not, ask for something harmless before the next portion

    def passed(self) -> None:
        self.well = True
        self.most = min(2 * self.most, self._batch)

    def falls_on(self, portion: Sequence[Waiting], error: MimoError) -> bool:
        """Whether this one text is to be set aside."""
        if len(portion) > 1:
            self.most = len(portion) // 2
            self.well = isinstance(
                error, InvalidArguments
            )  # it is there, and does not like what it was given
            return False
        guilty = portion[0].id == self._suspect
        self._suspect = None if guilty else portion[0].id
        self.well = guilty
        return guilty
