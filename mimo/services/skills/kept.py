"""What is known of a skill without starting it: what it offers, what it speaks, and which definitions were approved.

One file a skill, for its owner only. It is a memory and not the truth: whatever is wrong with it, the skill is asked anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from mimo.protocol.jsonrpc import Object
from mimo.services.skills.names import digest
from mimo.tool import JsonObject

LISTS = ("tools", "resources", "templates", "prompts")
LARGEST_FILE = 16 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """`digest` is of the declaration that it was learned from. `pins` are the approved definitions' hashes by tool."""

    digest: str = ""
    era: str | None = None  # "legacy" or "modern"
    server: JsonObject = field(default_factory=dict[str, Any])
    capabilities: JsonObject = field(default_factory=dict[str, Any])
    listed: bool = False
    tools: Sequence[JsonObject] = ()
    resources: Sequence[JsonObject] = ()
    templates: Sequence[JsonObject] = ()
    prompts: Sequence[JsonObject] = ()
    pins: Mapping[str, str] = field(default_factory=dict[str, str])

    def learned(self, **lists: Sequence[JsonObject]) -> Kept:
        """With new lists. What is seen for the first time is trusted; what changed is not yet."""
        new = replace(self, listed=True, **lists)
        pins = dict(self.pins)
        for tool in new.tools:
            pins.setdefault(str(tool.get("name")), digest(tool))
        return replace(new, pins=pins)

    def same_lists(self, other: Kept) -> bool:
        """Does an agent see the same, approvals included?"""
        return all(list(getattr(self, name)) == list(getattr(other, name)) for name in LISTS) and (
            self.listed == other.listed and self.changed == other.changed
        )

    @property
    def changed(self) -> list[str]:
        """The tools whose definition is not the approved one."""
        return [name for tool in self.tools if self.pins.get(name := str(tool.get("name"))) != digest(tool)]

    def approved(self, *names: str) -> Kept:
        """With these tools (or all) as they are now approved."""
        now = {str(tool.get("name")): digest(tool) for tool in self.tools}
        chosen = {name: mark for name, mark in now.items() if not names or name in names}
        return replace(self, pins={**self.pins, **chosen})


class Shelf:
    """The files of one data directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str, wanted: str) -> Kept:
        """What is known of the skill of this name, if it is the one that was `wanted` then. Approvals stay in any case."""
        try:
            with open(self._path(name), "rb") as file:
                said: Any = json.loads(file.read(LARGEST_FILE))
            kept = _kept(cast("Object", said))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return Kept(wanted)
        return kept if kept.digest == wanted else Kept(wanted, pins=kept.pins)

    def save(self, name: str, kept: Kept) -> None:
        """Raises: OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(name)
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            with open(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w"
            ) as file:
                json.dump({name: getattr(kept, name) for name in Kept.__dataclass_fields__}, file)
            os.replace(fresh, path)
        finally:
            with suppress(FileNotFoundError):
                fresh.unlink()

    def _path(self, name: str) -> Path:
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        return self._folder / f"{re.sub('[^A-Za-z0-9_-]', '_', name)}-{mark}.json"


def _kept(said: Object) -> Kept:
    """Raises: TypeError, ValueError: it is not what we wrote."""
    kept = Kept(**said)
    texts: list[Any] = [kept.digest, *kept.pins, *kept.pins.values()]
    lists: list[Any] = [item for name in LISTS for item in getattr(kept, name)]
    if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, dict) for each in lists):
        raise TypeError("not as it was written")
    if kept.era not in (None, "legacy", "modern"):
        raise ValueError(kept.era)
    return kept
