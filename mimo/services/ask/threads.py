"""Which questions came before this one: a few of them, for a while, and only for who asked them."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mimo.tool import Client

MOST, SECONDS = 1_000, 1_800.0
# Of what was asked before, so much is read with what is asked now.
LONGEST = 1_000
# Words that mean something named earlier. What is so short means little by itself.
BACKWARD = re.compile(
    r"\b(it|its|he|him|his|she|her|hers|they|them|their|theirs|this|that|these|those|there|then|same|else"
    r"|what about|how about|and)\b",
    re.IGNORECASE,
)
FEW_WORDS = 2


@dataclass(slots=True)
class _Thread:
    owner: tuple[str | None, str]
    question: str
    until: float


class Threads:
    """The last question of each thread, as it was read."""

    def __init__(
        self,
        *,
        most: int = MOST,
        seconds: float = SECONDS,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._threads: OrderedDict[str, _Thread] = OrderedDict()

    def __len__(self) -> int:
        return len(self._threads)

    def before(self, id_: str, client: Client) -> str | None:
        """What this client asked last in this thread; None: there is no such thread (any more), or it is another's."""
        thread = self._threads.get(id_)
        if thread is None or thread.owner != _owner(client) or thread.until < self._clock():
            return None
        return thread.question

    def note(self, id_: str | None, client: Client, question: str) -> str:
        """The thread in which this has been asked; a new one for None."""
        id_ = secrets.token_hex(12) if id_ is None else id_
        self._threads[id_] = _Thread(_owner(client), question[-LONGEST:], self._clock() + self._seconds)
        self._threads.move_to_end(id_)
        while len(self._threads) > self._most:
            self._threads.popitem(last=False)
        return id_


def refers_back(text: str) -> bool:
    """Whether a question needs the one before it to be understood."""
    return len(text.split()) <= FEW_WORDS or BACKWARD.search(text) is not None


def read_with(before: Sequence[str], text: str) -> str:
    """A question together with those before it."""
    return " ".join([*(each[-LONGEST:] for each in before), text])


def _owner(client: Client) -> tuple[str | None, str]:
    return client.key, client.name
