"""The keys that open the network doors: made once, shown once, known here by their digest only."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mimo.tool import Client

PREFIX = "mimo_"
SCOPES = ("read", "write", "admin")
OWNER = "owner"
# 32 random bytes need no slow hash: there is nothing to guess.
_SHAPE = re.compile(r"mimo_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key that may be used."""

    id: str
    name: str
    digest: bytes
    scopes: frozenset[str]

    @property
    def is_owner(self) -> bool:
        return self.id == OWNER

    def client(self) -> Client:
        """Whoever shows this key."""
        return Client(name=self.name, scopes=self.scopes, key=self.id)


class Keyring:
    """All keys that may be used at the moment."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)

    @property
    def keys(self) -> Sequence[Key]:
        return self._keys

    def replace(self, keys: Iterable[Key]) -> None:
        """From now on these are all. What was opened with another stays open until it asks again."""
        self._keys = tuple(keys)

    def find(self, token: str) -> Key | None:
        """The key that this text is. It is compared with every one of them, in a time that tells nothing."""
        if not _SHAPE.fullmatch(token):
            return None
        digest = digest_of(token)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def new_token() -> str:
    """A key as its owner sees it, once."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
