"""The keys of this house: the owner's from its file, the others from the database; made, listed and revoked."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any, cast

import trio

from mimo.control import Answering
from mimo.errors import Conflict, InvalidArguments, NotFound
from mimo.gateway.keys import OWNER, SCOPES, Key, Keyring, digest_of, new_token
from mimo.home import Home
from mimo.owner import owner_token
from mimo.storage.database import Database
from mimo.storage.keys import StoredKey, add_key, all_keys, revoke_key
from mimo.tool import Client, Json, JsonObject

log = logging.getLogger(__name__)

# Each request is compared with every key.
MOST_KEYS = 200


class Keys:
    """Keeps the keyring true. A supervised child that the network doors come after."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._home: Home = database.home
        self._keyring = keyring

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self.load()
        task_status.started()
        await trio.sleep_forever()

    async def load(self) -> None:
        """Read all keys again."""
        try:
            owner = [_owner(owner_token(self._home))]
        except (OSError, UnicodeDecodeError) as error:
            log.error("the owner's key cannot be used (%s): 'mimo token' will fail", error)
            owner = []
        stored = await self._database.read(all_keys)
        self._keyring.replace([*owner, *(_usable(each) for each in stored if each.revoked_at is None)])

    async def create(self, name: str, scopes: frozenset[str]) -> tuple[StoredKey, str]:
        """A new key, and the text that is shown this once.

        Raises:
            InvalidArguments: no such name or scope is possible.
            Conflict: the name is in use.
        """
        if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
            raise InvalidArguments("a key's name has 1..64 printable characters")
        if not scopes or not scopes <= set(SCOPES):
            raise InvalidArguments(
                f"scopes are of {', '.join(SCOPES)} (got {', '.join(sorted(scopes)) or 'none'})"
            )
        if len(self._keyring.keys) >= MOST_KEYS:
            raise Conflict(f"there are {MOST_KEYS} keys; revoke some with 'mimo key revoke'")
        token = new_token()
        key = StoredKey(secrets.token_hex(4), name, digest_of(token), scopes, time.time_ns() // 1_000_000)
        if name == OWNER or not await self._database.write(add_key, key):
            raise Conflict(f"a key named {name!r} is in use; revoke it first, or choose another name")
        await self.load()
        log.info("a key was made", extra={"key": key.id, "key_name": name, "scopes": sorted(scopes)})
        return key, token

    async def revoke(self, name_or_id: str) -> StoredKey:
        """From now on the key opens nothing.

        Raises:
            NotFound: no such key is in use.
        """
        if name_or_id == OWNER:
            raise InvalidArguments("the owner's key is renewed, not revoked: mimo token --renew")
        at = time.time_ns() // 1_000_000
        gone = await self._database.write(revoke_key, name_or_id, at, frees=True)
        if gone is None:
            raise NotFound(f"no key {name_or_id[:64]!r} is in use; 'mimo key list' shows all")
        await self.load()
        log.info("a key was revoked", extra={"key": gone.id, "key_name": gone.name})
        return gone

    def methods(self) -> Mapping[str, Answering]:
        """What our own programs may ask over the socket, which is its owner's alone."""

        async def create(params: JsonObject, client: Client) -> Json:
            scopes: Any = params.get("scopes", ["read", "write"])
            if not isinstance(scopes, list) or not all(
                isinstance(each, str) for each in cast("list[Any]", scopes)
            ):
                raise InvalidArguments("scopes must be a list of words")
            key, token = await self.create(_text(params, "name"), frozenset(cast("list[str]", scopes)))
            return {**_shown(key), "key": token}

        async def listed(params: JsonObject, client: Client) -> Json:
            return {"keys": [_shown(each) for each in await self._database.read(all_keys)]}

        async def revoke(params: JsonObject, client: Client) -> Json:
            return _shown(await self.revoke(_text(params, "name")))

        async def load(params: JsonObject, client: Client) -> Json:
            await self.load()
            return {"loaded": True}

        return {
            "mimo/key_create": create,
            "mimo/key_list": listed,
            "mimo/key_revoke": revoke,
            "mimo/key_load": load,
        }


def _owner(token: str) -> Key:
    return Key(OWNER, OWNER, digest_of(token), frozenset(SCOPES))


def _usable(key: StoredKey) -> Key:
    return Key(key.id, key.name, key.digest, key.scopes)


def _shown(key: StoredKey) -> dict[str, Json]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


def _text(params: JsonObject, name: str) -> str:
    value: Any = params.get(name)
    if not isinstance(value, str):
        raise InvalidArguments(f"{name} must be text")
    return value
